"""Find classes of the project that are registered with a library under the name of an attribute.

After `@pandas.api.extensions.register_dataframe_accessor("shop")`, a function calls the class by `table.shop`, and nothing in the
function refers to it. Only libraries that are imported already are looked at. State: none.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_EXTENSIBLE: Final = {
    "pandas": ("DataFrame", "Series", "Index"),
    "xarray": ("Dataset", "DataArray", "DataTree"),
    "polars": ("DataFrame", "LazyFrame", "Series", "Expr"),
}
"""Classes with functions that register accessors; they keep a class in an attribute of a descriptor."""


def registered_accessors(contains: Callable[[str], bool]) -> dict[str, list[type]]:
    """Return the classes of the project that are accessors, by the name of the attribute.

    Args:
        contains: returns whether a module belongs to the project.
    """
    found: dict[str, list[type]] = {}
    for library, names in _EXTENSIBLE.items():
        module = sys.modules.get(library)
        for kind in [vars(module).get(name) for name in names] if module is not None else ():
            for attribute, descriptor in vars(kind).items() if isinstance(kind, type) else ():
                for value in _attributes(descriptor):
                    if issubclass(type(value), type) and contains(str(value.__module__)):
                        found.setdefault(attribute, []).append(value)
    return found


def _attributes(descriptor: Any) -> list[Any]:
    kind = type(descriptor)
    if kind.__module__ == "builtins" or not kind.__dictoffset__:
        return []
    return [*vars(descriptor).values()]
