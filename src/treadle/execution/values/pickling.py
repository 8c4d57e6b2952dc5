"""Pickle the values of datasets with out-of-band buffers; functions and classes that cannot be imported go by value.

`in_band.py` pickles into one bytes object. `by_value.py` has the pickler; it is imported on first use, because it imports
cloudpickle. Used by the parent and the workers. State: none.
"""

from __future__ import annotations

import pickle
from io import BytesIO
from typing import Any

from treadle.execution.protocol.handles import UnpicklableValueError
from treadle.execution.values.in_band import is_shortage

ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes})
"""Immutable types that plain pickle handles."""


def pickle_value(value: Any) -> tuple[bytes, list[memoryview]]:
    """Pickle a value with out-of-band buffers (PEP 574).

    Args:
        value: any value.

    Returns:
        The pickle, and a flat view of each buffer.

    Raises:
        UnpicklableValueError: the value, or something in it, cannot be pickled.
        MemoryError: there is not enough memory for the pickle.
        OSError: this process may open no more files, or a disk is full.
    """
    if type(value) in ATOMS:
        return pickle.dumps(value, protocol=5), []
    from treadle.execution.values.by_value import Pickler

    buffers: list[pickle.PickleBuffer] = []
    stream = BytesIO()
    try:
        Pickler(stream, protocol=5, buffer_callback=buffers.append).dump(value)
        return stream.getvalue(), [buffer.raw() for buffer in buffers]
    except BaseException as exc:  # pickling runs the methods of any class, which may even call sys.exit
        if is_shortage(exc):
            raise
        msg = f"{type(value).__module__}.{type(value).__qualname__} cannot be pickled: {exc}"
        raise UnpicklableValueError(msg) from exc
