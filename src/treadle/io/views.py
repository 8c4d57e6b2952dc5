"""Pickle views of memory, which neither pickle nor `copy` can do. State: none. Neighbours: `copying` and `pickled_copies`."""

from __future__ import annotations

from typing import Any


def reduce_view(view: memoryview) -> tuple[Any, tuple[Any, ...]]:
    """Return a function and arguments that create a copy of a memoryview, as `__reduce__` would.

    Args:
        view: any memoryview, contiguous or not.

    Returns:
        The function and its arguments. The memory is a pickle buffer, so that it can be transferred out of band.
    """
    if not view.nbytes or not _is_castable(view.format, view.itemsize):
        import numpy as np  # casting cannot create such a view, but an array can have any format and shape

        return memoryview, (np.array(view),)
    from pickle import PickleBuffer

    content = view.tobytes()
    memory = content if type(view.obj) is bytes else bytearray(content)
    return restore_view, (PickleBuffer(memory), view.format, view.shape)


def _is_castable(form: str, size: int) -> bool:
    try:
        memoryview(bytes(size)).cast(form)  # type: ignore[call-overload]  # any format
    except ValueError:
        return False
    return True


def restore_view(memory: Any, form: str, shape: tuple[int, ...]) -> memoryview:
    """Create a memoryview from its content, format and shape.

    Args:
        memory: the content in C order: bytes, or a writable buffer.
        form: format of the items.
        shape: number of items along each dimension.
    """
    flat = memoryview(memory).cast("B")
    return flat if form == "B" and len(shape) == 1 else flat.cast(form, list(shape))  # type: ignore[call-overload]  # any format
