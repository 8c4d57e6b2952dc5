"""Datasets and a file system of tests, importable here and in workers by this folder on sys.path."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from pathlib import Path

from fsspec.spec import AbstractFileSystem

from treadle import Dataset


class BucketFileSystem(AbstractFileSystem):
    """An object store as S3 is: keys, no folders, a client that cannot be pickled, nobody let in without a token."""

    protocol = "bucket"
    cachable = False

    def __init__(self, root, token, **options):
        super().__init__(**options)
        if token != "let me in":
            raise PermissionError("the bucket knows no such token")
        self._root, self._client = Path(root), threading.Lock()

    def __reduce__(self):
        raise TypeError("a client of the bucket cannot be pickled")

    def _file(self, path):
        return self._root / self._strip_protocol(path).replace("/", "%")

    def _keys(self):
        return [file.name.replace("%", "/") for file in self._root.iterdir()]

    def info(self, path, **_):
        key = self._strip_protocol(path)
        if self._file(path).is_file():
            return {"name": key, "size": self._file(path).stat().st_size, "type": "file"}
        if any(each.startswith(f"{key}/") for each in self._keys()):
            return {"name": key, "size": 0, "type": "directory"}
        raise FileNotFoundError(path)

    def ls(self, path, detail=True, **_):
        key = self._strip_protocol(path)
        names = sorted({f"{key}/{each[len(key) + 1 :].split('/')[0]}" for each in self._keys() if each.startswith(f"{key}/")})
        return [self.info(name) for name in names] if detail else names

    def makedirs(self, path, exist_ok=False):
        """There are no folders to make."""

    def _open(self, path, mode="rb", **_):
        return self._file(path).open(mode)


class Confirmable(Dataset):
    """Writes down in which process it was confirmed."""

    def __init__(self, filepath, main_process_only=False):
        self.file = Path(filepath)
        self.main_process_only = main_process_only

    def load(self):
        return 5

    def save(self, data):
        self.file.write_text(str(data))

    def confirm(self):
        with self.file.with_suffix(".confirmed").open("a") as file:
            file.write(f"{os.getpid()}\n")


class Unconfirmable(Confirmable):
    """Fails when it is confirmed."""

    def confirm(self):
        raise RuntimeError("no pen at hand")


class Mortal:
    """The set-up of a project in which worker processes are killed, so many of those that have begun it."""

    package_name = None

    def __init__(self, tally, first, last):
        self.tally, self.first, self.last = Path(tally), first, last

    def configure(self):
        with self.tally.open("a") as tally:
            tally.write("x")
        if self.first <= len(self.tally.read_text()) <= self.last:
            os.kill(os.getpid(), signal.SIGKILL)


class LockingDatabase(Dataset):
    """A table of a database that the first process to open it locks until that process ends, as DuckDB does."""

    _open = {}  # noqa: RUF012 - connections stay open in their process
    _opening = threading.Lock()  # threads of one process share its connection

    def __init__(self, filepath, table):
        self.path, self.table = Path(filepath), table

    def _connect(self):
        with self._opening:
            self._connect_once()

    def _connect_once(self):
        if (key := (os.getpid(), self.path)) not in self._open:
            file = self.path.open("a")
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as exc:
                file.close()
                raise OSError(f'IO Error: Could not set lock on file "{self.path}": Conflicting lock is held') from exc
            self._open[key] = file

    def load(self):
        self._connect()
        return int(self.path.with_name(self.table).read_text())

    def save(self, data):
        self._connect()
        self.path.with_name(self.table).write_text(str(data))


class Turnstile(Dataset):
    """Fails where two processes, or threads, are in it at the same time."""

    def __init__(self, folder, table):
        self.folder, self.table = Path(folder), table

    def load(self):
        return int((self.folder / self.table).read_text())

    def save(self, data):
        (self.folder / "taken").mkdir()
        (self.folder / self.table).write_text(str(data))
        os.sched_yield()
        (self.folder / "taken").rmdir()


class AtMost:
    """A validator: numbers up to a limit, which it returns sorted."""

    def __init__(self, limit):
        self._limit = limit

    def validate(self, numbers):
        """Refuse a list with a larger number."""
        for row, number in enumerate(numbers):
            if number > self._limit:
                raise ValueError(f"row {row} is {number}, more than {self._limit}")
        return sorted(numbers)


def short_text(text):
    """Accept short texts."""
    return len(text) < 100
