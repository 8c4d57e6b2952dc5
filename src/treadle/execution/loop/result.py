"""What a run returns: its free outputs by name, each loaded when it is first asked for."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from treadle.errors import DatasetError
from treadle.forks import fork_safe

if TYPE_CHECKING:
    from treadle.execution.executors.executor import Executor
    from treadle.execution.packing.bundle import RunBundle
    from treadle.execution.protocol.handles import Handle
    from treadle.io import Catalog
    from treadle.io.identity import FileIdentity


class RunResult(Mapping[str, Any]):
    """The free outputs of a run, by dataset name.

    A value that lived in memory is handed over by the workers before they end, so it can be loaded at any time after;
    one that persists is loaded from where the catalog keeps it, and only while the file there is the one that this run
    saved: where it was changed since, the load is an error. Each is loaded once, and the same object is returned from then on.

    Args:
        run_id: id of the run.
        catalog: where the outputs that persist are.
        names: names of all free outputs, in plan order.
        handles: the values that lived in memory.
        identities: what identifies the files that the run saved, by dataset name; a dataset that is not among them (a table
            of a database, say) is loaded as it is then.

    Example:
        >>> from treadle import Catalog, Pipeline, SequentialRunner, node
        >>> result = SequentialRunner().run(Pipeline([node(len, "text", "length")]), Catalog({"text": "abc"}))
        >>> result["length"]
        3
    """

    def __init__(
        self,
        run_id: str,
        catalog: Catalog,
        names: tuple[str, ...],
        handles: dict[str, Handle],
        identities: Mapping[str, FileIdentity] = MappingProxyType({}),
    ) -> None:
        self.run_id = run_id
        self._catalog = catalog
        self._names = dict.fromkeys(names)
        self._handles = handles
        self._identities = identities
        self._loaded: dict[str, Any] = {}
        self._one_at_a_time = fork_safe(threading.Lock())  # a loaded value's handle is closed
        self._finalizer = weakref.finalize(self, _close_all, handles)

    def __getitem__(self, name: str) -> Any:
        with self._one_at_a_time:
            return self._load(name)

    def _load(self, name: str) -> Any:
        if name in self._loaded:
            return self._loaded[name]
        if name not in self._names:
            known = ", ".join(self._names) or "none"
            msg = f"'{name}' is no free output of this run; its free outputs are: {known}"
            raise KeyError(msg)
        handle = self._handles.get(name)
        if handle is None:
            value = self._load_saved(name)
        else:
            try:
                value = handle.load()
            except Exception as exc:  # unpickling runs the code of any class, so anything can come out of it
                msg = (
                    f"The value of '{name}' was pickled in its worker, and cannot be unpickled here: "
                    f"{type(exc).__name__}: {exc}. "
                    "Probably its class imports or rebuilds itself in a way that needs the worker's state; give it an entry in "
                    "the catalog, or return something that pickles both ways."
                )
                raise DatasetError(msg, dataset=name) from exc
            self._handles.pop(name).close()
        self._loaded[name] = value
        return value

    def _load_saved(self, name: str) -> Any:
        """Load what the run saved; where a load could return something else, raise."""
        saved = self._identities.get(name)
        if saved is None:
            return self._catalog.load(name)
        self._check_unchanged(name, saved)
        value = self._catalog.load(name)
        self._check_unchanged(name, saved)  # it may have been replaced while it was loaded
        return value

    def _check_unchanged(self, name: str, saved: FileIdentity) -> None:
        found = self._catalog.file_identity(name)
        if saved.matches(found):
            return
        happened = "was written again" if found is not None else "was removed"
        msg = (
            f"'{name}' of the run {self.run_id} cannot be loaded any more: {saved.path} {happened} after the run had saved it, "
            "probably by another run. To keep a run's results, load them as it ends (`run(..., load_results=True)`), or give "
            "each run a file of its own: `versioned: true` in the catalog entry, or a path with a parameter in it."
        )
        raise DatasetError(msg, dataset=name)

    def load_all(self, names: Iterable[str] | None = None) -> None:
        """Load results now, so that what happens to their files later does not matter.

        Args:
            names: which; all where None.

        Raises:
            KeyError: a name is no free output of the run.
            DatasetError: one cannot be loaded, or its file was changed since the run saved it.
        """
        for name in self._names if names is None else names:
            self[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"RunResult({', '.join(self._names)})"


def gather_results(material: RunBundle, executor: Executor) -> RunResult:
    """Hand the free outputs of a run over; a memory dataset that the catalog declares gets its value too.

    Args:
        material: the run, which succeeded.
        executor: has the values that lived in memory.
    """
    names: list[str] = []
    handles: dict[str, Handle] = {}
    identities: dict[str, FileIdentity] = {}
    identify = getattr(material.catalog, "file_identity", None)  # another framework's catalog returns results its own way
    results = [(dataset, material.plan.datasets[dataset]) for dataset in material.plan.results]
    for dataset, planned in results:
        names.append(planned.name)
        handle = executor.detach(dataset)
        if planned.in_memory:
            if handle is not None:
                handles[planned.name] = handle
        elif identify is not None:
            # The worker that saved it identified it. Where that one was lost before it could report, what is there now counts.
            identity = handle.load() if handle is not None else identify(planned.name)
            if handle is not None:
                handle.close()
            if identity is not None:
                identities[planned.name] = identity
    result = RunResult(material.run_id, material.catalog, tuple(names), handles, identities)
    for _dataset, planned in results:
        if planned.in_memory and planned.declared:
            material.catalog.save(planned.name, result[planned.name])
    return result


def _close_all(handles: dict[str, Handle]) -> None:
    for handle in handles.values():
        handle.close()
    handles.clear()
