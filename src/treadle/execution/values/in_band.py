"""Pickle the parts of a run's description into one bytes object each, buffers included.

`pickling.py` pickles the values of datasets with separate buffers. Used by the parent and the workers. State: none.
"""

from __future__ import annotations

import errno
from typing import Any

from treadle.execution.protocol.handles import UnpicklableValueError

_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def is_shortage(exc: BaseException) -> bool:
    """Return whether an exception says nothing about a value: it was interrupted, or memory, files or space have run out.

    Pickling imports modules, for example, which fails in a process that may open no more files.
    """
    return isinstance(exc, (MemoryError, KeyboardInterrupt)) or (isinstance(exc, OSError) and exc.errno in _SHORTAGES)


def pickle_in_band(value: Any) -> bytes:
    """Pickle a value into one bytes object; functions and classes that cannot be imported are pickled by value.

    Args:
        value: any value.

    Returns:
        The pickle.

    Raises:
        UnpicklableValueError: the value, or something in it, cannot be pickled.
        MemoryError: there is not enough memory for the pickle.
        OSError: this process may open no more files, or a disk is full.
    """
    from treadle.execution.values.by_value import dumps

    try:
        return dumps(value)
    except BaseException as exc:  # pickling runs the methods of any class, which may even call sys.exit
        if is_shortage(exc):
            raise
        msg = f"{type(value).__module__}.{type(value).__qualname__} cannot be pickled: {exc}"
        raise UnpicklableValueError(msg) from exc
