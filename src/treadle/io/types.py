"""Resolve the `type:` of a catalog entry to a class.

A type is, in this order: a short name of Treadle's own classes, the full path of a class, the name of a plugin's class in the
entry-point group `treadle.datasets`, or a type of `kedro_datasets` if that is installed. A table lists Treadle's classes with
their capabilities, so that a plan can be compiled without importing their libraries. State: caches of installed packages.
Neighbours: `recipe` resolves types with this module.
"""

from __future__ import annotations

import importlib
import sys
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from treadle.errors import DatasetError
from treadle.io.dataset import Capabilities
from treadle.io.failures import install_hint
from treadle.named_tuple import NamedTuple
from treadle.plugins import DATASETS, find_offer, offered, plugin_name
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec


class KnownType(NamedTuple):
    """One of Treadle's dataset classes.

    Attributes:
        path: the module and name of the class.
        needs: the optional package that it requires, if any.
        in_files: it stores its value in a file, and the protocol of the path may bind it to one process.
        capabilities: the capabilities that its class declares.
        wraps: it wraps another dataset, its argument `dataset`.
        per_run: it has the arguments `run` (the id of the run) and `confirmed` (whether a node of the run confirms it).
    """

    path: str
    needs: str | None = None
    in_files: bool = True
    capabilities: Capabilities = Capabilities()
    wraps: bool = False
    per_run: bool = False


def _ours(module: str, name: str, needs: str | None = None, *, per_run: bool = False) -> KnownType:
    return KnownType(f"treadle.io.datasets.{module}.{name}", needs, per_run=per_run)


KNOWN_TYPES: Final = MappingProxyType(
    {
        "pandas.CSVDataset": _ours("pandas_csv", "CSVDataset", "pandas"),
        "pandas.ParquetDataset": _ours("pandas_parquet", "ParquetDataset", "pandas"),
        "pandas.ExcelDataset": _ours("pandas_excel", "ExcelDataset", "pandas"),
        "json.JSONDataset": _ours("json", "JSONDataset"),
        "yaml.YAMLDataset": _ours("yaml", "YAMLDataset"),
        "text.TextDataset": _ours("text", "TextDataset"),
        "pickle.PickleDataset": _ours("pickle", "PickleDataset"),
        "partitions.PartitionedDataset": _ours("partitioned", "PartitionedDataset"),
        "partitions.IncrementalDataset": _ours("incremental", "IncrementalDataset", per_run=True),
        "CachedDataset": KnownType("treadle.io.datasets.cached.CachedDataset", in_files=False, wraps=True),
        "MemoryDataset": KnownType(
            "treadle.io.memory.MemoryDataset", None, in_files=False, capabilities=Capabilities(in_memory=True)
        ),
    }
)
"""Treadle's dataset classes by short name."""

_BY_PATH: Final = MappingProxyType({known.path: known for known in KNOWN_TYPES.values()})


def known_type(type_name: Any) -> KnownType | None:
    """Return the entry of a type in `KNOWN_TYPES`, by short name or full path; None if it is another class."""
    if not isinstance(type_name, str):
        return None
    return KNOWN_TYPES.get(type_name) or _BY_PATH.get(type_name)


def type_names(type_name: Any) -> set[str]:
    """Return all names of a type: as written, the full path, the short name and the name of the class.

    Args:
        type_name: a short name, a full path, or the class itself.
    """
    if isinstance(type_name, type):
        type_name = f"{type_name.__module__}.{type_name.__qualname__}"
    names = {str(type_name)}
    known = known_type(type_name)
    if known is not None:
        names |= {known.path, *(short for short, row in KNOWN_TYPES.items() if row is known)}
    return names | {name.rpartition(".")[2] for name in names}


def resolve_type(type_name: Any, dataset: str) -> type[Any]:
    """Import the class of a `type:`.

    Args:
        type_name: a short name, a full path, or the class itself.
        dataset: name of the dataset, for the message.

    Returns:
        the class.

    Raises:
        DatasetError: there is no such class, or it cannot be imported; the message lists similar types.
    """
    if isinstance(type_name, type):
        return type_name
    if not isinstance(type_name, str) or not type_name.strip():
        msg = f"Dataset {dataset!r} has no valid `type`: {type_name!r}. Use a type such as `pandas.CSVDataset`, or a class path."
        raise DatasetError(msg, dataset=dataset)
    known = known_type(type_name)
    if known is not None:
        if known.needs is not None and not _is_installed(known.needs, tuple(sys.path)):
            msg = f"Dataset {dataset!r} has type {type_name!r}, which needs {known.needs}: {install_hint(known.needs)}."
            raise DatasetError(msg, dataset=dataset)
        return _import_class(known.path, type_name, dataset) or _unknown(type_name, dataset)
    found = (
        _import_class(type_name, type_name, dataset)
        or _plugin_class(type_name, dataset)
        or _import_class(f"kedro_datasets.{type_name}", type_name, dataset)
    )
    return found or _unknown(type_name, dataset)


