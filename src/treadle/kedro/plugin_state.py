"""Merge the data that plugins collect in workers into the plugins of the main process, before the last hooks are called.

After each node that changed attributes of plugins, a worker writes these attributes to a file in the run's directory. The parent
merges the changes since the start of the run: it adds new entries of dictionaries and sets, items appended to lists, and
differences of numbers, so that no process overwrites the data of another. Any other attribute gets the latest value.

State: in a worker, the attributes of its plugins when the run began; in the parent, the attributes as they were sent.
"""

from __future__ import annotations

import inspect
import pickle
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import MutableMapping, MutableSequence, MutableSet
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.execution.attempt.dataset_state import PLUGIN_FILES
from treadle.kedro.hook_pickling import RunObjects, dump_plugin, load_plugin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_LARGE = 1 << 20
"""A larger attribute (bytes of its pickle when the run begins) is sent back only if it was replaced by another object."""

_ABSENT = object()


class PluginStateWriter:
    """In a worker: write the changed attributes of plugins to a file.

    Args:
        folder: the run's directory.
        plugins: the plugins of this process, in the order in which they were sent.
        catalog: this process's catalog.
    """

    def __init__(self, folder: str, plugins: Sequence[Any], catalog: Any) -> None:
        self._path = str(Path(folder, f"{PLUGIN_FILES}{uuid.uuid4().hex}"))
        self._objects = RunObjects(catalog)
        self._plugins = [(index, plugin) for index, plugin in enumerate(plugins) if has_mergeable_state(plugin)]
        self._before = {index: _snapshot(plugin, self._objects) for index, plugin in self._plugins}
        self._written: bytes | None = None

    def write(self) -> None:
        """Write the attributes that have changed, if any."""
        changes: dict[int, dict[str, bytes | None]] = {}
        for index, plugin in self._plugins:
            before, own = self._before[index], vars(plugin)
            changed: dict[str, bytes | None] = {name: None for name in before if name not in own}
            for name, value in own.items():
                earlier, content = before.get(name, (_ABSENT, b""))
                if value is earlier and content is None:
                    continue  # unchanged; it cannot be pickled, or is too large to compare
                now = _content(value, self._objects)
                if now is not None and now != content:
                    changed[name] = now
            if changed:
                changes[index] = changed
        data = pickle.dumps(changes, protocol=5)
        if data == self._written or (self._written is None and not changes):
            return
        partial = Path(f"{self._path}.partial")
        partial.write_bytes(data)
        partial.replace(self._path)
        self._written = data


class PluginStateMerger:
    """In the parent: merge the changes of workers into the plugins.

    Args:
        plugins: the plugins, as they are sent.
        objects: the run's catalog and datasets.
        together: whether they are sent in one pickle, so that objects that several of them refer to are also shared in workers.
    """

    def __init__(self, plugins: Sequence[Any], objects: RunObjects, *, together: bool = True) -> None:
        self._plugins = tuple(plugins)
        self._together = together
        self._catalog = objects.catalog
        self._before = [_snapshot(plugin, objects) if has_mergeable_state(plugin) else {} for plugin in plugins]

    def merge(self, folder: str, warn: Callable[..., None]) -> None:
        """Merge the files of a run's workers into the plugins, the latest last.

        Args:
            folder: the run's directory.
            warn: logs a warning about an attribute that cannot be merged.
        """
        files = [path for path in Path(folder).glob(f"{PLUGIN_FILES}*") if path.suffix != ".partial"]
        for path in sorted(files, key=lambda each: each.stat().st_mtime_ns):
            changes: dict[int, dict[str, bytes | None]] = pickle.loads(path.read_bytes())  # noqa: S301 - a worker wrote it
            merged = {id(plugin): plugin for plugin in self._plugins}
            for index, changed in changes.items():
                own = vars(self._plugins[index])
                if not self._together:
                    merged = {id(self._plugins[index]): self._plugins[index]}
                for name, content in changed.items():
                    try:
                        self._merge_attribute(own, self._before[index], name, content, merged)
                    except Exception as exc:  # noqa: BLE001 - values can be of any class
                        kind = type(self._plugins[index]).__qualname__
                        warn("The changes of workers to attribute '%s' of the hooks %s could not be merged: %s", name, kind, exc)

    def _merge_attribute(
        self, own: dict[str, Any], before: Mapping[str, Any], name: str, content: bytes | None, merged: dict[int, Any]
    ) -> None:
        if content is None:
            own.pop(name, None)
            return
        pickled = before[name][1] if name in before else None
        earlier = load_plugin(pickled, self._catalog) if pickled is not None else _ABSENT
        merge_into(own, name, earlier, load_plugin(content, self._catalog), merged)


