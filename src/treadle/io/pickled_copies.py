"""Copy values by pickling and unpickling them in memory. State: none. Neighbour: `copying` tries this for most values."""

from __future__ import annotations

import copyreg
import io
import pickle
import types
from typing import Any

from treadle.io.frames import is_locked_array
from treadle.io.loaded import loaded_module
from treadle.io.views import reduce_view


def copy_with_pickle(value: Any, *, keep_code: bool = False) -> Any:
    """Copy a value.

    Args:
        value: any value that can be pickled.
        keep_code: whether functions, classes and modules are kept as they are.

    Returns:
        The copy.

    Raises:
        Exception: the value cannot be pickled, or not unpickled.
    """
    stream = io.BytesIO()
    pickler = _CodeKeepingPickler(stream) if keep_code else _Pickler(stream)
    pickler.dump(value)
    stream.seek(0)
    return _Unpickler(stream, [bytearray(buffer.raw()) for buffer in pickler.buffers], pickler.references).load()


class _Pickler(pickle.Pickler):
    """Pickle buffers out of band, so that they are copied once. Read-only arrays become writable, as in a deep copy."""

    def __init__(self, stream: io.BytesIO) -> None:
        self.buffers: list[pickle.PickleBuffer] = []
        self.references: list[Any] = []
        super().__init__(stream, protocol=5, buffer_callback=self.buffers.append)
        # Not `reducer_override`, which would be Python code for each object.
        self.dispatch_table = {**copyreg.dispatch_table, memoryview: reduce_view}
        if (numpy := loaded_module("numpy")) is not None:
            self.dispatch_table[numpy.ndarray] = _reduce_array


def _reduce_array(array: Any) -> Any:
    return (array.copy(order="K") if is_locked_array(array) else array).__reduce_ex__(5)


class _CodeKeepingPickler(_Pickler):
    """Keep functions, classes and modules as references, as a deep copy does, because local ones cannot be pickled."""

    def persistent_id(self, obj: Any) -> int | None:
        if isinstance(obj, (types.FunctionType, types.ModuleType, type)):
            self.references.append(obj)
            return len(self.references) - 1
        return None


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, buffers: list[bytearray], references: list[Any]) -> None:
        super().__init__(stream, buffers=buffers)
        self._references = references

    def persistent_load(self, pid: Any) -> Any:
        return self._references[pid]
