"""Pickle the values of datasets with out-of-band buffers; functions and classes that cannot be imported go by value.

`in_band.py` pickles into one bytes object. `by_value.py` has the pickler; it is imported on first use, because it imports
cloudpickle. Used by the parent and the workers. State: none.
"""

from __future__ import annotations

import pickle
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
    pieces, buffers = pickle_pieces(value)
    return b"".join(pieces), buffers


def pickle_pieces(value: Any) -> tuple[Pieces, list[memoryview]]:
    """Pickle a value as `pickle_value` does, but leave the pickle in pieces, so that it is not copied before it is written.

    Args:
        value: any value.

    Returns:
        The pieces of the pickle, and a flat view of each buffer.

    Raises:
        Exception: see `pickle_value`.
    """
    pieces = Pieces()
    if type(value) in ATOMS:
        pickle.Pickler(pieces, protocol=5).dump(value)
        return pieces, []
    from treadle.execution.values.by_value import Pickler

    buffers: list[pickle.PickleBuffer] = []
    try:
        Pickler(pieces, protocol=5, buffer_callback=buffers.append).dump(value)
        return pieces, [buffer.raw() for buffer in buffers]
    except BaseException as exc:  # pickling runs the methods of any class, which may even call sys.exit
        if is_shortage(exc):
            raise
        msg = f"{type(value).__module__}.{type(value).__qualname__} cannot be pickled: {exc}"
        raise UnpicklableValueError(msg) from exc


class Pieces(list[bytes]):
    """A file for a pickler to write to: the list of what it writes.

    A pickler writes at most 64 KB at a time, except a long text, bytes or bytearray, which it writes as one piece. Bytes that
    belong to the value are not copied; a bytearray is, because it may change.
    """

    def write(self, piece: Any) -> None:
        """Add a piece."""
        self.append(piece if type(piece) is bytes else bytes(piece))