def has_mergeable_state(plugin: Any) -> bool:
    """Return whether a plugin is an instance with attributes; a module or a class belongs to its process and is not merged."""
    return not inspect.ismodule(plugin) and not inspect.isclass(plugin) and hasattr(plugin, "__dict__")


def merge_into(mapping: Any, key: Any, before: Any, theirs: Any, merged: dict[int, Any] | None = None) -> None:
    """Merge a value that another process changed into a mapping of this process.

    Args:
        mapping: the mapping; it may have a value under the key.
        key: the key.
        before: the value when it was sent to the other process; `_ABSENT` if there was none.
        theirs: the value in the other process.
        merged: the objects of this process into which values of the other process were merged already, by id. An object to which
            several others refer, or that refers to itself, is merged once.
    """
    merged = {} if merged is None else merged
    mine = mapping.get(key, _ABSENT)
    if id(mine) in merged:
        return
    if mine is _ABSENT:
        mapping[key] = theirs
    elif _is_number(theirs) and _is_number(mine) and _is_number(before):
        mapping[key] = mine + (theirs - before)
    elif not _merged_in_place(mine, before, theirs, merged):
        mapping[key] = theirs


def _merged_in_place(mine: Any, before: Any, theirs: Any, merged: dict[int, Any]) -> bool:
    """Merge a value into an object of this process; False if the object has to be replaced."""
    if isinstance(theirs, MutableMapping) and isinstance(mine, MutableMapping):
        merged[id(mine)] = mine
        _merge_mapping(mine, before if isinstance(before, MutableMapping) else {}, theirs, merged)
    elif isinstance(theirs, MutableSet) and isinstance(mine, MutableSet):
        merged[id(mine)] = mine
        known = before if isinstance(before, MutableSet) else set()
        mine |= theirs - known
        mine -= known - theirs
    elif isinstance(theirs, (MutableSequence, deque)) and isinstance(mine, (MutableSequence, deque)):
        count = len(before) if isinstance(before, (MutableSequence, deque)) else 0
        items = list(theirs)
        if count and not _equal(items[:count], list(before)):
            return False
        merged[id(mine)] = mine
        mine.extend(items[count:])
    elif _is_record(theirs) and type(theirs) is type(mine):
        merged[id(mine)] = mine
        _merge_mapping(vars(mine), vars(before) if type(before) is type(mine) else {}, vars(theirs), merged)
    else:
        return False
    return True


def _merge_mapping(mine: Any, before: Any, theirs: Any, merged: dict[int, Any]) -> None:
    counts = isinstance(mine, Counter) or (isinstance(mine, defaultdict) and mine.default_factory in (int, float))
    for key in [key for key in before if key not in theirs]:
        mine.pop(key, None)
    for key, value in theirs.items():
        known = before.get(key, 0 if counts else _ABSENT)
        if known is _ABSENT or not _equal(known, value):
            merge_into(mine, key, known, value, merged)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_record(value: Any) -> bool:
    """Return whether a value is an object whose attributes can be merged one by one."""
    own = {name for kind in type(value).__mro__[:-1] for name in vars(kind)}
    return hasattr(value, "__dict__") and own.isdisjoint(("__reduce__", "__reduce_ex__", "__getstate__", "__array__"))


def _equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 - arrays and frames have no truth value; they count as different
        return False


def _snapshot(plugin: Any, objects: RunObjects) -> dict[str, tuple[Any, bytes | None]]:
    snapshot: dict[str, tuple[Any, bytes | None]] = {}
    for name, value in vars(plugin).items():
        content = _content(value, objects)
        snapshot[name] = (value, content if content is not None and len(content) <= _LARGE else None)
    return snapshot


def _content(value: Any, objects: RunObjects) -> bytes | None:
    try:
        return dump_plugin(value, objects)
    except Exception:  # noqa: BLE001 - pickling runs arbitrary code; such an attribute is not sent
        return None
