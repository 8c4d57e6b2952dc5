"""Pickle the plugins of a Kedro run, and replace objects that belong to one process by those of the receiving process.

A plugin may hold the run's catalog, its datasets or the session's context, and these need not be picklable. After unpickling, it
holds the catalog and datasets of the receiving process, and a context that reads its configuration on first access.
State: none.
"""

from __future__ import annotations

import io
import pickle
from functools import cache
from typing import TYPE_CHECKING, Any

from kedro.config import AbstractConfigLoader
from kedro.framework.context import KedroContext
from kedro.io import AbstractDataset, DatasetError

if TYPE_CHECKING:
    from collections.abc import Mapping

_CATALOG, _DATASET = "catalog", "dataset"
_LOADER_STATE = ("config_patterns", "data", "merge_strategy", "ignore_hidden")
"""Attributes of a config loader that hooks may change; they are sent if they can be pickled."""


class RunObjects:
    """The catalog and datasets of a run in the process that sends plugins, and whether a plugin refers to them.

    Args:
        catalog: Kedro's catalog; None if plugins receive none.
    """

    def __init__(self, catalog: Any = None) -> None:
        self.catalog = catalog
        self.names = {id(dataset): name for name, dataset in getattr(catalog, "_datasets", {}).items()}
        self.referenced = False


def dump_plugin(value: Any, objects: RunObjects) -> bytes:
    """Pickle plugins, or attributes of one.

    Args:
        value: the plugins or attributes.
        objects: the run's catalog and datasets; `referenced` is set if the pickle refers to any of them.

    Raises:
        Exception: whatever the pickling of a class raises.
    """
    stream = io.BytesIO()
    _pickler_class()(stream, objects).dump(value)
    return stream.getvalue()


def load_plugin(data: bytes, catalog: Any) -> Any:
    """Unpickle the result of `dump_plugin`.

    Args:
        data: the pickle.
        catalog: this process's catalog.
    """
    return _Unpickler(io.BytesIO(data), catalog).load()


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, catalog: Any) -> None:
        super().__init__(stream)
        self._catalog = catalog

    def persistent_load(self, reference: tuple[str, str]) -> Any:
        kind, name = reference
        if kind == _CATALOG:
            return self._catalog
        try:
            return self._catalog.get(name) or MainProcessDataset(name)
        except Exception:  # noqa: BLE001 - the project's code builds it; the node that needs it reports the error
            return MainProcessDataset(name)


class MainProcessDataset(AbstractDataset[Any, Any]):
    """Placeholder for a dataset that a plugin holds and that only the main process has.

    Args:
        name: the dataset's name.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def load(self) -> Any:
        """Raise an error, because the data is in the main process."""
        raise DatasetError(self._explanation())

    def save(self, data: Any) -> None:  # noqa: ARG002 - Kedro's signature
        """Raise an error, because the dataset is in the main process."""
        raise DatasetError(self._explanation())

    def _describe(self) -> dict[str, Any]:
        return {"name": self._name}

    def _explanation(self) -> str:
        return f"Dataset '{self._name}' exists in the main process only: it cannot be pickled and has no catalog entry."


@cache
def _pickler_class() -> Any:
    from treadle.execution.values import by_value

    class Pickler(by_value.Pickler):
        def __init__(self, stream: io.BytesIO, objects: RunObjects) -> None:
            super().__init__(stream, protocol=5)
            self._objects = objects

        def persistent_id(self, value: Any) -> tuple[str, str] | None:
            objects = self._objects
            if objects.catalog is None:
                return None
            if value is objects.catalog:
                objects.referenced = True
                return _CATALOG, ""
            if isinstance(value, AbstractDataset) and id(value) in objects.names:
                objects.referenced = True
                return _DATASET, objects.names[id(value)]
            return None

        def reducer_override(self, value: Any) -> Any:
            if isinstance(value, KedroContext):
                own = {name: each for name, each in vars(value).items() if name not in ("_hook_manager", "config_loader")}
                return rebuild_context, (type(value), self._picklable(own), value.config_loader)
            if isinstance(value, AbstractConfigLoader):
                state = {name: vars(value)[name] for name in _LOADER_STATE if name in vars(value)}
                return (
                    LazyConfigLoader,
                    (type(value), value.conf_source, value.env, value.runtime_params, self._picklable(state)),
                )
            return super().reducer_override(value)

        def _picklable(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
            return {name: value for name, value in attributes.items() if is_picklable(value, self._objects)}

    return Pickler


def is_picklable(value: Any, objects: RunObjects) -> bool:
    """Return whether a plugin's attribute can be pickled."""
    try:
        dump_plugin(value, objects)
    except Exception:  # noqa: BLE001 - pickling runs the code of any class
        return False
    return True


class LazyConfigLoader:
    """Create a config loader with the session's arguments on first access.

    Args:
        kind: the loader's class.
        conf_source: the configuration folder.
        env: the environment.
        runtime_params: parameters of the session.
        state: attributes that hooks may have changed.
    """

    def __init__(
        self, kind: type, conf_source: str, env: str | None, runtime_params: dict[str, Any] | None, state: Mapping[str, Any]
    ) -> None:
        self._arguments = {"conf_source": conf_source, "env": env, "runtime_params": runtime_params}
        self._kind = kind
        self._state = state
        self._loader: Any = None

    def loader(self) -> Any:
        """Return the loader."""
        if self._loader is None:
            from kedro.framework.project import settings

            self._loader = self._kind(**self._arguments, **settings.CONFIG_LOADER_ARGS)
            vars(self._loader).update(self._state)
        return self._loader

    def __getattr__(self, name: str) -> Any:
        """Forward to the loader, for a plugin that holds it without a context."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.loader(), name)

    def __getitem__(self, key: str) -> Any:
        return self.loader()[key]

    def __contains__(self, key: object) -> bool:
        return key in self.loader()


def rebuild_context(kind: type[KedroContext], attributes: Mapping[str, Any], loader: Any) -> Any:
    """Return a context for a worker, of a subclass of the session's class, whose config loader is created on first access.

    Args:
        kind: the context's class.
        attributes: the attributes that can be pickled.
        loader: the config loader, or a LazyConfigLoader.
    """
    from kedro.framework.hooks.manager import _NullPluginManager

    def config_loader(_self: Any) -> Any:
        return loader.loader() if isinstance(loader, LazyConfigLoader) else loader

    context_class = type(kind.__name__, (kind,), {"config_loader": property(config_loader), "__module__": kind.__module__})
    context: Any = object.__new__(context_class)
    vars(context).update(attributes)
    vars(context)["_hook_manager"] = _NullPluginManager()  # a catalog created here must not call the session's hooks
    return context
