"""Libraries that this process has imported, for code that handles their values and must not import them itself. State: none."""

from __future__ import annotations

import sys
from typing import Any


def loaded_module(name: str) -> Any | None:
    """Return a module that has been imported completely.

    While a module is being imported by another thread, `sys.modules` has it already, but without most of its names. No
    value of its classes can have reached a caller by then, so the module counts as absent.

    Args:
        name: name of a top-level module.

    Returns:
        The module, or None where it has not been imported, or not completely yet.
    """
    module = sys.modules.get(name)
    if module is None or getattr(getattr(module, "__spec__", None), "_initializing", False):
        return None
    return module
