"""Pickling what leaves a process."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from treadle.execution.pickling import CannotLeaveError, pickle_in_band, pickle_value


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


def test_in_one_piece():
    """What travels inside the description of a run has no buffers beside it."""
    assert (pickle.loads(pickle_in_band(np.arange(5))) == np.arange(5)).all()
    with pytest.raises(CannotLeaveError, match="generator cannot be pickled"):
        pickle_in_band(number for number in range(3))
