"""Pickling what leaves a process: large buffers out of band, what the main script or a notebook defines by value.

State: none. Neighbours: `in_band.py`, for what travels in one piece; `by_value.py`, which has the pickler. It is imported where
it is first needed, and cloudpickle with it.
"""

from __future__ import annotations

import pickle
from io import BytesIO
from typing import Any

from treadle.execution.protocol.handles import CannotLeaveError

ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes})
"""Kinds of values that nobody can change, and that pickle without help."""


def pickle_value(value: Any) -> tuple[bytes, list[memoryview]]:
    """Pickle a value, its large buffers out of band (PEP 574).

    Args:
        value: anything.

    Returns:
        The pickle, and a flat view of each buffer.

    Raises:
        CannotLeaveError: the value, or something in it, cannot be pickled.
        MemoryError: there is not enough memory to pickle it.
    """
    if type(value) in ATOMS:
        return pickle.dumps(value, protocol=5), []
    from treadle.execution.values.by_value import Pickler

    buffers: list[pickle.PickleBuffer] = []
    stream = BytesIO()
    try:
        Pickler(stream, protocol=5, buffer_callback=buffers.append).dump(value)
        return stream.getvalue(), [buffer.raw() for buffer in buffers]
    except (MemoryError, KeyboardInterrupt):
        raise
    except BaseException as exc:  # pickling runs the code of any class, which may even call sys.exit
        msg = f"{type(value).__module__}.{type(value).__qualname__} cannot be pickled: {exc}"
        raise CannotLeaveError(msg) from exc
