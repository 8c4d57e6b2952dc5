"""The state of dataset objects in a run: what they learn by saving reaches later loaders, and each is released once.

A dataset's `save` may set attributes that its `load` or `release` needs: an id that a server gave, the name of a temporary
file. Each process has an object of its own, so the attributes that a save changed are written to a file of the run, and a
process that loads the dataset later reads them first.

::

    worker that saves                     directory of the run            other workers, and the parent
    before_save ─► save ─► after_save ──(attributes that changed)──►  before_load ─► load
                                                                      DatasetUpkeep: refresh, release after the last consumer

State: the files, and for each process what it has read and how its objects were before their first save.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from treadle.events import NodeFinished
from treadle.execution.processes.scratch import Scratch
from treadle.execution.values.pickling import ATOMS
from treadle.forks import fork_safe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from treadle.events import Event
    from treadle.planning import Plan

_PLACE_ONLY = frozenset(
    {"_fs", "_version", "_version_cache", "_cached_load_version", "_cached_save_version", "_exists_function", "_glob_function"}
)
"""Attributes of Kedro's datasets that belong to one process, or that the run has pinned."""

_COMPARED_BYTES = 1 << 16
"""Up to this size an attribute's content is compared; a larger one has changed where it is another object."""

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class _Changes:
    """What a dataset learned.

    Attributes:
        values: the pickled dictionary of the attributes that changed.
        removed: attributes that are gone.
        stuck: attributes that do not pickle, each with the reason.
    """

    values: bytes
    removed: tuple[str, ...]
    stuck: tuple[tuple[str, str], ...]


@contextmanager
def run_folder(*, wanted: bool) -> Iterator[str | None]:
    """Make a directory that the processes of one run share, and remove it after the run.

    Args:
        wanted: False yields None.

    Yields:
        Its path; only this user can enter it, and it is swept up where this process is killed.
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
    """What the datasets of one run learn by saving, shared by the processes of the run.

    Args:
        folder: a directory that only this user can enter.
        names: the datasets that are watched.
    """

    def __init__(self, folder: str, names: Iterable[str]) -> None:
        self.folder = folder
        self.names = frozenset(names)
        self._before: dict[str, dict[str, tuple[Any, bytes | None]]] = {}
        self._read: dict[str, tuple[int, int]] = {}
        self._stuck: dict[str, tuple[tuple[str, str], ...]] = {}
        self._lock = fork_safe(threading.Lock())  # a node may load and save in threads

    def __reduce__(self) -> tuple[Any, ...]:
        return SharedState, (self.folder, tuple(self.names))

    def before_save(self, name: str, dataset: Any) -> None:
        """Note how a dataset is before this process first saves it."""
        with self._lock:
            if name not in self._before:
                self._before[name] = {key: (value, _content(value)) for key, value in _attributes(dataset).items()}

    def after_save(self, name: str, dataset: Any) -> None:
        """Write down what a dataset has learned since `before_save`, for other processes."""
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
        """Give this process's dataset what was learned of it elsewhere.

        Args:
            name: the dataset's name.
            dataset: returns the object; called only where there is something to give it.

        Returns:
            The attributes that could not be sent, each with the reason; empty where nothing is new.
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
            self._stuck[name] = changes.stuck
            return changes.stuck

    def explain(self, name: str, error: BaseException) -> None:
        """Add to a load's error that the dataset lacks what it learned in another process, where that is so."""
        if stuck := self._stuck.get(name):
            notes = error.__dict__.setdefault("__notes__", [])
            notes.append(describe_stuck(name, stuck))

    def _path(self, name: str) -> str:
        return os.path.join(self.folder, f"state-{hashlib.blake2b(name.encode(), digest_size=12).hexdigest()}")


