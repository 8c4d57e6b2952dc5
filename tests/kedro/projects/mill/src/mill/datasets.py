"""Datasets of the project's own."""

import fcntl
import os
import threading
from pathlib import Path

from kedro.io import AbstractDataset


class LockedDataset(AbstractDataset):
    """Holds a lock, so that it cannot be pickled, and needs its credentials."""

    def __init__(self, filepath, credentials):
        self._filepath = Path(filepath)
        self._key = credentials["key"]
        self._lock = threading.Lock()

    def load(self):
        with self._lock:
            return self._filepath.read_text(encoding="utf-8").removeprefix(self._key)

    def save(self, data):
        with self._lock:
            self._filepath.parent.mkdir(parents=True, exist_ok=True)
            self._filepath.write_text(self._key + data, encoding="utf-8")

    def _exists(self):
        return self._filepath.exists()

    def _describe(self):
        return {"filepath": str(self._filepath)}


class AppendingDataset(AbstractDataset):
    """Appends what it is given: for nodes that yield chunks."""

    def __init__(self, filepath):
        self._filepath = Path(filepath)

    def load(self):
        return self._filepath.read_text(encoding="utf-8")

    def save(self, data):
        self._filepath.parent.mkdir(parents=True, exist_ok=True)
        with self._filepath.open("a", encoding="utf-8") as chunks:
            chunks.write(data)

    def _describe(self):
        return {"filepath": str(self._filepath)}


class AtHomeDataset(AbstractDataset):
    """Keeps its data in the object and may not leave its process."""

    _SINGLE_PROCESS = True

    def __init__(self):
        self._home = os.getpid()
        self._data = None

    def load(self):
        self._check()
        return self._data

    def save(self, data):
        self._check()
        self._data = data

    def _check(self):
        if os.getpid() != self._home:
            raise RuntimeError("away from home")

    def _describe(self):
        return {}


class LockingDatabase(AbstractDataset):
    """A table of a database that the first process to open it locks until that process ends, as DuckDB does."""

    _connections = {}  # noqa: RUF012 - of the whole process

    def __init__(self, filepath, table):
        self._filepath, self._table = Path(filepath), table

    def _connect(self):
        key = os.getpid(), self._filepath
        if key not in self._connections:
            file = self._filepath.open("a")
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._connections[key] = file

    def _load(self):
        self._connect()
        return self._filepath.with_name(self._table).read_text()

    def _save(self, data):
        self._connect()
        self._filepath.with_name(self._table).write_text(data)

    def _describe(self):
        return {"filepath": str(self._filepath), "table": self._table}
