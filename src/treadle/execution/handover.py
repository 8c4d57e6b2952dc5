"""Handing a value from one node to the next within a process without copying it, where that is safe.

It is safe where nobody else can see the object, nor the memory under it: the one reference to it is the holder's, it is
of a kind whose memory is its own, and no part of it is an object that others may hold. What is not known for certain is
copied. State: none. numpy and pandas are never imported here: a value of theirs exists only where they are loaded.
"""

from __future__ import annotations

import sys
from typing import Any

from treadle.io.frames import is_plain_frame


def is_sole_holder(holder: dict[int, Any], key: int) -> bool:
    """Say whether a value may be passed on as it is, because `holder[key]` is all that leads to it.

    Args:
        holder: the dictionary that keeps the value.
        key: its key there.

    Returns:
        True for a plain numpy array that owns its memory, or a plain pandas frame or series under copy-on-write, that
        nothing but the holder refers to. (A view refers to the array under it, so an array with views is not alone.)
    """
    if _references(holder, key) > _ALONE:
        return False
    value = holder[key]
    numpy = sys.modules.get("numpy")
    if numpy is not None and type(value) is numpy.ndarray:
        return bool(value.flags.owndata and value.flags.writeable and not value.dtype.hasobject)
    pandas = sys.modules.get("pandas")
    return pandas is not None and int(pandas.__version__.partition(".")[0]) >= _COPY_ON_WRITE and is_plain_frame(value)


def large_size(value: Any) -> int:
    """Return the bytes of a plain array or frame, 0 for anything else: what is known to be large and known to pickle.

    Args:
        value: anything.
    """
    numpy = sys.modules.get("numpy")
    if numpy is not None and type(value) is numpy.ndarray and not value.dtype.hasobject:
        return int(value.nbytes)
    if not is_plain_frame(value):
        return 0
    usage = value.memory_usage(index=False, deep=False)
    return int(usage if isinstance(usage, int) else usage.sum())


def _references(holder: dict[int, Any], key: int) -> int:
    return sys.getrefcount(holder[key])


_ALONE = _references({0: object()}, 0)
"""What Python counts for a value that only a dictionary holds: versions differ in what the call itself adds."""

_COPY_ON_WRITE = 3
"""The major version of pandas from which a write to one frame never shows in another (PDEP-7)."""
