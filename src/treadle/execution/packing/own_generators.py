"""Find a random number generator that workers would have with the same state if they were forked.

The generators that libraries share are seeded in each worker (`attempt/seeding.py`). A generator that a module of the project
makes for itself is not: all forked workers would draw the same numbers from their copies. A worker that imports the module makes
a new one. The generators of a script are sent to the workers as they are under every start method, so they do not matter here.

Runs in the parent. State: none.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from treadle.execution.packing.worker_spec import package_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from treadle.execution.protocol.project import ProjectSetup

_KINDS = (
    ("random", "Random"),
    ("numpy.random", "Generator"),
    ("numpy.random", "RandomState"),
    ("torch", "Generator"),
)


def find_own_generator(modules: Iterable[str], project: ProjectSetup | None = None) -> str | None:
    """Return the name of a generator that is a global variable of a module; None if there is none.

    Args:
        modules: names of the modules of the nodes' functions; those of the project's package are searched in addition.
        project: configures the project of another framework; None for a Treadle project.
    """
    kinds = tuple(getattr(sys.modules[module], name) for module, name in _KINDS if hasattr(sys.modules.get(module), name))
    if not kinds:
        return None
    package = package_name(project)
    in_package = [name for name in list(sys.modules) if package is not None and f"{name}.".startswith(f"{package}.")]
    for module in sorted({*modules, *in_package} - {"__main__"}):
        for name, value in list(getattr(sys.modules.get(module), "__dict__", {}).items()):
            if issubclass(type(value), kinds) and not _has_no_state(value):  # `isinstance` would run code of lazy objects
                return f"{module}.{name}"
    return None


def _has_no_state(generator: Any) -> bool:
    """Return whether a generator reads each number from the operating system."""
    from random import SystemRandom

    return isinstance(generator, SystemRandom)
