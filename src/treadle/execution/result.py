"""What a run returns: its free outputs by name, each loaded when it is first asked for."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from treadle.errors import DatasetError
from treadle.execution.exchange import close_handle, load_handle

if TYPE_CHECKING:
    from treadle.execution.executor import Executor
    from treadle.execution.handles import Handle
    from treadle.execution.material import RunMaterial
    from treadle.io import Catalog


class RunResult(Mapping[str, Any]):
    """The free outputs of a run, by dataset name.

    A value that lived in memory is handed over by the workers before they end, so it can be loaded at any time after;
    one that persists is loaded from where the catalog keeps it. Each is loaded once, and the same object is returned
    from then on.

    Args:
        run_id: id of the run.
        catalog: where the outputs that persist are.
        names: names of all free outputs, in plan order.
        handles: the values that lived in memory.

    Example:
        >>> from treadle import Catalog, Pipeline, SequentialRunner, node
        >>> result = SequentialRunner().run(Pipeline([node(len, "text", "length")]), Catalog({"text": "abc"}))
        >>> result["length"]
        3
    """

    def __init__(self, run_id: str, catalog: Catalog, names: tuple[str, ...], handles: dict[str, Handle]) -> None:
        self.run_id = run_id
        self._catalog = catalog
        self._names = dict.fromkeys(names)
        self._handles = handles
        self._loaded: dict[str, Any] = {}
        self._one_at_a_time = threading.Lock()  # a loaded value's handle is closed
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
            value = self._catalog.load(name)
        else:
            try:
                value = load_handle(handle)
            except Exception as exc:  # unpickling runs the code of any class, so anything can come out of it
                msg = (
                    f"The value of '{name}' was pickled in its worker, and cannot be unpickled here: "
                    f"{type(exc).__name__}: {exc}. "
                    "Probably its class imports or rebuilds itself in a way that needs the worker's state; give it an entry in "
                    "the catalog, or return something that pickles both ways."
                )
                raise DatasetError(msg, dataset=name) from exc
            close_handle(self._handles.pop(name))
        self._loaded[name] = value
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"RunResult({', '.join(self._names)})"


def gather_results(material: RunMaterial, executor: Executor) -> RunResult:
    """Hand the free outputs of a run over; a memory dataset that the catalog declares gets its value too.

    Args:
        material: the run, which succeeded.
        executor: has the values that lived in memory.
    """
    names: list[str] = []
    handles: dict[str, Handle] = {}
    results = [(dataset, material.plan.datasets[dataset]) for dataset in material.plan.results]
    for dataset, planned in results:
        names.append(planned.name)
        if planned.in_memory and (handle := executor.detach(dataset)) is not None:
            handles[planned.name] = handle
    result = RunResult(material.run_id, material.catalog, tuple(names), handles)
    for _dataset, planned in results:
        if planned.in_memory and planned.declared:
            material.catalog.save(planned.name, result[planned.name])
    return result


def _close_all(handles: dict[str, Handle]) -> None:
    for handle in handles.values():
        close_handle(handle)
    handles.clear()
