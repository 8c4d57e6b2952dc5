"""Temporary files beside those that they replace: none stays that a killed process left, and none goes that is being written."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from treadle import Catalog
from treadle.io.opening import OpenArguments
from treadle.io.storage import LocalStorage
from treadle.io.temporary import TemporaryFile, remove_leftovers, temporary_folder_in

KILLED = """
import os, signal, sys
from treadle.io.opening import OpenArguments
from treadle.io.storage import LocalStorage
with LocalStorage().writing(sys.argv[1], OpenArguments()) as file:
    file.write("half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def leave():
    """Leave what a process leaves that is killed while it writes a file."""

    def killed(path):
        before = set(path.parent.iterdir())
        process = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
        assert process.returncode == -signal.SIGKILL
        (left,) = set(path.parent.iterdir()) - before
        return left

    return killed


def test_what_a_killed_process_left_is_removed(tmp_path, leave):
    """By name and missing lock; the file itself, and what others call similarly, stay."""
    target = tmp_path / "x.csv"
    target.write_text("before")
    others = [tmp_path / name for name in (".x.0123456789ab.tmp.csv", ".x.short.treadle.csv", "x.0123456789ab.treadle.csv")]
    for other in others:
        other.write_text("mine")
    left = leave(target)
    assert left.read_text() == "half"
    assert remove_leftovers([str(target)]) == [str(left)]
    assert target.read_text() == "before"
    assert all(other.exists() for other in others)


def test_what_is_being_written_stays(tmp_path):
    """Another process, or this one, may write the same file at the same time."""
    target = tmp_path / "x.csv"
    with LocalStorage().writing(str(target), OpenArguments()) as file:
        file.write("whole")
        assert remove_leftovers([str(target)]) == []
    assert target.read_text() == "whole"
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]


def test_versions_and_partitions(tmp_path, leave):
    """Within the folder of a dataset too; a version that has nothing else goes with it."""
    version = tmp_path / "x.csv" / "run-2" / "x.csv"
    partition = tmp_path / "parts" / "2024" / "may.csv"
    for path in (version, partition):
        path.parent.mkdir(parents=True)
        leave(path)
    (partition.parent / "june.csv").write_text("whole")
    (tmp_path / "x.csv" / "run-1").mkdir()
    catalog = Catalog.from_config(
        {
            "x": {"type": "pandas.CSVDataset", "filepath": "x.csv", "versioned": True},
            "parts": {"type": "partitions.PartitionedDataset", "path": "parts", "dataset": "text.TextDataset"},
            "far": {"type": "text.TextDataset", "filepath": "s3://bucket/x.txt"},
            "gone": {"type": "text.TextDataset", "filepath": "nowhere/x.txt"},
        },
        project_path=tmp_path,
    )
    assert len(catalog.remove_leftovers(["x", "parts", "far", "gone"])) == 2
    assert not version.parent.exists()
    assert (tmp_path / "x.csv" / "run-1").exists()
    assert [path.name for path in partition.parent.iterdir()] == ["june.csv"]


def test_a_file_that_is_taken_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    """Another process may see it in the moment between; the second name is used then."""
    import fcntl

    taken = []
    lock = fcntl.flock

    def take_first(descriptor, operation):
        if not taken:
            taken.extend(tmp_path.iterdir())
            taken[0].unlink()
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", take_first)
    with TemporaryFile(str(tmp_path / "x.csv")) as file:
        assert Path(file.path).exists()
        assert Path(file.path) != taken[0]


def test_a_folder_that_is_removed_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    """Another run, which removes leftovers, may find a new folder before its process has opened it."""
    really_open, removed = os.open, []

    def open_late(path, *arguments, **options):
        if not removed:
            removed.append(path)
            Path(path).rmdir()
        return really_open(path, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", open_late)
        with temporary_folder_in(tmp_path) as folder:
            assert folder.is_dir()
            assert folder not in removed
    assert len(removed) == 1
    assert list(tmp_path.iterdir()) == []


def test_no_folder_stays_if_no_more_files_may_be_opened(tmp_path, monkeypatch):
    """A folder that cannot be locked is removed again."""

    def refuse(*_arguments, **_options):
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        with pytest.raises(OSError, match="Too many open files"), temporary_folder_in(tmp_path):
            pass
    assert list(tmp_path.iterdir()) == []
