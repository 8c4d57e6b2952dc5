"""Folders are walked through symbolic links, each folder once for each way that leads to it without a circle."""

from __future__ import annotations

from pathlib import Path

import pytest

from treadle.folders import walk_folder, walk_package


@pytest.fixture
def make(tmp_path):
    """Make empty files and, for names with `->`, symbolic links, below a temporary folder; return its path."""

    def write(*names):
        for name in names:
            path, _, target = name.partition(" -> ")
            place = tmp_path / path
            place.parent.mkdir(parents=True, exist_ok=True)
            if target:
                place.symlink_to(tmp_path / target)
            else:
                place.touch()
        return tmp_path

    return write


def files(walked, top):
    """The paths of all files of a walk, relative to the top."""
    return sorted(Path(folder, name).relative_to(top).as_posix() for folder, _, names in walked for name in names)


def test_a_linked_folder_is_walked_for_each_link(make):
    """Its files are found under the name of the link."""
    top = make("top/a", "top/one -> shared", "top/two -> shared", "shared/b", "shared/deep/c") / "top"
    assert files(walk_folder(str(top)), top) == ["a", "one/b", "one/deep/c", "two/b", "two/deep/c"]


def test_links_in_a_circle(make):
    """A link to a folder around it is left out, also if another link leads there."""
    top = make("top/a", "top/in/b", "top/in/up -> top", "top/in/away -> away", "away/c", "away/back -> top/in") / "top"
    assert files(walk_folder(str(top)), top) == ["a", "in/away/c", "in/b"]


def test_folders_that_are_removed_from_the_list_are_left_out(make):
    """As with `os.walk`."""
    top = make("top/a", "top/one -> shared", "shared/b") / "top"
    walk = walk_folder(str(top))
    _, folders, _ = next(walk)
    folders.remove("one")
    assert list(walk) == []


def test_a_folder_that_cannot_be_read(make):
    """It is an error of a strict walk; a folder that does not exist is not."""
    top = make("file")
    (top / "loop").symlink_to("loop")
    for path in ("loop", "file", "missing"):
        assert list(walk_folder(str(top / path))) == []
    with pytest.raises(OSError, match="loop"):
        list(walk_folder(str(top / "loop"), strict=True))
    assert list(walk_folder(str(top / "file"), strict=True)) == list(walk_folder(str(top / "missing"), strict=True)) == []


def test_only_packages_that_are_linked_belong_to_a_package(make):
    """A linked folder without `__init__.py` is data, which may be large."""
    top = make("top/__init__.py", "top/own/x.py", "top/data -> data", "data/y.py", "top/lib -> lib", "lib/__init__.py") / "top"
    assert files(walk_package(str(top)), top) == ["__init__.py", "lib/__init__.py", "own/x.py"]
