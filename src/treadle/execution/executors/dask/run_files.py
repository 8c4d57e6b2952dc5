"""The directory that the processes of a run share, for processes without a common file system: each has one, files are sent.

Datasets and Kedro's plugins write small files into it (`attempt/dataset_state.py`): a worker sends those that a node has written
with the node's result, and the driver passes the state of datasets on to a worker with its next job. State: what a process knows
of each file. `RunFolder` is used on both sides, `FileExchange` in the driver. `job_runner.py` and `link.py` send the files.
"""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.execution.attempt.dataset_state import PLUGIN_FILES, STATE_FILES
from treadle.forks import fork_safe

if TYPE_CHECKING:
    from collections.abc import Iterable


class RunFolder:
    """The directory of a run in one process.

    Args:
        path: the directory, which exists.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._known: dict[str, tuple[int, int]] = {}
        self._lock = fork_safe(threading.Lock())  # in a worker, the event loop writes while a node has written

    def changed(self) -> tuple[tuple[str, bytes], ...]:
        """Return the files that this process has written since the last call."""
        found = []
        with self._lock, suppress(FileNotFoundError), os.scandir(self.path) as entries:  # the run may have been ended
            for entry in entries:
                if not entry.name.startswith((STATE_FILES, PLUGIN_FILES)) or "." in entry.name:
                    continue  # a file of the process itself, or one that is not complete
                status = entry.stat()
                stamp = (status.st_ino, status.st_mtime_ns)
                if self._known.get(entry.name) != stamp:
                    self._known[entry.name] = stamp
                    found.append((entry.name, Path(entry.path).read_bytes()))
        return tuple(found)

    def write(self, files: Iterable[tuple[str, bytes]]) -> None:
        """Write files of other processes.

        Args:
            files: names and contents.
        """
        with self._lock:
            for name, content in files:
                target = Path(self.path, name)
                partial = target.with_name(f"{name}.partial")
                partial.write_bytes(content)
                status = partial.stat()
                self._known[name] = (status.st_ino, status.st_mtime_ns)
                partial.replace(target)

    def remove(self) -> None:
        """Remove the directory."""
        shutil.rmtree(self.path, ignore_errors=True)


class FileExchange:
    """The files of a run in the driver, and who has which of them.

    Args:
        path: the run's directory.
    """

    def __init__(self, path: str) -> None:
        self._folder = RunFolder(path)
        self._serial = 0
        self._files: dict[str, tuple[int, str, bytes]] = {}  # name -> serial, link that sent it, content

    def receive(self, files: Iterable[tuple[str, bytes]], link: str) -> None:
        """Write the files of a worker.

        Args:
            files: names and contents.
            link: id of the link to the worker.
        """
        self._folder.write(files)
        self._note(files, link)

    def unsent(self, seen: int, link: str) -> tuple[int, tuple[tuple[str, bytes], ...]]:
        """Return the states of datasets that a worker does not have.

        Args:
            seen: what the last call for this worker returned first; 0 at the beginning.
            link: id of the link to the worker.

        Returns:
            What to pass next time, and the files.
        """
        self._note(self._folder.changed(), "")  # by nodes of the main process
        unsent = [(name, content) for name, (serial, source, content) in self._files.items() if serial > seen and source != link]
        return self._serial, tuple(each for each in unsent if each[0].startswith(STATE_FILES))

    def _note(self, files: Iterable[tuple[str, bytes]], link: str) -> None:
        for name, content in files:
            self._serial += 1
            self._files[name] = (self._serial, link, content)
