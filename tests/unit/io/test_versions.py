from __future__ import annotations

import re
import time

import pytest

from treadle.errors import DatasetError
from treadle.io import Catalog
from treadle.io.storage import LocalStorage
from treadle.io.versions import new_version, newest_version, version_path

ENTRY = {"note": {"type": "text.TextDataset", "filepath": "note.txt", "versioned": True}}


def catalog(folder, save=None, load=None):
    return Catalog.from_config(ENTRY, project_path=folder, save_version=save, load_versions={"note": load} if load else None)


def test_new_version():
    """A version is a UTC time with milliseconds, without signs that file systems dislike."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d\.\d\d\.\d\d\.\d{3}Z", new_version())


def test_two_versions_of_a_process_are_never_equal(monkeypatch):
    """Two runs that begin in the same millisecond, or after the clock was set back, save under different versions, in order."""
    now = 4_000_000_000_123_000_000
    monkeypatch.setattr(time, "time_ns", lambda: now)
    first, second = new_version(), new_version()
    assert (first, second) == ("2096-10-02T07.06.40.123Z", "2096-10-02T07.06.40.124Z")
    now -= 60_000_000_000
    assert new_version() == "2096-10-02T07.06.40.125Z"


def test_layout(tmp_path):
    """A version lies in a folder of its name, under the path, by the name of the file."""
    catalog(tmp_path, "v1").save("note", "one")
    assert (tmp_path / "note.txt" / "v1" / "note.txt").read_text() == "one"


def test_newest_is_loaded(tmp_path):
    """A run that saved nothing loads the newest version."""
    catalog(tmp_path, "v1").save("note", "one")
    catalog(tmp_path, "v2").save("note", "two")
    assert catalog(tmp_path, "v3").load("note") == "two"
    assert catalog(tmp_path, "v3").exists("note")


def test_load_version(tmp_path):
    """A load version is loaded, whatever is newer; one that is not there does not exist."""
    catalog(tmp_path, "v1").save("note", "one")
    catalog(tmp_path, "v2").save("note", "two")
    assert catalog(tmp_path, "v3", load="v1").load("note") == "one"
    assert not catalog(tmp_path, "v3", load="v9").exists("note")
    with pytest.raises(DatasetError, match="'note'"):
        catalog(tmp_path, "v3", load="v9").load("note")


def test_a_run_loads_what_it_saved(tmp_path):
    """A run loads its own version though another run saves a newer one, in any of its processes."""
    mine = catalog(tmp_path, "v1")
    mine.save("note", "mine")
    catalog(tmp_path, "v2").save("note", "theirs")
    assert mine.load("note") == "mine"
    assert Catalog.from_part(mine.subset(["note"])).load("note") == "mine"


def test_a_second_attempt_replaces_the_first(tmp_path):
    """A version belongs to one run, so saving it again in that run replaces it."""
    run = catalog(tmp_path, "v1")
    run.save("note", "half")
    run.save("note", "whole")
    assert run.load("note") == "whole"


def test_no_version_yet(tmp_path):
    """Where there is no version, the dataset does not exist, and loading says so."""
    assert not catalog(tmp_path).exists("note")
    with pytest.raises(DatasetError, match=r"'note'.*no version in .*note.txt yet"):
        catalog(tmp_path).load("note")


def test_a_plain_file_in_the_way(tmp_path):
    """A file without versions in the place of the folder is an error that says so."""
    (tmp_path / "note.txt").write_text("old")
    with pytest.raises(DatasetError, match="is a file, but this versioned dataset"):
        catalog(tmp_path).save("note", "new")
    assert (tmp_path / "note.txt").read_text() == "old"


@pytest.mark.parametrize("version", ["../x", "a/b", "..", ".", "", "a\\b"])
def test_versions_stay_in_their_folder(version):
    """A version that would lead elsewhere is refused."""
    with pytest.raises(DatasetError, match="cannot be a version"):
        version_path("data/x.csv", version)


def test_folders_without_the_file_are_no_versions(tmp_path):
    """A folder that does not hold the file, as after a save that failed, is passed over."""
    path = tmp_path / "x.txt"
    (path / "v1").mkdir(parents=True)
    (path / "v1" / "x.txt").write_text("")
    (path / "v2").mkdir()
    assert newest_version(LocalStorage(), str(path)) == "v1"
    assert newest_version(LocalStorage(), str(tmp_path / "none")) is None


def test_versions_without_a_catalog(tmp_path):
    """A dataset made in code makes its version from the time, and keeps it."""
    from treadle.io.datasets.text import TextDataset

    dataset = TextDataset(tmp_path / "x.txt", version=(None, None))
    dataset.save("one")
    dataset.save("two")
    assert len(list((tmp_path / "x.txt").iterdir())) == 1
    assert dataset.load() == "two"
    assert set(dataset.describe()["version"]) == {"load", "save"}
