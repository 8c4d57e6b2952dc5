"""The archive of a project's code: which files are sent to workers that do not have them."""

from __future__ import annotations

import importlib
import io
import os
import sys
import zipfile

import pytest

from treadle.errors import RunnerError
from treadle.execution.executors.dask.code import CodeFolders, ProjectCode, pack_code, unpack_code


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The folder of a package that can be imported as `braided`."""
    folder = tmp_path / "src" / "braided"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path / "src")
    importlib.invalidate_caches()
    yield folder
    sys.modules.pop("braided", None)


def sent(*names):
    """The names of the files that are sent for modules."""
    return sorted(zipfile.ZipFile(io.BytesIO(pack_code(names).archive)).namelist())


def test_what_is_no_file_is_not_sent(package):
    """The lock that an editor makes is a broken link, and a pipe would block the reader."""
    (package / ".#nodes.py").symlink_to("weaver@loom.4711")
    os.mkfifo(package / "pipe")
    assert sent("braided") == ["braided/__init__.py"]


def test_a_package_that_is_linked_is_sent(package, tmp_path):
    """Workers import it from the place of the link; a linked folder of data is not sent, nor a link that leads in a circle."""
    for name in ("shared/inner", "data"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("shared/__init__.py", "shared/inner/__init__.py", "data/large.csv"):
        (tmp_path / name).write_text("")
    (package / "shared").symlink_to(tmp_path / "shared")
    (package / "data").symlink_to(tmp_path / "data")
    (tmp_path / "shared" / "inner" / "outer").symlink_to(tmp_path / "shared")
    (tmp_path / "shared" / "braided").symlink_to(package)
    assert sent("braided") == ["braided/__init__.py", "braided/shared/__init__.py", "braided/shared/inner/__init__.py"]


def test_what_the_user_has_installed_is_not_sent(tmp_path, monkeypatch):
    """Its folder is not among those of the interpreter or environment."""
    folder = tmp_path / ".local" / "lib" / "site-packages"
    folder.mkdir(parents=True)
    (folder / "knitted.py").write_text("")
    monkeypatch.syspath_prepend(folder)
    assert sent("knitted") == []


def test_a_namespace_package_in_several_places(tmp_path, monkeypatch):
    """Its own parts are sent, each file once as Python would import it, and what is installed of it is not."""
    for place, names in {"a": ["one", "both"], "b": ["two", "both"], "site-packages": ["three"]}.items():
        for name in names:
            (tmp_path / place / "braids" / name).mkdir(parents=True)
            (tmp_path / place / "braids" / name / "__init__.py").write_text(f"PLACE = '{place}'")
    for place in ("site-packages", "b", "a"):
        monkeypatch.syspath_prepend(tmp_path / place)
    code = pack_code(["braids.one"])
    with zipfile.ZipFile(io.BytesIO(code.archive)) as archive:
        assert sorted(archive.namelist()) == [f"braids/{name}/__init__.py" for name in ("both", "one", "two")]
        assert archive.read("braids/both/__init__.py") == b"PLACE = 'a'"


def test_a_namespace_package_of_two_versions(tmp_path, monkeypatch):
    """A process that has both keeps the modules of each, also those that are installed."""
    (tmp_path / "site-packages" / "braids" / "lib").mkdir(parents=True)
    (tmp_path / "site-packages" / "braids" / "lib" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    for version in ("1", "2"):
        (tmp_path / version / "braids" / "own").mkdir(parents=True)
        (tmp_path / version / "braids" / "own" / "__init__.py").write_text(f"import braids.lib as lib\nV = {version}")
    folders, seen = CodeFolders(), []
    try:
        for version in ("1", "2", "1", "2"):
            folders.use(str(tmp_path / version))
            own = importlib.import_module("braids.own")
            assert str(own.V) == version
            assert own.lib is sys.modules["braids.lib"] is sys.modules["braids"].lib
            seen.append(own)
    finally:
        folders.use("")
    assert seen[0] is seen[2]
    assert seen[1] is seen[3]
    assert "braids" not in sys.modules


def test_a_node_that_changes_the_import_path(tmp_path, monkeypatch):
    """The next version of the code can be imported all the same."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "braid.py").write_text(f"V = {version}")
    folders = CodeFolders()
    folders.use(str(tmp_path / "1"))
    sys.path.remove(str(tmp_path / "1"))
    folders.use(str(tmp_path / "2"))
    assert importlib.import_module("braid").V == 2
    folders.use("")
    assert str(tmp_path / "2") not in sys.path


def test_a_name_that_is_not_utf8(package):
    """The error names the file."""
    (package / "scarf-\udcff.txt").write_text("")
    with pytest.raises(RunnerError, match=r"scarf-\\udcff\.txt' of the project's code cannot be sent"):
        pack_code(["braided"])


def test_a_file_that_is_too_large_is_not_read(package):
    """The error names the package."""
    with (package / "data.bin").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(RunnerError, match=r"The code in .*braided has more than 67"):
        pack_code(["braided"])


def test_code_that_does_not_fit_leaves_nothing(tmp_path):
    """What was unpacked before the error is removed."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("plain.py", "")
        archive.writestr("plain.py/below.py", "")
    with pytest.raises(OSError, match=r"plain\.py"):
        unpack_code(ProjectCode("1", stream.getvalue()), str(tmp_path / "code"))
    assert list(tmp_path.iterdir()) == []
