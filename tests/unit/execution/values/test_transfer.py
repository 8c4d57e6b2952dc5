"""Transfer of values between processes and within a process."""

from __future__ import annotations

import gc
import os
import pickle
import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from treadle.errors import DatasetError
from treadle.execution.protocol import handles
from treadle.execution.protocol.handles import Atom, Inline, LocalValue, PinnedValue, RemoteValue, Segment, UnpicklableValueError
from treadle.execution.values import transfer as exchange
from treadle.execution.values.budget import Budget
from treadle.execution.values.pickling import pickle_value
from treadle.execution.values.transfer import (
    INLINE_BYTES,
    LocalValues,
    NoRoomError,
    publish,
    snapshot,
)
from treadle.io.memory import CopyMode


@pytest.fixture
def keep(tmp_path):
    """Publish values; their handles are closed after the test."""
    handles = []

    def make(value, **options):
        handles.append(publish(value, str(tmp_path), **options))
        return handles[-1]

    yield make
    for handle in handles:
        handle.close()


@pytest.fixture
def nothing_left(tmp_path_factory):
    """A budget that has no room for anything."""
    budget = Budget(str(tmp_path_factory.mktemp("budget")), 1, 0)
    yield budget
    budget.close()


def open_files():
    gc.collect()  # what nobody has any more is closed first, and not in the middle of a test
    return {path.name for path in Path("/proc/self/fd").iterdir()}


BIG = np.arange(100_000, dtype="float64")


ATOMS = [None, True, 3, -(2**64) + 1, 0.5, "text"]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        *[(value, Atom) for value in ATOMS],
        *[(value, Inline) for value in [2**64, "x" * 100, b"bytes", [1, {"a": (2,)}], {1, 2}, 1 + 2j, HTTPStatus.OK]],
    ],
)
def test_small_values_travel_in_messages(keep, value, kind):
    """A small value is inside the message: as it is if it cannot be changed, else pickled."""
    handle = keep(value)
    assert type(handle) is kind
    assert handle.load() == value
    assert type(handle.load()) is type(value)
    assert 0 < handle.size <= INLINE_BYTES


def test_a_small_array_is_writable_and_isolated(keep):
    """Inline buffers are writable, and two consumers do not see each other's writes."""
    handle = keep(np.arange(4))
    first, second = handle.load(), handle.load()
    first[0] = 99
    assert second[0] == 0
    assert handle.load()[0] == 0


def test_large_values_go_into_a_memory_file(keep, tmp_path):
    """A large value is one memory file with each buffer at a 64-byte boundary, and no scratch file."""
    handle = keep({"a": BIG, "b": BIG[:11].copy(), "text": "x" * 100})
    assert isinstance(handle, Segment)
    assert handle.path is None
    assert os.fstat(handle.fd).st_size == handle.size
    assert all(start % 64 == 0 for start, _length in handle.spans)
    loaded = handle.load()
    assert np.array_equal(loaded["a"], BIG)
    assert np.array_equal(loaded["b"], BIG[:11])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "value",
    [bytes(range(256)) * 1000, "äa" * 100_000, bytearray(200_000), [{"id": number} for number in range(50_000)]],
    ids=["bytes", "text", "bytearray", "records"],
)
@pytest.mark.parametrize("spill", [False, True])
def test_large_pickles_go_into_a_file_in_pieces(keep, spill, nothing_left, value):
    """What is pickled in band arrives whole, alone and beside buffers, in a memory file and in a scratch file."""
    for each in (value, [BIG, value, BIG[:100].copy()]):
        handle = keep(each, budget=nothing_left if spill else None)
        assert isinstance(handle, Segment)
        loaded = handle.load()
        assert type(loaded) is type(each)
        assert (loaded[1] if type(each) is list and each[0] is BIG else loaded) == value


@pytest.mark.parametrize("spill", [False, True])
def test_mapped_arrays_are_writable_and_isolated(keep, spill, nothing_left):
    """A consumer may write into its array; the value and the arrays of other consumers do not change."""
    handle = keep(BIG, budget=nothing_left if spill else None)
    assert (handle.path is not None) == spill
    first, second = handle.load(), handle.load()
    assert first.flags.writeable
    first[:] = -1
    assert np.array_equal(second, BIG)
    assert np.array_equal(handle.load(), BIG)


