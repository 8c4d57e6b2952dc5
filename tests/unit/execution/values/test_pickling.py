"""Pickling what leaves a process."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from treadle.execution.protocol.handles import UnpicklableValueError
from treadle.execution.values.pickling import pickle_value


def through(value):
    data, buffers = pickle_value(value)
    return pickle.loads(data, buffers=[buffer if buffer.readonly else bytearray(buffer) for buffer in buffers])


@pytest.mark.parametrize("memory", [bytearray(b"abc"), b"abc", np.arange(6.0).reshape(2, 3), np.arange(9)[::3]])
def test_a_memoryview_stays_one(memory):
    """A view comes back as a view of a copy, with its format and shape, writable where it was."""
    view = memoryview(memory)
    (back,) = through([view])
    assert isinstance(back, memoryview)
    assert back == view
    assert back.readonly == (type(memory) is bytes)
    if not back.readonly:
        back.cast("B")[0] = 77
        assert back != view


def test_what_refuses_is_told():
    """The error names the type and the reason; a lack of memory is no refusal."""

    class Greedy:
        def __reduce__(self):
            raise MemoryError

    with pytest.raises(UnpicklableValueError, match="generator cannot be pickled"):
        pickle_value(number for number in range(3))
    with pytest.raises(MemoryError):
        pickle_value(Greedy())
