"""Share the attributes that datasets set when they are saved, and release each dataset after its last consumer.

A dataset's `save` may set attributes that its `load` or `release` needs, such as an id assigned by a server or the name of a
temporary file. Each process has its own dataset object, so the attributes that a save changed are written to a file of the
run, and a process that loads the dataset later applies them first.

::

    worker that saves                     directory of the run            other workers, and the parent
    before_save ─► save ─► after_save ───(changed attributes)───►     refresh ─► load
                                                                      DatasetUpkeep: refresh, release after the last consumer

State: the files; for each process, the versions that it has read, and the attributes of its objects before their first save.
"""

from __future__ import annotations

import os
import pickle
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

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

        return os.path.join(self.folder, f"state-{hashlib.blake2b(name.encode(), digest_size=12).hexdigest()}")


class DatasetUpkeep:
    """Observes a run in the parent: keeps its dataset objects up to date, and releases each after its last consumer.

    A `release` that raises does not stop the loop; `check` raises its error after the run.

    Args:
        plan: the plan of the run.
        shared: the attributes set in other processes; None if all nodes run in this process.
        dataset: returns a dataset of this process, by name.
        release: releases a dataset, by name.
        released: the datasets to release after the last node that loads them; results of the run are never released.
        warn: receives the text of each warning.
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
        self._pending_users: dict[str, set[str]] = {}
        self._used_by: dict[str, list[str]] = {}
        results = {each.name for each in plan.datasets if each.is_result}
        users: dict[str, set[str]] = {name: set() for name in released if name not in results}
        for node in plan.nodes:
            for each in node.inputs:
                if names[each] in users:
                    users[names[each]].add(node.name)
        for node in plan.nodes:
            for each in node.outputs:
                if not users.get(
                    names[each], True
                ):  # no consumer (a transcoded name is another object): its producer uses it last
                    users[names[each]].add(node.name)
        for name, nodes in users.items():
            if nodes:
                self._pending_users[name] = nodes
                for user in nodes:
                    self._used_by.setdefault(user, []).append(name)

    def __bool__(self) -> bool:
        """True if there is any dataset to refresh or release in this run."""
        return bool(self._pending_users or any(self._saved_by.values()))

    def __call__(self, event: Event) -> None:
        """Handle one event of the run."""
        if not isinstance(event, NodeFinished):
            return
        try:
            for name in self._saved_by.get(event.node, ()):
                self._refresh(name)
            for name in self._used_by.get(event.node, ()):
                pending = self._pending_users.get(name)
                if pending is not None:
                    pending.discard(event.node)
                    if not pending:
                        del self._pending_users[name]
                        self._release(name)
        except BaseException as exc:  # the loop continues; `check` raises the error after the run
            if not isinstance(exc, Exception):
                raise
            self._error = self._error or exc

    def check(self) -> None:
        """Raise the first error that a refresh or a release raised."""
        if self._error is not None:
            raise self._error

    def _refresh(self, name: str) -> None:
        if self._shared is None:
            return
        unpicklable = self._shared.refresh(name, lambda: self._dataset(name))
        if unpicklable:
            self._warn(describe_unpicklable(name, unpicklable))


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
