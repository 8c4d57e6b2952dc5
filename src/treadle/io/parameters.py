"""The parameters of a run, as datasets.

The dataset `parameters` has all parameters, `params:a.b.c` has one value of the nested mapping. A dataset is created when its
name is looked up, so thousands of parameters cost nothing in advance. State: the mapping, which never changes. Neighbours:
`catalog` looks up names here that it does not have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from treadle.io.copying import copy_value
from treadle.io.memory import MemoryDataset
from treadle.parameter_names import ALL_PARAMETERS, PARAMETER_PREFIX


class ParameterDataset(MemoryDataset):
    """A parameter. Releasing it does not remove the value, because no node can produce it again."""

    def release(self) -> None:
        """Do nothing: the value stays."""
        return


class Parameters:
    """Nested parameters, by dataset name.

    Args:
        values: the nested mapping; it is copied.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values: Mapping[Any, Any] = copy_value(dict(values))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self._find(name))

    def dataset(self, name: str) -> ParameterDataset | None:
        """Return a parameter as a dataset.

        Args:
            name: `parameters` or `params:a.b`.

        Returns:
            a new dataset; None if there is no such parameter.
        """
        found = self._find(name)
        return ParameterDataset(found[0]) if found else None

    def names(self) -> Iterator[str]:
        """Yield the names of all parameters, every level of the nested ones, `parameters` first."""
        yield ALL_PARAMETERS
        yield from _walk(self._values, PARAMETER_PREFIX)

    def _find(self, name: str) -> tuple[Any, ...]:
        """Return the value in a tuple, or the empty tuple: None is a value."""
        if name == ALL_PARAMETERS:
            return (self._values,)
        return _look_up(self._values, name[len(PARAMETER_PREFIX) :]) if name.startswith(PARAMETER_PREFIX) else ()


def _look_up(values: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(values, Mapping):
        return ()
    if path in values:
        return (values[path],)
    for key, value in values.items() if any(not isinstance(key, str) for key in values) else ():
        if not isinstance(key, str) and str(key) == path:
            return (value,)
    # A key may contain dots, so try every way to split the path, the shortest first key first.
    dot = path.find(".")
    while dot >= 0:
        first, rest = path[:dot], path[dot + 1 :]
        for value in _values_of(values, first):
            found = _look_up(value, rest)
            if found:
                return found
        dot = path.find(".", dot + 1)
    return ()


def _values_of(values: Mapping[Any, Any], key: str) -> Iterator[Any]:
    if key in values:
        yield values[key]
    elif any(not isinstance(other, str) for other in values):
        yield from (value for other, value in values.items() if str(other) == key)


def _walk(values: Mapping[Any, Any], prefix: str) -> Iterator[str]:
    for key, value in values.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _walk(value, f"{prefix}{key}.")
