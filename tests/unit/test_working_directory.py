"""The working directory, which may have been deleted."""

from __future__ import annotations

from treadle.working_directory import working_directory


def test_a_deleted_directory_has_no_name(tmp_path, monkeypatch):
    """The directory of the process is returned, and an empty string once it was deleted."""
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert working_directory() == str(folder)
    folder.rmdir()
    assert working_directory() == ""
