from __future__ import annotations

import gc
import gzip
import os
import random
import stat
import threading
import zipfile
from pathlib import Path

import fsspec
import pytest
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

from treadle.io import temporary
from treadle.io.opening import OpenArguments
from treadle.io.remote_storage import RemoteStorage
from treadle.io.storage import LocalStorage, is_local, local_path, storage_for

TEXT = OpenArguments()
BINARY = OpenArguments(binary=True)


@pytest.fixture
def remote():
    """A file system that is not this machine's disk, empty before and after."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield RemoteStorage("memory://x", {})
    files.store.clear()


def test_a_failed_save_leaves_the_old_file(tmp_path):
    """When writing fails half way, the old file stays and nothing else is left."""
    path = tmp_path / "x.txt"
    path.write_text("old")

    def fail():
        with LocalStorage().writing(str(path), TEXT) as file:
            file.write("half")
            msg = "stop"
            raise ValueError(msg)

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert path.read_text() == "old"
    assert [left.name for left in tmp_path.iterdir()] == ["x.txt"]


def test_nobody_sees_half_a_file(tmp_path):
    """Until the block ends, a reader sees the old file."""
    path = tmp_path / "x.txt"
    path.write_text("old")
    with LocalStorage().writing(str(path), TEXT) as file:
        file.write("new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_writers_at_once_leave_one_whole_file(tmp_path):
    """Of many writers of one file, one wins, whole."""
    path = tmp_path / "x.txt"
    barrier = threading.Barrier(4)

    def write(letter):
        barrier.wait()
        with LocalStorage().writing(str(path), TEXT) as file:
            file.write(letter * 100_000)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    text = path.read_text()
    assert len(text) == 100_000
    assert len(set(text)) == 1
    assert [left.name for left in tmp_path.iterdir()] == ["x.txt"]


def test_folders_are_made(tmp_path):
    """Missing folders above the file are made."""
    with LocalStorage().writing(str(tmp_path / "a" / "b" / "x.txt"), TEXT) as file:
        file.write("x")
    assert (tmp_path / "a" / "b" / "x.txt").exists()


def test_the_mode_of_the_file_is_kept(tmp_path):
    """A file keeps its permissions when it is replaced; a new one gets the usual ones."""
    path = tmp_path / "x.txt"
    path.write_text("old")
    usual = stat.S_IMODE(path.stat().st_mode)
    path.chmod(0o600)
    for name in ("x.txt", "new.txt"):
        with LocalStorage().writing(str(tmp_path / name), TEXT) as file:
            file.write("new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "new.txt").stat().st_mode) == usual


def test_links_stay_links(tmp_path):
    """Saving through a link replaces the file that it points to."""
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    with LocalStorage().writing(str(tmp_path / "link.txt"), TEXT) as file:
        file.write("new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"


def test_a_link_to_a_folder_that_changes_while_a_file_is_written(tmp_path):
    """The file is saved in the folder where it was begun, and nothing else is left."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "one")
    with LocalStorage().writing(str(tmp_path / "link" / "x.txt"), TEXT) as file:
        (tmp_path / "link").unlink()
        (tmp_path / "link").symlink_to(tmp_path / "two")
        file.write("whole")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("*/*") if path.is_file()] == ["one/x.txt"]
    assert (tmp_path / "one" / "x.txt").read_text() == "whole"