def test_frames_are_writable_and_isolated(keep):
    """The same holds for data frames."""
    frame = pd.DataFrame({"a": BIG, "b": BIG * 2, "c": ["text"] * len(BIG)})
    handle = keep(frame)
    first = handle.load()
    first.loc[:, "a"] = 0.0
    first.iloc[0, 2] = "changed"
    pd.testing.assert_frame_equal(handle.load(), frame)


@pytest.mark.parametrize(
    "value",
    [
        np.asfortranarray(np.arange(40_000.0).reshape(200, 200)),
        np.arange(200_000.0)[::2],
        np.array([["a", None]] * 20_000, dtype=object),
        np.zeros((0, 5)),
        b"x" * 200_000,
    ],
    ids=["fortran", "strided", "objects", "empty", "bytes"],
)
def test_any_layout_survives(keep, value):
    """Arrays of any order, strides and element type, and empty ones, are restored equal."""
    loaded = keep(value).load()
    assert np.array_equal(loaded, value) if isinstance(value, np.ndarray) else loaded == value


def test_a_value_outlives_its_handle(tmp_path):
    """A loaded value stays valid after its handle is closed."""
    handle = publish(BIG, str(tmp_path))
    loaded = handle.load()
    handle.close()
    assert np.array_equal(loaded, BIG)


def test_spilled_values_are_files_that_closing_removes(tmp_path, nothing_left):
    """A value past the budget is one private file in the scratch directory, removed when its handle is closed."""
    handle = publish(BIG, str(tmp_path), budget=nothing_left)
    assert handle.memory == (0, 0)
    (file,) = tmp_path.iterdir()
    assert handle.path == str(file)
    assert handle.fd is None
    assert file.stat().st_mode & 0o077 == 0
    handle.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", [True, False], ids=["no memfd here", "memfd refused"])
def test_without_memfd_values_are_scratch_files(tmp_path, monkeypatch, missing):
    """If memfd_create does not exist or fails, large values go to scratch files."""
    if missing:
        monkeypatch.delattr(os, "memfd_create")
    else:

        def refuse(*_args):
            raise OSError

        monkeypatch.setattr(os, "memfd_create", refuse)
    handle = publish(BIG, str(tmp_path))
    assert handle.path is not None
    assert np.array_equal(handle.load(), BIG)
    handle.close()


def test_a_memory_file_that_cannot_be_filled_is_closed_and_spilled(tmp_path, monkeypatch):
    """If memory runs out while a value is written, its memory file is closed and the value goes to a scratch file."""
    write, failed = exchange._write_pieces, []

    def fail_once(fd, pieces, spans):
        if not failed:
            failed.append(fd)
            raise OSError
        write(fd, pieces, spans)

    monkeypatch.setattr(exchange, "_write_pieces", fail_once)
    before = open_files()
    handle = publish(BIG, str(tmp_path))
    assert handle.path is not None
    assert open_files() == before
    handle.close()


