"""Share the attributes that datasets set when they are saved between the processes of a run.

A dataset's `save` may set attributes that its `load` or `release` needs, such as an id assigned by a server or the name of a
temporary file. Each process has its own dataset object, so the attributes that a save changed are written to a file of the
run, and a process that loads the dataset later applies them first.

::

    worker that saves                     directory of the run            other workers, and the parent
    before_save ─► save ─► after_save ───(changed attributes)───►     refresh ─► load
                                                                      DatasetUpkeep: refresh, release after the last consumer

Runs wherever nodes run. State: the files; for each process, the versions that it has read, and the attributes of its objects
before their first save.
"""

from __future__ import annotations

import os
import pickle
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from treadle.execution.processes.scratch import Scratch
from treadle.execution.values.pickling import ATOMS
from treadle.forks import fork_safe
from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

STATE_FILES, PLUGIN_FILES = "state-", "hooks-"
"""How the names of a run's files begin: the attributes of a dataset, and what a plugin of another framework has collected."""

_PROCESS_LOCAL = frozenset(
    {"_fs", "_version", "_version_cache", "_cached_load_version", "_cached_save_version", "_exists_function", "_glob_function"}
)
"""Attributes of Kedro's datasets that are valid in one process only, or that the run has fixed."""

_COMPARED_BYTES = 1 << 16
"""Attributes up to this size are compared by content, larger ones by identity."""

_ABSENT = object()


class _Changes(NamedTuple):
    """The attributes of a dataset that saving changed.

    Attributes:
        values: the pickled dictionary of the attributes that were set.
        removed: attributes that were deleted.
        unpicklable: attributes that cannot be pickled, each with the reason.
    """

    values: bytes
    removed: tuple[str, ...]
    unpicklable: tuple[tuple[str, str], ...]


@contextmanager
def run_folder(*, wanted: bool) -> Iterator[str | None]:
    """Create a directory that the processes of one run share, and remove it after the run.

    Args:
        wanted: if False, no directory is created and None is yielded.

    Yields:
        Its path. Only this user can enter it, and it is removed even if this process is killed.
    """
    if not wanted:
        yield None
        return
    scratch = Scratch.create()
    try:
        yield scratch.path
    finally:
        scratch.remove()


class SharedState:
    """The attributes that datasets set when they are saved, shared by the processes of one run.

    Args:
        folder: a directory that only this user can enter.
        names: the datasets whose attributes are shared.
    """

    def __init__(self, folder: str, names: Iterable[str]) -> None:
        self.folder = folder
        self.names = frozenset(names)
        self._before: dict[str, dict[str, tuple[Any, bytes | None]]] = {}
        self._read: dict[str, tuple[int, int]] = {}
        self._unpicklable: dict[str, tuple[tuple[str, str], ...]] = {}
        self._lock = fork_safe(threading.Lock())  # a node may load and save in threads

    def __reduce__(self) -> tuple[Any, ...]:
        return SharedState, (self.folder, tuple(self.names))

    def before_save(self, name: str, dataset: Any) -> None:
        """Record a dataset's attributes before this process first saves it."""
        with self._lock:
            if name not in self._before:
                self._before[name] = {key: (value, _content(value)) for key, value in _attributes(dataset).items()}

    def after_save(self, name: str, dataset: Any) -> None:
        """Write the attributes that changed since `before_save` to a file, for other processes."""
        with self._lock:
            before, now = self._before[name], _attributes(dataset)
            changed = {key: value for key, value in now.items() if _differs(value, before.get(key, (_ABSENT, None)))}
            removed = tuple(key for key in before if key not in now)
            if not changed and not removed and name not in self._read:
                return
            path = self._path(name)
            partial = f"{path}.{os.getpid()}"
            with open(partial, "wb") as file:
                pickle.dump(_pack(changed, removed), file, protocol=5)
            self._read[name] = _stamp(os.stat(partial))
            os.replace(partial, path)

    def refresh(self, name: str, dataset: Callable[[], Any]) -> tuple[tuple[str, str], ...]:
        """Apply the attributes that another process's save set to this process's dataset.

        Args:
            name: the dataset's name.
            dataset: returns the dataset object; called only if there are new attributes.

        Returns:
            The attributes that could not be pickled, each with the reason; empty if nothing is new.
        """
        with self._lock:
            path = self._path(name)
            try:
                stamp = _stamp(os.stat(path))
            except FileNotFoundError:
                return ()
            if self._read.get(name) == stamp:
                return ()
            with open(path, "rb") as file:
                changes: _Changes = pickle.load(file)  # noqa: S301 - a process of this run wrote it
            self._read[name] = stamp
            _apply(dataset(), pickle.loads(changes.values), changes.removed)  # noqa: S301 - as above
            self._unpicklable[name] = changes.unpicklable
            return changes.unpicklable

    def explain(self, name: str, error: BaseException) -> None:
        """Add a note to a load's error if attributes of the dataset could not be transferred to this process."""
        if unpicklable := self._unpicklable.get(name):
            notes = error.__dict__.setdefault("__notes__", [])
            notes.append(describe_unpicklable(name, unpicklable))

    def _path(self, name: str) -> str:
        import hashlib

        return os.path.join(self.folder, f"{STATE_FILES}{hashlib.blake2b(name.encode(), digest_size=12).hexdigest()}")


