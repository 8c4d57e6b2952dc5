"""Send what the catalog names and workers cannot import: classes of datasets, and validators, of scripts, notebooks and files.

State: none.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from treadle.errors import DatasetError
from treadle.execution.protocol.handles import UnpicklableValueError
from treadle.execution.values import restoring
from treadle.execution.values.importable import is_found_by_name, is_module_found
from treadle.execution.values.in_band import pickle_in_band
from treadle.io.types import resolve_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from treadle.io.recipe import DatasetRecipe


def pickled_with_classes(recipe: DatasetRecipe) -> bytes | None:
    """Pickle a recipe together with the classes that it names.

    Args:
        recipe: how to build a declared dataset.

    Returns:
        The pickle; None if workers can import the classes, so that the recipe itself is enough.

    Raises:
        UnpicklableValueError: a class, or something else in the recipe, cannot be pickled.
    """
    config = _with_classes(recipe.config, recipe.name)
    return None if config is recipe.config else pickle_in_band(recipe._replace(config=config))


def _with_classes(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return an entry with the classes themselves in place of their paths, if they cannot be imported; else the entry itself."""
    changed: dict[str, Any] = {}
    kind = _unimportable(config.get("type"), name)
    if kind is not None:
        changed["type"] = kind
    entry = config.get("dataset")  # the one that this dataset wraps, or that loads and saves its partitions
    if entry is not None:
        inner = entry if hasattr(entry, "keys") else {"type": entry}
        if (with_classes := _with_classes(inner, name)) is not inner:
            changed["dataset"] = with_classes
    return {**config, **changed} if changed else config


def _unimportable(type_name: Any, name: str) -> type[Any] | None:
    """Return the class that a `type:` names, or is, if workers cannot import it; else None."""
    if isinstance(type_name, type):
        return None if is_found_by_name(type_name) else type_name
    if not isinstance(type_name, str) or is_module_found(type_name.rpartition(".")[0]):
        return None  # workers find what the module has under this name, although a class may have another name of its own
    with suppress(DatasetError):  # an unknown type: the node that needs the dataset reports it
        return resolve_type(type_name, name)
    return None


def pickled_definitions(paths: Iterable[str]) -> tuple[bytes, ...]:
    """Pickle the objects that have these paths and that workers cannot import. Unpickling defines each under its path.

    Args:
        paths: module and name of each object.

    Returns:
        The pickles, without those of objects that cannot be pickled: the node that needs such an object reports it.
    """
    found = []
    for path in dict.fromkeys(paths):
        module_name, _, name = path.rpartition(".")
        if not is_module_found(module_name) and name in (names := vars(sys.modules[module_name])):
            with suppress(UnpicklableValueError):
                found.append(pickle_in_band(Definition(module_name, name, names[name])))
    return tuple(found)


class Definition:
    """An object that is defined under its name where it is unpickled."""

    def __init__(self, module: str, name: str, value: Any) -> None:
        self._arguments = (module, name, restoring.same, (value,))

    def __reduce__(self) -> tuple[Any, ...]:
        return restoring.define, self._arguments