@contextmanager
def small_files():
    """No file of this process may grow past 100,000 bytes, on disk or in memory, nor a file that pytest prints to."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_no_room_anywhere_leaves_nothing_behind(tmp_path):
    """If no space is left at all, the error names the free space, and no file or descriptor stays open."""
    before = open_files()
    with (
        small_files(),
        pytest.raises(NoRoomError, match=r"800\.\d kB fit neither into memory nor .*File too large; File too large") as no,
    ):
        publish(BIG, str(tmp_path))
    assert "of memory available" in str(no.value)
    assert "free" in str(no.value)
    assert list(tmp_path.iterdir()) == []
    assert open_files() == before


def test_past_the_budget_a_full_disk_is_an_error(tmp_path, nothing_left):
    """A value past the budget does not go into memory when the disk is full; a spare memory file is closed."""
    spare = os.memfd_create("spare")
    with small_files(), pytest.raises(NoRoomError, match=r"values take 0 bytes of the 0 bytes .*exchange_memory.*File too large"):
        publish(BIG, str(tmp_path), budget=nothing_left, spare=spare)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(spare)


def test_at_the_limit_of_files_a_full_disk_is_no_error(tmp_path):
    """Past the limit of open files values go to disk, but into memory if the disk is full."""
    budget = Budget(str(tmp_path), 1, 1 << 30)
    budget.add(0, 1000)
    handle = publish(BIG, str(tmp_path), budget=budget)
    assert handle.path is not None
    handle.close()
    handle = publish(BIG, str(tmp_path / "gone"), budget=budget)
    assert handle.memory == (handle.size, 1)
    handle.close()
    budget.close()


@pytest.mark.parametrize("size", [100, 2_000_000], ids=["smaller", "larger"])
def test_a_spare_memory_file_is_overwritten(tmp_path, size):
    """A large value overwrites the spare file; for a small value the spare file is closed."""
    spare = os.memfd_create("spare")
    os.write(spare, b"x" * size)
    handle = publish(BIG, str(tmp_path), spare=spare)
    assert handle.fd == spare
    assert os.fstat(spare).st_size == handle.size
    assert np.array_equal(handle.load(), BIG)
    assert isinstance(publish(1, str(tmp_path), spare=spare), Inline)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(spare)


@pytest.mark.parametrize("value", [threading.Lock(), [threading.Lock()], (number for number in range(3))])
def test_an_unpicklable_value_is_an_error(tmp_path, value):
    """The error about an unpicklable value names its type and the reason."""
    with pytest.raises(UnpicklableValueError, match="cannot be pickled") as caught:
        publish(value, str(tmp_path))
    assert caught.value.__cause__ is not None


def test_any_exception_of_pickling_is_caught(tmp_path):
    """An exception of the value's own __reduce__ is reported in the same way."""

    class Hostile:
        def __reduce__(self):
            raise ZeroDivisionError

    with pytest.raises(UnpicklableValueError, match="Hostile cannot be pickled"):
        publish(Hostile(), str(tmp_path))


def test_objects_that_cannot_be_imported_are_pickled_by_value(keep):
    """Functions and classes of the main script or a notebook are pickled by value."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    exec(
        "class Point:\n    def __init__(self, x): self.x = x\n    def double(self): return twice(self.x)\n"
        "def twice(x): return 2 * x\n",
        namespace,
    )
    data = keep([namespace["Point"](21), namespace["twice"]]).data
    assert b"twice" in data
    point, twice = pickle.loads(data)
    assert point.double() == twice(21) == 42


def test_buffers_are_out_of_band():
    """The pickle of an array does not contain its data."""
    data, buffers = pickle_value({"big": BIG})
    assert len(data) < 1000
    assert [buffer.nbytes for buffer in buffers] == [BIG.nbytes]


def test_other_handles():
    """A local value loads as the object itself, a pinned value cannot be loaded, a segment needs its descriptor."""
    value = object()
    assert LocalValue(value).load() is value
    with pytest.raises(UnpicklableValueError, match="a lock"):
        PinnedValue(1, "a lock").load()
    with pytest.raises(RuntimeError, match="descriptor"):
        Segment(1, ((0, 1),)).load()
    LocalValue(value).close()
    PinnedValue(1, "").close()
    assert PinnedValue(1, "").size == LocalValue(value).size == 0
    assert PinnedValue(1, "", 7).memory == RemoteValue(1, 7).memory == (7, 0)
    assert Inline(b"abc").memory == LocalValue(value).memory == (0, 0)


# --- within one process --------------------------------------------------------------------------------------------------


def test_a_value_is_copied_when_it_is_stored():
    """Later changes by the node that made a value have no effect."""
    values = LocalValues(lambda _dataset: None)
    made = [1]
    values.store_copy(0, made)
    made.append(2)
    assert values.load_input(0, last=False) == [1]


def test_each_consumer_gets_a_copy_and_the_last_the_stored_object():
    """Consumers do not see each other's changes; the last one removes the value."""
    values = LocalValues(lambda _dataset: None)
    values.store_copy(0, [1])
    stored = values._values[0]
    first = values.load_input(0, last=False)
    first.append(2)
    assert values.load_input(0, last=True) is stored
    assert stored == [1]
    assert 0 not in values


def test_a_value_can_be_stored_without_a_copy():
    """A value that no other code references is stored without a copy."""
    values = LocalValues(lambda _dataset: None)
    value = [1]
    values.store_as_is(0, value)
    assert values.load_input(0, last=True) is value


