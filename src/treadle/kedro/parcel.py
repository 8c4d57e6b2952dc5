"""The catalog, datasets and hooks of a Kedro run, pickled for a worker, and how the worker unpickles them.

The catalog is sent as its class and its own attributes, without datasets: those are pickled one by one, and only those that the
run's nodes use, so that an unpicklable one does not block the others. If hooks receive the catalog, they may access other
datasets, so the rest of the configuration and the params are sent too. State: none.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from treadle.errors import DatasetError
from treadle.kedro.conduct import KedroConduct
from treadle.kedro.desk import Desk
from treadle.kedro.gathering import Gatherer
from treadle.kedro.recipes import PackedDataset, WaitingDataset, pack_dataset, recipe_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from treadle.execution.attempt.dataset_state import SharedState
    from treadle.kedro.hooks import HooksPayload

_NOT_OURS_TO_SEND = frozenset({"_datasets", "_lazy_datasets", "_config_resolver", "_validators", "_save_validated"})
"""Attributes of Kedro's catalog that are not sent, because they hold datasets or belong to one process."""


@dataclass(frozen=True, slots=True)
class CatalogShell:
    """A Kedro catalog without its datasets; each part pickled."""

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


def pack_catalog(catalog: Any, *, for_hooks: bool) -> CatalogShell:
    """Pickle a catalog without its datasets.

    Args:
        catalog: Kedro's catalog.
        for_hooks: include the params and the factories, for hooks that use the catalog.

    Raises:
        DatasetError: the catalog has an attribute that cannot be pickled.
    """
    from treadle.execution.values.by_value import dumps

    get_state = getattr(catalog, "__getstate__", None)
    state = get_state() if get_state is not None else None
    if not isinstance(state, dict):
        state = vars(catalog)
    body = {name: value for name, value in state.items() if name not in _NOT_OURS_TO_SEND}
    try:
        packed = dumps((type(catalog), body))
    except Exception as exc:
        kind = f"{type(catalog).__module__}.{type(catalog).__qualname__}"
        msg = (
            f"The catalog class {kind} cannot go to worker processes ({type(exc).__name__}: {exc}): exclude what cannot "
            "be pickled in its __getstate__, and create it again in __setstate__."
        )
        raise DatasetError(msg) from exc
    if not for_hooks:
        return CatalogShell(packed)
    parameters = getattr(catalog, "_datasets", {}).get("parameters")
    return CatalogShell(
        packed,
        resolver=_pickled(getattr(catalog, "_config_resolver", None)),
        parameters=_pickled(parameters.load()) if parameters is not None else None,
    )


def pack_others(catalog: Any, used: Collection[str]) -> tuple[PackedDataset, ...]:
    """Pickle the configuration of the datasets that no node of the run uses, for hooks that access them."""
    waiting: Mapping[str, Any] = getattr(catalog, "_lazy_datasets", {})
    packed = (pack_dataset(name, None, recipe_of(lazy)) for name, lazy in waiting.items() if name not in used)
    return tuple(each for each in packed if each is not None)


@dataclass(frozen=True, slots=True)
class KedroParcel:
    """A Kedro run, pickled for a worker."""

    catalog: CatalogShell
    datasets: tuple[PackedDataset, ...]
    others: tuple[PackedDataset, ...]
    carried: Mapping[str, int]
    state: SharedState | None
    hooks: HooksPayload
    for_hooks: bool
    folder: str | None
    run_id: str | None
    is_async: bool

    def open(self) -> KedroConduct:
        """Return the object that runs nodes in this process."""
        packed = {dataset.name: dataset for dataset in self.datasets}
        catalog = self.catalog.open()
        if self.for_hooks:
            catalog._lazy_datasets.update({each.name: WaitingDataset(each) for each in (*self.others, *self.datasets)})
        desk = Desk(catalog, self.carried, packed, self.state)
        plugins = self.hooks.plugins(catalog)
        gatherer = Gatherer(self.folder, plugins, catalog) if self.folder is not None and plugins else None
        return KedroConduct(desk, self.hooks.manager(plugins), run_id=self.run_id, is_async=self.is_async, gatherer=gatherer)


def _add_parameters(catalog: Any, parameters: Any) -> None:
    """Add the params that Kedro puts into its catalog, for hooks: as a whole, and each by its dotted name."""
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
    except Exception:  # noqa: BLE001 - optional for hooks: what cannot be pickled is not sent
        return None
    return data