@pytest.mark.parametrize(
    "how", [TEXT, OpenArguments(append=True), OpenArguments(compression="gzip")], ids=["whole", "append", "gzip"]
)
def test_a_link_to_a_folder_that_changes_before_a_file_is_opened(tmp_path, monkeypatch, how):
    """Nor is the file left empty, or written in both folders."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "one" / "x.txt").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "one")
    open_folder = temporary._open_folder

    def change_link(path):
        folder = open_folder(path)
        (tmp_path / "link").unlink()
        (tmp_path / "link").symlink_to(tmp_path / "two")
        return folder

    monkeypatch.setattr(temporary, "_open_folder", change_link)
    with LocalStorage().writing(str(tmp_path / "link" / "x.txt"), how) as file:
        file.write("whole")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("*/*") if path.is_file()] == ["one/x.txt"]
    with LocalStorage().reading(str(tmp_path / "one" / "x.txt"), how) as file:
        assert file.read() == "whole"


@pytest.mark.parametrize("file", ["x.txt", "deeper/x.txt"])
def test_a_link_to_a_folder_that_does_not_exist(tmp_path, file):
    """The folder is created, as a missing one is: a scratch disk may have been emptied."""
    (tmp_path / "link").symlink_to(tmp_path / "scratch" / "data")
    with LocalStorage().writing(str(tmp_path / "link" / file), TEXT) as opened:
        opened.write("x")
    assert (tmp_path / "scratch" / "data" / file).read_text() == "x"


def test_errors_name_the_folder(tmp_path, monkeypatch):
    """The system knows only the names of the files in it."""
    path = tmp_path / "x.txt"
    with pytest.raises(IsADirectoryError, match=f"'{tmp_path}/\\.x.* -> '{path}'"), LocalStorage().writing(str(path), TEXT):
        path.mkdir()
    assert [each.name for each in tmp_path.iterdir()] == ["x.txt"]
    open_folder = temporary._open_folder

    def remove_folder(path):
        folder = open_folder(path)
        Path(path).rmdir()
        return folder

    monkeypatch.setattr(temporary, "_open_folder", remove_folder)
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}/gone/"), LocalStorage().writing(f"{tmp_path}/gone/x", TEXT):
        pass


def test_a_file_that_cannot_be_looked_for_is_an_error(tmp_path):
    """It is not taken for one that does not exist; a link to itself is."""
    with pytest.raises(OSError, match="too long"):
        LocalStorage().exists(str(tmp_path / ("x" * 300)))
    (tmp_path / "circle").symlink_to("circle")
    assert not LocalStorage().exists(str(tmp_path / "circle"))
    assert not LocalStorage().exists(str(tmp_path / "none" / "x"))


def test_devices_are_written_to():
    """What is no regular file is written to and stays what it is."""
    with LocalStorage().writing(os.devnull, BINARY) as file:
        file.write(b"x")
    assert not Path(os.devnull).is_file()


def test_long_names(tmp_path):
    """A name as long as the file system allows can be saved."""
    path = tmp_path / ("é" * 120 + ".txt")
    with LocalStorage().writing(str(path), TEXT) as file:
        file.write("x")
    assert path.read_text() == "x"


def test_compression(tmp_path):
    """Text can be compressed on its way, as asked or as the name says."""
    path = tmp_path / "x.txt.gz"
    for compression in ("gzip", "infer"):
        how = OpenArguments(compression=compression)
        with LocalStorage().writing(str(path), how) as file:
            file.write("hello")
        assert gzip.decompress(path.read_bytes()) == b"hello"
        with LocalStorage().reading(str(path), how) as file:
            assert file.read() == "hello"


def test_names(tmp_path):
    """A folder tells its names; a folder that is not there has none."""
    (tmp_path / "x").write_text("")
    assert LocalStorage().names(str(tmp_path)) == ["x"]
    assert LocalStorage().names(str(tmp_path / "none")) == []


@pytest.mark.parametrize(("how", "value"), [(TEXT, "é\nb"), (BINARY, b"\x00\xff")])
def test_remote_files(remote, how, value):
    """A remote file is written, found, listed and read."""
    with remote.writing("memory://x/y/z.bin", how) as file:
        file.write(value)
    with remote.reading("memory://x/y/z.bin", how) as file:
        assert file.read() == value
    assert remote.exists("memory://x/y/z.bin")
    assert remote.is_folder("memory://x/y")
    assert remote.names("memory://x") == ["y"]
    assert remote.names("memory://x/none") == []


def test_a_failed_remote_save_sends_nothing(remote):
    """When making a remote file fails, nothing is sent."""

    def fail():
        with remote.writing("memory://x/x.txt", TEXT) as file:
            file.write("half")
            msg = "stop"
            raise ValueError(msg)

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert not remote.exists("memory://x/x.txt")


class Uploads(AbstractFileSystem):
    """A remote file system that stores a file when it is closed, as object stores do, and whose connection may break."""

    protocol = "uploads"
    cachable = False
    store = {}  # noqa: RUF012 - shared by all instances, as a server is
    breaks = False

    def _open(self, path, mode="rb", block_size=None, autocommit=True, cache_options=None, **kwargs):
        return Upload(self, path, mode, block_size=1 << 20)

    def isdir(self, path):
        return True

    def info(self, path, **kwargs):
        return {"name": path, "size": len(self.store[path]), "type": "file"}


class Upload(AbstractBufferedFile):
    """A file that is stored when its last block is written."""

    def _initiate_upload(self):
        self.blocks = []

    def _upload_chunk(self, final=False):
        if self.fs.breaks and self.blocks:
            self.fs.breaks = False  # closing the file could complete it
            raise ConnectionError("the line is dead")
        self.blocks.append(self.buffer.getvalue())
        if final:
            self.fs.store[self.path] = b"".join(self.blocks)
        return True


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_an_upload_that_breaks_leaves_the_old_file(monkeypatch, compression):
    """Nothing is stored of what was sent before the connection broke."""
    fsspec.register_implementation("uploads", Uploads, clobber=True)
    storage = RemoteStorage("uploads://x", {})
    how = OpenArguments(binary=True, compression=compression)

    def save(data):
        with storage.writing("uploads://x/x.bin", how) as file:
            file.write(data)

    save(b"old")
    (stored,) = Uploads.store.values()
    assert stored == b"old" if compression is None else gzip.decompress(stored) == b"old"
    monkeypatch.setattr(Uploads, "breaks", True)
    with pytest.raises(ConnectionError, match="the line is dead"):
        save(random.Random(1).randbytes(5 << 20))
    gc.collect()
    assert list(Uploads.store.values()) == [stored]
    Uploads.store.clear()


def test_a_file_inside_an_archive(tmp_path):
    """An address may name one file system inside another."""
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("in/x.txt", "hello")
    address = f"zip://in/x.txt::{path}"
    storage = storage_for(address, {})
    assert storage.exists(address)
    with storage.reading(address, TEXT) as file:
        assert file.read() == "hello"


def test_addresses():
    """Plain paths and file:// are local; other protocols and chains are not."""
    assert is_local("data/x.csv")
    assert is_local("file:///data/x.csv")
    assert not is_local("s3://bucket/x")
    assert not is_local("memory:x")
    assert not is_local("zip://x::data.zip")
    assert local_path("file:///data/../x") == "/x"
    assert local_path("x") == str(Path("x").absolute())
    assert isinstance(storage_for("x", {}), LocalStorage)
    assert isinstance(storage_for("memory://x", {}), RemoteStorage)
