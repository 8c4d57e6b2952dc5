"""The files of stored values: private, loaded only if they are what was recorded, and removed when they use too much space."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from treadle.errors import DatasetError, SessionError
from treadle.io.contents import content_of
from treadle.io.datasets.pickled_value import PickledValueDataset
from treadle.observe.store.records import SessionState
from treadle.session.value_files import make_values_folder, remove_values, stored_values, value_file

DAY = 86_400


@dataclass
class Running:
    """A store with one running session."""

    started: float
    state: SessionState = SessionState.RUNNING

    def list(self, _limit: int) -> list[Running]:
        return [self]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three values of 100 bytes, used 1, 5 and 3 days ago."""
    folder = make_values_folder(tmp_path)
    for name, days in (("new", 1), ("a/b, c", 5), ("middle", 3)):
        file = value_file(folder, name, "session")
        file.write_bytes(b"x" * 100)
        os.utime(file, (time.time() - days * DAY,) * 2)
    return folder


def test_the_values_that_were_used_longest_ago_are_removed(folder: Path) -> None:
    assert {each.dataset for each in stored_values(folder)} == {"new", "a/b, c", "middle"}
    assert remove_values(folder, 300, None) == []
    assert [each.dataset for each in remove_values(folder, 250, None)] == ["a/b, c"]
    assert [each.dataset for each in remove_values(folder, 0, None)] == ["middle", "new"]
    assert list(stored_values(folder)) == []


def test_what_a_running_session_may_use_stays(folder: Path) -> None:
    """The time of the last use is exact to a day."""
    running = Running(time.time() - 1.5 * DAY)
    assert [each.dataset for each in remove_values(folder, 0, running)] == ["a/b, c", "middle"]  # type: ignore[arg-type]


def test_a_folder_that_others_may_use_is_refused(tmp_path: Path) -> None:
    folder = make_values_folder(tmp_path)
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o750)
    with pytest.raises(SessionError, match="its mode to 700"):
        make_values_folder(tmp_path)


def test_a_folder_that_a_server_has_made(tmp_path: Path) -> None:
    """Earlier versions made it without the file that has git ignore it."""
    (tmp_path / ".treadle" / "server").mkdir(parents=True)
    make_values_folder(tmp_path)
    assert (tmp_path / ".treadle" / ".gitignore").read_text() == "*\n"


def test_a_long_name_has_a_file(tmp_path: Path) -> None:
    first, second = (value_file(tmp_path, "ä" * 200 + end, "session") for end in "ab")
    assert first != second
    first.write_bytes(b"")


def test_a_value_of_an_earlier_run(tmp_path: Path) -> None:
    """It is loaded if its content is what was recorded, until this run has saved its own; None is a value."""
    earlier, own = str(tmp_path / "earlier"), str(tmp_path / "own")
    PickledValueDataset(earlier).save({"x": lambda: 5})
    record = content_of(PickledValueDataset(earlier), "value")
    assert record is not None
    stored = PickledValueDataset(own, earlier=earlier, digest=record.digest)
    assert content_of(stored, "value", record) is not None
    assert stored.load()["x"]() == 5
    with Path(earlier).open("ab") as file:
        file.write(b"x")
    with pytest.raises(DatasetError, match="not the one that was recorded"):
        stored.load()
    stored.save(None)
    assert stored.load() is None


def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The records of another user are private: the values are not listed as none, and making the folder is a clear error."""

    def refuse(path: str | Path, *_arguments: object, **_keywords: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.listdir", refuse)
    with pytest.raises(SessionError, match="cannot be listed: Permission denied"):
        list(stored_values(tmp_path))
    monkeypatch.setattr("treadle.session.value_files.make_private_folder", refuse)
    with pytest.raises(SessionError, match="cannot be created or read: Permission denied"):
        make_values_folder(tmp_path)
