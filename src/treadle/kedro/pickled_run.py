"""Pickle the catalog, datasets and hooks of a Kedro run in the parent, and create them in a worker.

The catalog is pickled without its datasets: its class and its attributes. The datasets that the run's nodes use are pickled one
by one, so that an unpicklable one does not block the others. Hooks that receive the catalog may access other datasets, so for
them the rest of the configuration and the parameters are sent too. State: none.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from treadle.errors import DatasetError
from treadle.execution.attempt.dataset_state import SharedState
from treadle.kedro.attempt_strategy import KedroAttemptStrategy
from treadle.kedro.dataset_pickling import LazyDataset, PackedDataset, pack_dataset, recipe_of
from treadle.kedro.plugin_state import PluginStateWriter
from treadle.kedro.process_catalog import ProcessCatalog

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from treadle.kedro.hooks import HooksPayload
    from treadle.session.tracing import NodeTracing

_NOT_PICKLED = frozenset({"_datasets", "_lazy_datasets", "_config_resolver", "_validators", "_save_validated"})
"""Attributes of Kedro's catalog that are not sent, because they hold datasets or belong to one process."""


@dataclass(frozen=True, slots=True)
class PickledCatalog:
    """A Kedro catalog without its datasets; each field is a pickle."""

    body: bytes = field(repr=False)
    resolver: bytes | None = field(default=None, repr=False)
    parameters: bytes | None = field(default=None, repr=False)

    def open(self) -> Any:
        """Return the catalog, in a worker."""
        from kedro.io.catalog_config_resolver import CatalogConfigResolver

        kind, state = pickle.loads(self.body)  # noqa: S301 - the parent sent it
        catalog = kind.__new__(kind)
        patterns = getattr(kind, "default_runtime_patterns", {})
        resolver = pickle.loads(self.resolver) if self.resolver is not None else None  # noqa: S301 - the parent sent it
        state |= {
            "_datasets": {},
            "_lazy_datasets": {},
            "_config_resolver": resolver or CatalogConfigResolver(default_runtime_patterns=patterns),
        }
        restore = getattr(catalog, "__setstate__", None)
        if restore is not None:
            restore(state)
        else:
            catalog.__dict__.update(state)
        if self.parameters is not None:
            _add_parameters(catalog, pickle.loads(self.parameters))  # noqa: S301 - the parent sent it
        return catalog


def pack_catalog(catalog: Any, *, for_hooks: bool) -> PickledCatalog:
    """Pickle a catalog without its datasets.

    Args:
        catalog: Kedro's catalog.
        for_hooks: include the parameters and the dataset factories, for hooks that use the catalog.

    Raises:
        DatasetError: the catalog has an attribute that cannot be pickled.
    """
    from treadle.execution.values.by_value import dumps

    get_state = getattr(catalog, "__getstate__", None)
    state = get_state() if get_state is not None else None
    if not isinstance(state, dict):
        state = vars(catalog)
    body = {name: value for name, value in state.items() if name not in _NOT_PICKLED}
    try:
        packed = dumps((type(catalog), body))
    except Exception as exc:
        kind = f"{type(catalog).__module__}.{type(catalog).__qualname__}"
        msg = (
            f"The catalog class {kind} cannot be sent to worker processes ({type(exc).__name__}: {exc}). Define __getstate__ "
            "to leave out the attributes that cannot be pickled, and __setstate__ to create them again."
        )
        raise DatasetError(msg) from exc
    if not for_hooks:
        return PickledCatalog(packed)
    parameters = getattr(catalog, "_datasets", {}).get("parameters")
    return PickledCatalog(
        packed,
        resolver=_pickled(getattr(catalog, "_config_resolver", None)),
        parameters=_pickled(parameters.load()) if parameters is not None else None,
    )


def pack_unused_datasets(catalog: Any, used: Collection[str]) -> tuple[PackedDataset, ...]:
    """Pickle the configuration of the datasets that no node of the run uses, for hooks that access them."""
    lazy_datasets: Mapping[str, Any] = getattr(catalog, "_lazy_datasets", {})
    packed = (pack_dataset(name, None, recipe_of(lazy)) for name, lazy in lazy_datasets.items() if name not in used)
    return tuple(each for each in packed if each is not None)


@dataclass(frozen=True, slots=True)
class PickledKedroRun:
    """A Kedro run as a worker receives it; `open` creates the catalog, the hooks and the attempt strategy."""

    catalog: PickledCatalog
    datasets: tuple[PackedDataset, ...]
    unused_datasets: tuple[PackedDataset, ...]
    transferred: Mapping[str, int]
    state: SharedState | None
    hooks: HooksPayload
    for_hooks: bool
    folder: str | None
    run_id: str | None
    is_async: bool
    tracing: NodeTracing | None = None

    def open(self, folder: str | None = None, /) -> KedroAttemptStrategy:
        """Return the object that runs nodes in this process.

        Args:
            folder: this process's directory of the run, if it does not see the parent's.
        """
        packed = {dataset.name: dataset for dataset in self.datasets}
        catalog = self.catalog.open()
        if self.for_hooks:
            catalog._lazy_datasets.update({each.name: LazyDataset(each) for each in (*self.unused_datasets, *self.datasets)})
        folder = folder or self.folder
        state = SharedState(folder, self.state.names) if self.state is not None and folder is not None else None
        process_catalog = ProcessCatalog(catalog, self.transferred, packed, state)
        plugins = self.hooks.plugins(catalog)
        state_writer = PluginStateWriter(folder, plugins, catalog) if folder is not None and plugins else None
        return KedroAttemptStrategy(
            process_catalog,
            self.hooks.manager(plugins),
            run_id=self.run_id,
            is_async=self.is_async,
            state_writer=state_writer,
            tracing=self.tracing,
        )


def _add_parameters(catalog: Any, parameters: Any) -> None:
    """Add the parameters to a catalog as Kedro does: all of them as `parameters`, and each one by its dotted name."""
    from kedro.io import MemoryDataset

    catalog._datasets["parameters"] = MemoryDataset(parameters)
    pending = [("params:", parameters)] if isinstance(parameters, dict) else []
    while pending:
        prefix, values = pending.pop()
        for key, value in values.items():
            name = f"{prefix}{key}"
            catalog._datasets[name] = MemoryDataset(value)
            if isinstance(value, dict):
                pending.append((f"{name}.", value))


def _pickled(value: object) -> bytes | None:
    from treadle.execution.values.by_value import dumps

    try:
        data = dumps(value)
    except Exception:  # noqa: BLE001 - only hooks use it, so a worker can do without it
        return None
    return data
