"""The parent's memory files: counted, and reused only once no process maps them any more."""

from __future__ import annotations

import errno
import mmap
import os
from types import SimpleNamespace

import numpy as np
import pytest

from treadle.execution.executors.loky import segments as module
from treadle.execution.executors.loky.segments import Segments, leases_work
from treadle.execution.executors.loky.store import SegmentStore
from treadle.execution.protocol.handles import Inline, PinnedValue, RemoteValue
from treadle.execution.protocol.messages import MAIN
from treadle.execution.values.transfer import publish

ARRAY = np.arange(200_000.0)

pytestmark = pytest.mark.skipif(not leases_work(), reason="leases on this system do not detect mappings of a memory file")


@pytest.fixture
def pool(tmp_path):
    """The memory files of a pool that published an array before."""
    made = Segments(str(tmp_path), 2, 1 << 30)
    assert made.spare(ARRAY.nbytes) is None
    yield made
    made.close()


def load_as_consumer(pool, handle):
    """Load a value as a node in another process would: with its own open file description."""
    fd = pool.share(handle.fd)
    try:
        return handle._replace(fd=fd).load()
    finally:
        os.close(fd)


@pytest.fixture
def released(pool, tmp_path):
    """A memory file whose value was loaded once and is released; and the loaded value."""
    handle = publish(ARRAY, str(tmp_path), budget=pool.budget)
    pool.add(handle, MAIN)
    loaded = load_as_consumer(pool, handle)
    pool.free(handle)
    return [handle.fd, loaded]


def test_a_value_that_is_still_referenced_is_never_overwritten(pool, released, tmp_path):
    """While a node keeps an input or a part of it, the file is not reused: the node would see the new value."""
    part = released.pop()[5:10]
    assert pool.spare(ARRAY.nbytes) is None
    publish(-ARRAY, str(tmp_path), spare=pool.spare(ARRAY.nbytes)).close()
    assert part.tolist() == [5, 6, 7, 8, 9]


def test_a_file_that_is_no_longer_mapped_is_reused(pool, released, tmp_path):
    """Once the last mapping is gone, the next value overwrites the file, and its consumers see the new value."""
    del released[1]
    (fd,) = released
    spare = pool.spare(ARRAY.nbytes)
    assert spare == fd
    assert pool.budget.used() == 0
    handle = publish(-ARRAY, str(tmp_path), spare=spare)
    assert np.array_equal(load_as_consumer(pool, handle), -ARRAY)
    handle.close()


def test_a_descriptor_in_flight_counts(pool, tmp_path):
    """A file that was sent to a worker and is not mapped yet is not unused either."""
    handle = publish(ARRAY, str(tmp_path))
    pool.add(handle, MAIN)
    in_flight = pool.share(handle.fd)
    pool.free(handle)
    assert pool.spare(ARRAY.nbytes) is None
    os.close(in_flight)
    spare = pool.spare(ARRAY.nbytes)
    assert spare == handle.fd
    os.close(spare)


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")  # of pytest's watchdog thread, since Python 3.15
def test_a_mapping_that_only_a_child_has_counts(pool, tmp_path):
    """A process that a node forked keeps the node's mappings."""
    handle = publish(ARRAY, str(tmp_path))
    pool.add(handle, MAIN)
    fd = pool.share(handle.fd)
    mapped = mmap.mmap(fd, handle.size, access=mmap.ACCESS_COPY)
    os.close(fd)
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write_end)
        os.read(read_end, 1)
        os._exit(0)
    mapped.close()
    pool.free(handle)
    kept = pool.spare(ARRAY.nbytes)
    os.close(write_end)
    os.waitpid(child, 0)
    os.close(read_end)
    assert kept is None
    spare = pool.spare(ARRAY.nbytes)
    assert spare == handle.fd
    os.close(spare)


def test_released_files_are_counted_and_bounded(pool, tmp_path):
    """Released files count against the limit; the oldest are closed if there are too many, or memory runs short."""
    pool._max_idle_bytes = 4_000_000
    for _ in range(4):
        handle = publish(ARRAY, str(tmp_path))
        pool.add(handle, MAIN)
        pool.free(handle)
    assert pool.budget.used() == sum(size for size, _fd in pool._idle)
    assert len(pool._idle) == 2
    pool.budget.add_created(0, 900_000_000, 0)
    pool.add(RemoteValue(1, 900_000_000), 1)
    assert pool._idle == []
    pool.remove(RemoteValue(1, 900_000_000))


def test_no_file_is_kept_if_leases_do_not_work(pool, tmp_path, monkeypatch):
    """Without working leases, every file is closed when its value is released."""
    monkeypatch.setattr(module, "leases_work", lambda: False)
    handle = publish(ARRAY, str(tmp_path))
    pool.add(handle, MAIN)
    pool.free(handle)
    assert pool.spare(ARRAY.nbytes) is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handle.fd)


def test_only_values_with_their_own_memory_are_counted(pool):
    """Values inside messages and values that cannot be pickled are not counted; those that stay in a worker are."""
    pool.add(Inline(b"abc"), 1)
    pool.add(PinnedValue(1, "a lock"), 1)
    assert pool.budget.used() == 0
    pool.budget.add_created(0, 70, 0)
    pool.add(RemoteValue(1, 70), 1)
    assert pool.budget.used() == 70
    pool.begin()
    pool.free(RemoteValue(1, 70))
    assert pool.budget.used() == 0


def test_a_message_without_room_for_all_its_descriptors_leaves_none_open(tmp_path, monkeypatch):
    """The process may not open more files, so the message is not sent."""
    store = SegmentStore(str(tmp_path), 1, 1 << 30)
    store.begin(SimpleNamespace(plan=SimpleNamespace(datasets=()), copy_mode=None))
    shared, share = [], Segments.share

    def share_once(segments, fd):
        if shared:
            raise OSError(errno.EMFILE, "Too many open files")
        shared.append(share(segments, fd))
        return shared[0]

    monkeypatch.setattr(Segments, "share", share_once)
    for dataset in (0, 1):
        store.put(dataset, ARRAY + dataset)
    with pytest.raises(OSError, match="Too many open files"):
        store.handles([0, 1])
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(shared[0])
    store.close()
