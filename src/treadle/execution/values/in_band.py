"""Pickle the parts of a run's description into one bytes object each, buffers included.

`pickling.py` pickles the values of datasets with separate buffers. Used by the parent and the workers. State: none.
"""

from __future__ import annotations

from typing import Any

from treadle.execution.protocol.handles import UnpicklableValueError


def pickle_in_band(value: Any) -> bytes:
    """Pickle a value into one bytes object; functions and classes that cannot be imported are pickled by value.

    Args:
        value: any value.

    Returns:
        The pickle.

    Raises:
        UnpicklableValueError: the value, or something in it, cannot be pickled.
    """
    from treadle.execution.values.by_value import dumps

    try:
        return dumps(value)
    except (MemoryError, KeyboardInterrupt):
        raise
    except BaseException as exc:  # pickling runs the methods of any class, which may even call sys.exit
        msg = f"{type(value).__module__}.{type(value).__qualname__} cannot be pickled: {exc}"
        raise UnpicklableValueError(msg) from exc