@lru_cache(maxsize=32)
def _is_installed(package: str, _path: tuple[str, ...]) -> bool:
    """Return whether a package is installed; cached, because the search is slow for thousands of datasets."""
    return _find_spec(package) is not None


def _find_spec(package: str) -> ModuleSpec | None:
    from importlib.util import find_spec  # most runs do without

    return find_spec(package)


def _plugin_class(type_name: str, dataset: str) -> type[Any] | None:
    """Import the class that a plugin registers under a name; None if there is none."""
    entry = find_offer(DATASETS, type_name)
    if entry is None:
        return None
    try:
        found = entry.load()
    except Exception as exc:
        why = f"{type(exc).__name__}: {exc}"
        msg = (
            f"Dataset {dataset!r} has type {type_name!r} of the plugin {plugin_name(entry)} ({entry.value}), which cannot be "
            f"imported: {why}. Repair the plugin, or install the packages that it needs."
        )
        raise DatasetError(msg, dataset=dataset) from exc
    if not isinstance(found, type):
        kind = type(found).__name__
        msg = (
            f"Dataset {dataset!r} has type {type_name!r} of the plugin {plugin_name(entry)}, whose entry point {entry.value} "
            f"is a {kind}, not a class. Correct the plugin."
        )
        raise DatasetError(msg, dataset=dataset)
    return found


def _import_class(path: str, type_name: str, dataset: str) -> type[Any] | None:
    """Import a class by its path; None if the module or the name does not exist."""
    module_name, _, name = path.rpartition(".")
    if not module_name:
        return None
    try:
        module = importlib.import_module(module_name)  # waits if another thread is importing it and has not defined all names yet
    except ModuleNotFoundError as exc:
        if exc.name is not None and (module_name == exc.name or module_name.startswith(f"{exc.name}.")):
            return None
        raise _broken(type_name, module_name, dataset, exc) from exc
    except Exception as exc:
        raise _broken(type_name, module_name, dataset, exc) from exc
    try:
        found = getattr(module, name, None)
    except ImportError as exc:  # a lazy package imports on access
        raise _broken(type_name, module_name, dataset, exc) from exc
    return found if isinstance(found, type) else None


def _broken(type_name: str, module_name: str, dataset: str, exc: Exception) -> DatasetError:
    hint = ""
    if isinstance(exc, ImportError):
        extra = f"`kedro-datasets[{module_name.rpartition('.')[2]}]`"
        hint = (
            f" A library it needs is missing: install {extra}, or just that library."
            if module_name.startswith("kedro_datasets")
            else f" A library it needs is missing: {install_hint(exc.name)}."
        )
    why = f"{type(exc).__name__}: {exc}"
    msg = f"Dataset {dataset!r} has type {type_name!r}, whose module {module_name} cannot be imported: {why}.{hint}"
    return DatasetError(msg, dataset=dataset)


def _unknown(type_name: str, dataset: str) -> type[Any]:
    from_plugins = [entry.name for entry in offered(DATASETS)]
    likely = did_you_mean(close_names(type_name, [*KNOWN_TYPES, *from_plugins, *_kedro_names(type_name)]))
    kedro = (
        "" if _find_spec("kedro_datasets") else " (and the package kedro-datasets, which has many more types, is not installed)"
    )
    msg = (
        f"Dataset {dataset!r} has an unknown type {type_name!r}.{likely} It is neither a type of Treadle "
        f"({', '.join(KNOWN_TYPES)}), nor a plugin's type, nor the full path of a class that can be imported{kedro}."
    )
    raise DatasetError(msg, dataset=dataset)


def _kedro_names(type_name: str) -> list[str]:
    """Return the kedro_datasets types of the same family, such as `pandas.…`."""
    family = type_name.partition(".")[0]
    if _find_spec("kedro_datasets") is None or _find_spec(f"kedro_datasets.{family}") is None:
        return []
    module = importlib.import_module(f"kedro_datasets.{family}")
    return [f"{family}.{name}" for name in getattr(module, "__all__", ())]