def describe_unpicklable(name: str, unpicklable: Iterable[tuple[str, str]]) -> str:
    """Return the message about attributes of a dataset that could not leave the process that saved it."""
    what = ", ".join(f"{attribute} ({reason})" for attribute, reason in unpicklable)
    return (
        f"Saving dataset '{name}' set attributes that cannot be pickled: {what}. Other worker processes and the main process do "
        "not have them. If its load needs them, set `_SINGLE_PROCESS = True` (Kedro) or `main_process_only = True` (Treadle) in "
        "the dataset's class: its nodes then run in the main process, on one object."
    )


def _attributes(dataset: Any) -> dict[str, Any]:
    found = dict(getattr(dataset, "__dict__", {}))
    for kind in type(dataset).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if slot not in ("__dict__", "__weakref__") and not slot.startswith("__"):
                value = getattr(dataset, slot, _ABSENT)
                if value is not _ABSENT:
                    found[slot] = value
    return {key: value for key, value in found.items() if key not in _PROCESS_LOCAL}


def _differs(value: Any, before: tuple[Any, bytes | None]) -> bool:
    earlier, content = before
    if type(value) in ATOMS:
        return type(earlier) is not type(value) or bool(earlier != value)
    now = _content(value)
    if content is not None and now is not None:
        return content != now
    return value is not earlier


def _content(value: Any) -> bytes | None:
    """Return the pickle of a small attribute; None if it is large or cannot be pickled."""
    if type(value) in ATOMS:
        return None
    sink = _Sink()
    try:
        pickle.Pickler(sink, protocol=5).dump(value)
    except Exception:  # noqa: BLE001 - pickling runs arbitrary code; an attribute that fails is compared by identity
        return None
    return b"".join(sink.parts)


class _Sink:
    """A file-like object that collects a pickle, and raises once it exceeds `_COMPARED_BYTES`."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self._room = _COMPARED_BYTES

    def write(self, data: Any) -> int:
        part = bytes(memoryview(data)[: self._room + 1])
        self._room -= len(part)
        if self._room < 0:
            msg = "too large to be compared"
            raise ValueError(msg)
        self.parts.append(part)
        return len(part)


def _pack(changed: Mapping[str, Any], removed: tuple[str, ...]) -> _Changes:
    from treadle.execution.values.by_value import dumps

    try:
        return _Changes(dumps(dict(changed)), removed, ())
    except Exception:  # noqa: BLE001 - as in _content; the loop below finds the attributes at fault
        picklable, unpicklable = {}, []
        for key, value in changed.items():
            try:
                dumps(value)
            except Exception as exc:  # noqa: BLE001 - as above
                unpicklable.append((key, f"{type(value).__qualname__}: {exc}"))
            else:
                picklable[key] = value
        return _Changes(dumps(picklable), removed, tuple(unpicklable))


def _apply(dataset: Any, values: Mapping[str, Any], removed: Iterable[str]) -> None:
    own = getattr(dataset, "__dict__", None)
    for key, value in values.items():
        if own is not None and not _is_slot(type(dataset), key):
            own[key] = value
        else:
            object.__setattr__(dataset, key, value)
    for key in removed:
        if own is not None and key in own:
            del own[key]


def _is_slot(kind: type, key: str) -> bool:
    return any(
        key in ((slots,) if isinstance(slots := each.__dict__.get("__slots__", ()), str) else slots) for each in kind.__mro__
    )


def _stamp(status: os.stat_result) -> tuple[int, int]:
    return status.st_ino, status.st_mtime_ns