class DatasetUpkeep:
    """Observes a run in the parent: brings what datasets learned here, and releases each after its last consumer.

    A `release` that raises does not stop the loop; `check` raises it when the run is over.

    Args:
        plan: the run's.
        shared: what datasets learn in other processes; None where all nodes run in this one.
        dataset: returns a dataset of this process, by name.
        release: releases a dataset, by name.
        released: the datasets that are released here, after the last node that loads them; results of the run are not.
        warn: takes a warning's text.
    """

    def __init__(
        self,
        plan: Plan,
        shared: SharedState | None,
        *,
        dataset: Callable[[str], Any],
        release: Callable[[str], None],
        released: Iterable[str],
        warn: Callable[[str], None],
    ) -> None:
        self._shared = shared
        self._dataset = dataset
        self._release = release
        self._warn = warn
        self._error: BaseException | None = None
        names = [each.name for each in plan.datasets]
        watched = shared.names if shared is not None else frozenset()
        self._saved_by = {
            node.name: [names[each] for each in node.outputs if names[each] in watched] for node in plan.nodes if watched
        }
        self._waiting: dict[str, set[str]] = {}
        self._done_by: dict[str, list[str]] = {}
        results = {each.name for each in plan.datasets if each.is_result}
        users: dict[str, set[str]] = {name: set() for name in released if name not in results}
        for node in plan.nodes:
            for each in node.inputs:
                if names[each] in users:
                    users[names[each]].add(node.name)
        for node in plan.nodes:
            for each in node.outputs:
                if not users.get(names[each], True):  # it is loaded by another name, which is another object
                    users[names[each]].add(node.name)
        for name, nodes in users.items():
            if nodes:
                self._waiting[name] = nodes
                for user in nodes:
                    self._done_by.setdefault(user, []).append(name)

    def __bool__(self) -> bool:
        """True where there is anything to do in this run."""
        return bool(self._waiting or any(self._saved_by.values()))

    def __call__(self, event: Event) -> None:
        """Take one event of the run."""
        if not isinstance(event, NodeFinished):
            return
        try:
            for name in self._saved_by.get(event.node, ()):
                self._refresh(name)
            for name in self._done_by.get(event.node, ()):
                waiting = self._waiting.get(name)
                if waiting is not None:
                    waiting.discard(event.node)
                    if not waiting:
                        del self._waiting[name]
                        self._release(name)
        except BaseException as exc:  # the loop goes on; `check` raises it
            if not isinstance(exc, Exception):
                raise
            self._error = self._error or exc

    def check(self) -> None:
        """Raise what the first failed release raised."""
        if self._error is not None:
            raise self._error

    def _refresh(self, name: str) -> None:
        if self._shared is None:
            return
        stuck = self._shared.refresh(name, lambda: self._dataset(name))
        if stuck:
            self._warn(describe_stuck(name, stuck))


def describe_stuck(name: str, stuck: Iterable[tuple[str, str]]) -> str:
    """Say which attributes of a dataset stayed in the process that saved it, and what to do about it."""
    what = ", ".join(f"{attribute} ({reason})" for attribute, reason in stuck)
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
    return {key: value for key, value in found.items() if key not in _PLACE_ONLY}


def _differs(value: Any, before: tuple[Any, bytes | None]) -> bool:
    earlier, content = before
    if type(value) in ATOMS:
        return type(earlier) is not type(value) or bool(earlier != value)
    now = _content(value)
    if content is not None and now is not None:
        return content != now
    return value is not earlier


def _content(value: Any) -> bytes | None:
    """Return the pickle of a small attribute; None where it is large or does not pickle."""
    if type(value) in ATOMS:
        return None
    sink = _Sink()
    try:
        pickle.Pickler(sink, protocol=5).dump(value)
    except Exception:  # noqa: BLE001 - pickling runs the code of any class; such an attribute is compared by identity
        return None
    return b"".join(sink.parts)


class _Sink:
    """Takes a pickle up to a size."""

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
    except Exception:  # noqa: BLE001 - as in _content; which attribute it was is found out below
        fit, stuck = {}, []
        for key, value in changed.items():
            try:
                dumps(value)
            except Exception as exc:  # noqa: BLE001 - as above
                stuck.append((key, f"{type(value).__qualname__}: {exc}"))
            else:
                fit[key] = value
        return _Changes(dumps(fit), removed, tuple(stuck))


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
