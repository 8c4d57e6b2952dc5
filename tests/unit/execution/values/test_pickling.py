"""Pickling of values that are sent to another process."""

from __future__ import annotations

import copyreg
import errno
import os
import pickle

import numpy as np
import pytest

from treadle.execution.protocol.handles import UnpicklableValueError
from treadle.execution.values.in_band import pickle_in_band
from treadle.execution.values.pickling import pickle_pieces, pickle_value


def through(value):
    data, buffers = pickle_value(value)
    return pickle.loads(data, buffers=[buffer if buffer.readonly else bytearray(buffer) for buffer in buffers])


@pytest.mark.parametrize("memory", [bytearray(b"abc"), b"abc", np.arange(6.0).reshape(2, 3), np.arange(9)[::3]])
def test_a_memoryview_stays_one(memory):
    """A memoryview is restored as a view of a copy, with its format and shape, writable if it was writable."""
    view = memoryview(memory)
    (back,) = through([view])
    assert isinstance(back, memoryview)
    assert back == view
    assert back.readonly == (type(memory) is bytes)
    if not back.readonly:
        back.cast("B")[0] = 77
        assert back != view


def test_long_bytes_are_not_copied():
    """They are a piece of the pickle as they are, at any depth, and the pieces are the whole pickle."""
    content, text = bytes(100_000), "a" * 100_000
    value = {"content": [content], "text": text, "rows": [(number, str(number)) for number in range(30_000)]}
    pieces, buffers = pickle_pieces(value)
    assert any(piece is content for piece in pieces)
    assert pickle.loads(b"".join(pieces), buffers=buffers) == value
    assert pickle_pieces(content)[0][1] is content


class Clearing:
    """An object that clears a bytearray when it is pickled."""

    def __init__(self, content):
        self.content = content

    def __reduce__(self):
        self.content.clear()
        return str, ("cleared",)


def test_a_bytearray_may_change_while_the_rest_is_pickled():
    """Its content is that of the moment when it was pickled."""
    content = bytearray(b"a" * 100_000)
    pieces, _buffers = pickle_pieces([content, Clearing(content)])
    assert pickle.loads(b"".join(pieces)) == [bytearray(b"a" * 100_000), "cleared"]


def test_a_function_that_is_registered_for_arrays_is_used():
    """Where an array needs no reduction of Treadle's, one that is registered with `copyreg` applies."""
    copyreg.pickle(np.ndarray, lambda array: (list, (array.tolist(),)))
    try:
        assert through([np.arange(3)]) == [[0, 1, 2]]
    finally:
        del copyreg.dispatch_table[np.ndarray]


class Refuser:
    """An object that pickle cannot reduce by itself."""

    def __init__(self, name):
        self.name = name

    def __reduce_ex__(self, _protocol):
        raise TypeError("cannot be pickled")


@pytest.mark.parametrize("pickle_it", [lambda value: pickle_value(value)[0], pickle_in_band])
def test_types_that_are_registered_later_are_pickled_by_their_function(pickle_it):
    """A function that is registered with `copyreg` for a type is used from then on, as by any other pickler."""
    copyreg.pickle(Refuser, lambda _refuser: (Refuser, ("restored",)))
    try:
        assert pickle.loads(pickle_it([Refuser("first")]))[0].name == "restored"
    finally:
        del copyreg.dispatch_table[Refuser]
    with pytest.raises(UnpicklableValueError, match="cannot be pickled"):
        pickle_it([Refuser("second")])


def test_an_unpicklable_value_is_named():
    """The error names the type and the reason; running out of memory is another error."""

    class Greedy:
        def __reduce__(self):
            raise MemoryError

    with pytest.raises(UnpicklableValueError, match="generator cannot be pickled"):
        pickle_value(number for number in range(3))
    with pytest.raises(MemoryError):
        pickle_value(Greedy())


class Exhausted:
    """Cannot be pickled in a process that has run out of a resource."""

    def __init__(self, number):
        self.number = number

    def __reduce__(self):
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("pickle_it", [pickle_value, pickle_in_band])
@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC])
def test_a_shortage_is_not_a_property_of_the_value(pickle_it, number):
    """A value is not taken for one that can never be pickled because this process has no files, memory or space left."""
    with pytest.raises(OSError, match=os.strerror(number)):
        pickle_it([Exhausted(number)])


@pytest.mark.parametrize("pickle_it", [pickle_value, pickle_in_band])
def test_another_error_of_the_system_is_one_of_the_value(pickle_it):
    """Such as that of a value which reads a file that is gone."""
    with pytest.raises(UnpicklableValueError, match="list cannot be pickled"):
        pickle_it([Exhausted(errno.ENOENT)])
