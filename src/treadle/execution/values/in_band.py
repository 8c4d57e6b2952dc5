"""Pickling into one piece: for what travels inside the description of a run. No state.

Neighbours: `pickling.py` pickles the values of datasets, whose large buffers travel apart.
"""

from __future__ import annotations

from typing import Any

from treadle.execution.protocol.handles import CannotLeaveError


def pickle_in_band(value: Any) -> bytes:
    """Pickle a value into one piece; what the main script or a notebook defines travels by value.

    Args:
        value: anything.

    Returns:
        The pickle.

    Raises:
        CannotLeaveError: the value, or something in it, cannot be pickled.
    """
    from treadle.execution.values.by_value import dumps

    try:
        return dumps(value)
    except (MemoryError, KeyboardInterrupt):
        raise
    except BaseException as exc:  # pickling runs the code of any class, which may even call sys.exit
        msg = f"{type(value).__module__}.{type(value).__qualname__} cannot be pickled: {exc}"
        raise CannotLeaveError(msg) from exc
