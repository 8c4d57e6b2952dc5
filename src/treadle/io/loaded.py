"""Find libraries that this process has imported, for code that handles their values but must not import them. State: none."""

from __future__ import annotations

import sys
from typing import Any


def loaded_module(name: str) -> Any | None:
    """Return a module that has been imported completely.

    While another thread imports a module, `sys.modules` already has it, but without most of its names. No value of its classes
    can exist yet, so the module counts as not imported.

    Args:
        name: the module's name.

    Returns:
        The module; None if it has not been imported completely.
    """
    module = sys.modules.get(name)
    if module is None or getattr(getattr(module, "__spec__", None), "_initializing", False):
        return None
    return module
