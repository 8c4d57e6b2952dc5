"""The result of a run: its free outputs by name, each loaded on first access.

State: the handles of values that are not loaded yet, and the loaded values. Lives in the parent, and may outlive the executor.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from treadle.errors import DatasetError, RunnerError
from treadle.forks import fork_safe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from treadle.events import ContentRecord
    from treadle.execution.protocol.handles import Handle
    from treadle.io import Catalog
    from treadle.io.identity import FileIdentity
    from treadle.planning import Plan
    from treadle.planning.reuse.decisions import Decisions


class RunResult(Mapping[str, Any]):
    """The free outputs of a run, by dataset name.

    In-memory values are transferred from the workers before they end, so they can be loaded at any later time. Persistent
    datasets are loaded through the catalog, as long as their file is still the one that this run saved: if it was changed
    since, loading raises an error. Each value is loaded once; later accesses return the same object.

    Args:
        run_id: id of the run.
        catalog: loads the persistent outputs.
        names: names of all free outputs, in plan order.
        handles: handles of the in-memory values.
        identities: identities of the files that the run saved, by dataset name; a dataset without one (a database table, for
            example) is loaded without this check.
        loaded: values that need not be loaded.

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
        names: Iterable[str],
        handles: dict[str, Handle],
        identities: Mapping[str, FileIdentity] = MappingProxyType({}),
        loaded: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.run_id = run_id
        self.make_report: Callable[[str | None], Any] | None = None
        """Makes the report of the run; set by the session that ran it."""
        self._catalog = catalog
        self._names = dict.fromkeys(names)
        self._handles = handles
        self._identities = identities
        self._loaded = dict(loaded)
        self._load_lock = fork_safe(threading.Lock())  # a handle is loaded once, then closed
        self._finalizer = weakref.finalize(self, _close_all, handles)

    def __getitem__(self, name: str) -> Any:
        try:
            return self._loaded[name]
        except KeyError:
            with self._load_lock:
                return self._load(name)

    def __contains__(self, name: object) -> bool:  # the mixin's own would load the value
        return name in self._names

    def _load(self, name: str, *, run_ends: bool = False) -> Any:
        if name in self._loaded:
            return self._loaded[name]
        if name not in self._names:
            known = ", ".join(self._names) or "none"
            msg = f"'{name}' is not a free output of this run; its free outputs are: {known}"
            raise KeyError(msg)
        handle = self._handles.get(name)
        if handle is None:
            value = self._load_saved(name, run_ends=run_ends)
        else:
            try:
                value = handle.load()
            except Exception as exc:  # unpickling runs the code of any class, which can raise anything
                msg = (
                    f"The value of '{name}' was pickled in a worker, but cannot be unpickled in the main process: "
                    f"{type(exc).__name__}: {exc}. "
                    "Its class probably depends on state that only the worker has. Give it an entry in the catalog, or return "
                    "a value that can be pickled and unpickled."
                )
                raise DatasetError(msg, dataset=name) from exc
            self._handles.pop(name).close()
        self._loaded[name] = value
        return value

    def _load_saved(self, name: str, *, run_ends: bool) -> Any:
        """Load a persistent output; raise if its file is not the one that the run saved."""
        saved = self._identities.get(name)
        if saved is None:
            return self._catalog.load(name)
        self._check_unchanged(name, saved, run_ends=run_ends)
        value = self._catalog.load(name)
        self._check_unchanged(name, saved, run_ends=run_ends)  # it may have been replaced during the load
        return value

    def _check_unchanged(self, name: str, saved: FileIdentity, *, run_ends: bool) -> None:
        found = self._catalog.file_identity(name)
        if saved.matches(found):
            return
        happened = "was written again" if found is not None else "was removed"
        remedy = (
            "It changed before this run ended, too late for load_results: execute the runs one by one, with one runner, or give"
            if run_ends
            else "To keep a run's results, load them when it ends (`run(..., load_results=True)`), or give"
        )
        msg = (
            f"'{name}' of the run {self.run_id} can no longer be loaded: {saved.path} {happened} after the run had saved it, "
            f"probably by another run. {remedy} each run a separate file: `versioned: true` in the catalog entry, or a path "
            "that contains a parameter."
        )
        raise DatasetError(msg, dataset=name)

    def saved_file(self, name: str) -> str | None:
        """Return the path of the file that the run saved an output to, which is still as it was.

        Args:
            name: the output.

        Returns:
            The absolute path; None if the output is not a file of this machine.

        Raises:
            DatasetError: the file was changed since the run saved it.
        """
        saved = self._identities.get(name)
        if saved is None:
            return None
        self._check_unchanged(name, saved, run_ends=False)
        return saved.path

    def load_all(self, names: Iterable[str] | None = None) -> None:
        """Load results now, so that later changes to their files have no effect.

        Args:
            names: the outputs to load; None for all.

        Raises:
            KeyError: a name is not a free output of the run.
            DatasetError: an output cannot be loaded, or its file was changed since the run saved it.
        """
        with self._load_lock:
            for name in self._names if names is None else names:
                self._load(name, run_ends=True)

    def report(self, before: str | None = None) -> Any:
        """Return the report of the run, which a notebook displays; `report.save("report.html")` writes it to a file.

        Args:
            before: id of an earlier session to compare with.

        Raises:
            RunnerError: the run was not started by a session, so it has no record.
            StoreError: the earlier session does not exist, or cannot be read.
        """
        if self.make_report is None:
            msg = "This run has no report, because a runner ran it without a session: run it with `Session.run` or `treadle run`."
            raise RunnerError(msg)
        return self.make_report(before)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"RunResult({', '.join(self._names)})"