def test_the_declared_copy_mode_applies():
    """`assign` returns the same object every time."""
    values = LocalValues({0: CopyMode.ASSIGN}.get)
    value = [1]
    values.store_copy(0, value)
    assert values.load_input(0, last=False) is value
    values.discard(0)
    values.discard(0)
    assert 0 not in values


def test_a_value_that_cannot_be_copied_is_shared():
    """A lock or a generator cannot be copied, so the object itself is passed on."""
    lock = threading.Lock()
    assert snapshot(lock, None) is lock
    assert snapshot(5, CopyMode.DEEPCOPY) == 5


@pytest.mark.parametrize("mode", [None, CopyMode.COPY, CopyMode.DEEPCOPY])
def test_an_iterator_that_cannot_be_copied_is_passed_on_once(mode):
    """The second node, or the second attempt, would find it read to its end."""
    values = LocalValues({0: mode}.get)
    values.store_copy(0, (number for number in range(3)))
    assert list(values.load_input(0, last=False)) == [0, 1, 2]
    with pytest.raises(DatasetError, match=r"iterator of type builtins.generator, which can be read only once"):
        values.load_input(0, last=True)
    values.store_copy(0, iter([1, 2]))
    assert list(values.load_input(0, last=False)) == list(values.load_input(0, last=True)) == [1, 2]


def test_an_iterator_is_passed_to_one_of_two_threads():
    """Neither has received it before, when the other one asks for it."""
    both_load = threading.Barrier(2)

    class Cursor:
        def __iter__(self):
            return self

        def __next__(self):
            raise StopIteration

        def __reduce_ex__(self, _protocol):
            both_load.wait(60)
            raise TypeError

    values = LocalValues({0: CopyMode.DEEPCOPY}.get)
    values.store_as_is(0, Cursor())
    with ThreadPoolExecutor(2) as threads:
        loads = [threads.submit(values.load_input, 0, last=False) for _ in range(2)]
    errors = [load.exception() for load in loads]
    assert {type(error) for error in errors} == {DatasetError, type(None)}


def test_clearing_removes_all_values():
    """After a run no reference keeps its values alive."""
    values = LocalValues({0: CopyMode.ASSIGN}.get)
    array = np.zeros(3)
    values.store_copy(0, array)
    values.clear()
    gc.collect()
    assert 0 not in values
    assert not [referrer for referrer in gc.get_referrers(array) if isinstance(referrer, dict) and 0 in referrer]


def test_values_use_no_descriptors_if_many_are_open(keep, monkeypatch):
    """If many files are open, a value is read and not mapped: it is isolated and keeps no descriptor open."""
    array = np.arange(100_000.0)
    handle = keep(array)
    monkeypatch.setattr(handles, "DESCRIPTOR_LIMIT", 0)
    before = open_files()
    first, second = handle.load(), handle.load()
    assert open_files() == before
    first += 1
    assert (second == array).all()


def test_running_out_of_memory_for_a_copy_is_an_error():
    """A value is only shared if it cannot be copied at all; without memory for the copy, the node fails."""

    class Large:
        def __reduce__(self):
            raise MemoryError

    with pytest.raises(MemoryError):
        exchange.snapshot(Large(), None)
    lock = threading.Lock()
    assert exchange.snapshot(lock, None) is lock


def test_inputs_are_copied_where_descriptors_are_few(tmp_path):
    """A map keeps a descriptor of its file, so a node with many large inputs would need one for each."""
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(np.arange(1000), protocol=5, buffer_callback=buffers.append).ljust(1024, b"\0")
    path = tmp_path / "value"
    path.write_bytes(data + buffers[0].raw())
    segment = Segment(9024, ((0, 1024), (1024, 8000)), str(path))
    os.close(next_free := os.dup(0))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next_free + 40, limits[1]))
    try:
        values = [segment.load() for _ in range(next_free + 80)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert {int(value[-1]) for value in values} == {999}


def test_a_value_that_replaces_a_tree_is_not_copied_as_one():
    """Such as that of a node that ran again: parts that are referenced twice stay so in a copy."""
    values = LocalValues(lambda _dataset: None)
    values.store_output({0: [[1], [2]]}, 0)
    part = [3]
    values.store_as_is(0, [part, part])
    copied = values.load_input(0, last=False)
    assert copied == [[3], [3]]
    assert copied[0] is copied[1] is not part