def gather_results(
    run_id: str,
    plan: Plan,
    catalog: Catalog,
    detach: Callable[[Iterable[int], dict[int, Any], dict[int, Handle]], None],
    *,
    decisions: Decisions | None = None,
) -> RunResult:
    """Collect the free outputs of a run; those that the catalog declares as memory datasets are also saved to it.

    Args:
        run_id: id of the run, which succeeded.
        plan: its plan.
        catalog: its catalog.
        detach: adds values in memory, and the identities of files that workers have saved, to the first dictionary, or their
            handles to the second one.
        decisions: decided which nodes were up to date, so that they did not run; None if all nodes ran.
    """
    datasets, results = plan.datasets, plan.results
    values: dict[int, Any] = {}
    handles: dict[int, Handle] = {}
    with ExitStack() as on_error:
        on_error.callback(_close_all, handles)  # if a temporary file was deleted, for example
        detach(results, values, handles)
        saved = [each for each in results if not datasets[each].in_memory]
        sent = {each: values.pop(each) for each in saved if each in values}
        for each in [each for each in saved if each in handles]:
            handle = handles.pop(each)
            sent[each] = handle.load()
            handle.close()
        identities = _identities(saved, plan, catalog, sent, decisions)
        on_error.pop_all()
    if decisions is not None:  # nodes that did not run, because a resumed run had made their values in memory
        results = tuple([each for each in results if each in values or each in handles or not datasets[each].in_memory])
    loaded = {datasets[each].name: value for each, value in values.items()}
    by_name = {datasets[each].name: handle for each, handle in handles.items()}
    result = RunResult(run_id, catalog, [datasets[each].name for each in results], by_name, identities, loaded)
    for planned in [datasets[each] for each in results if datasets[each].declared and datasets[each].in_memory]:
        catalog.save(planned.name, result[planned.name])
    return result


def _identities(
    saved: Sequence[int], plan: Plan, catalog: Catalog, sent: Mapping[int, FileIdentity | None], decisions: Decisions | None
) -> dict[str, FileIdentity]:
    """Return the identities of the files that a run saved, by dataset name.

    Args:
        saved: the datasets.
        plan: the plan of the run.
        catalog: its catalog.
        sent: the identities of the files that workers have saved and identified.
        decisions: as for `gather_results`.
    """
    identify = getattr(catalog, "file_identity", None)  # catalogs of other frameworks do not identify files
    if identify is None:
        return {}
    identities: dict[str, FileIdentity] = {}
    known = decisions.last_outputs if decisions is not None else {}
    for dataset in saved:
        name = plan.datasets[dataset].name
        # Without one, its node was up to date, or the worker was lost before it could report: take the file's identity now.
        identity = sent[dataset] if dataset in sent else _untouched_file(catalog, known.get(name)) or identify(name)
        if identity is not None:
            identities[name] = identity
    return identities


def _untouched_file(catalog: Catalog, known: ContentRecord | None) -> FileIdentity | None:
    """Return the identity of a file without building its dataset or reading the file; None if it may have changed."""
    recipe = catalog.recipe(known.dataset) if known is not None else None
    path = recipe.plain_file() if recipe is not None else None
    if path is None or known is None:
        return None
    from treadle.io.identity import identify_untouched  # imported late: most results are values in memory

    return identify_untouched(path, known)


def _close_all(handles: dict[Any, Handle]) -> None:
    for handle in handles.values():
        handle.close()
    handles.clear()
