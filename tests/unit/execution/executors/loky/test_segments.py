"""The parent's memory files: counted, and written over only where nobody maps them any more."""

from __future__ import annotations

import mmap
import os

import numpy as np
import pytest

from treadle.execution.executors.loky import segments as module
from treadle.execution.executors.loky.segments import Segments, leases_tell
from treadle.execution.protocol.handles import Inline, PinnedValue, RemoteValue
from treadle.execution.protocol.messages import MAIN
from treadle.execution.values.transfer import publish

ARRAY = np.arange(200_000.0)

pytestmark = pytest.mark.skipif(not leases_tell(), reason="this kernel's leases do not tell who maps a memory file")


@pytest.fixture
def pool(tmp_path):
    """The memory files of a pool that published an array before."""
    made = Segments(str(tmp_path), 2, 1 << 30)
    assert made.spare(ARRAY.nbytes) is None
    yield made
    made.close()


def load_as_taker(pool, handle):
    """Load a value as a node in another process would: over a descriptor of an open file of its own."""
    fd = pool.share(handle.fd)
    try:
        return handle._replace(fd=fd).load()
    finally:
        os.close(fd)


@pytest.fixture
def released(pool, tmp_path):
    """A memory file whose value was taken once and is released; and what was taken."""
    handle = publish(ARRAY, str(tmp_path), budget=pool.budget)
    pool.add(handle, MAIN)
    taken = load_as_taker(pool, handle)
    pool.give_back(handle)
    return [handle.fd, taken]


def test_a_value_that_somebody_keeps_is_never_written_over(pool, released, tmp_path):
    """As long as a node keeps what it got, or a part of it, its file is not used again: it would see the new value."""
    part = released.pop()[5:10]
    assert pool.spare(ARRAY.nbytes) is None
    publish(-ARRAY, str(tmp_path), spare=pool.spare(ARRAY.nbytes)).close()
    assert part.tolist() == [5, 6, 7, 8, 9]


def test_a_file_that_nobody_maps_is_used_again(pool, released, tmp_path):
    """Once the last map is gone the next value is written over it, and its takers see that one."""
    del released[1]
    (fd,) = released
    spare = pool.spare(ARRAY.nbytes)
    assert spare == fd
    assert pool.budget.used() == 0
    handle = publish(-ARRAY, str(tmp_path), spare=spare)
    assert np.array_equal(load_as_taker(pool, handle), -ARRAY)
    handle.close()


def test_a_descriptor_on_its_way_counts(pool, tmp_path):
    """A file that was sent to a worker and not mapped yet is not free either."""
    handle = publish(ARRAY, str(tmp_path))
    pool.add(handle, MAIN)
    on_its_way = pool.share(handle.fd)
    pool.give_back(handle)
    assert pool.spare(ARRAY.nbytes) is None
    os.close(on_its_way)
    spare = pool.spare(ARRAY.nbytes)
    assert spare == handle.fd
    os.close(spare)


def test_a_map_that_only_a_child_has_counts(pool, tmp_path):
    """A process that a node forked keeps what the node had."""
    handle = publish(ARRAY, str(tmp_path))
    pool.add(handle, MAIN)
    fd = pool.share(handle.fd)
    mapped = mmap.mmap(fd, handle.size, access=mmap.ACCESS_COPY)
    os.close(fd)
    waits, tells = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(tells)
        os.read(waits, 1)
        os._exit(0)
    mapped.close()
    pool.give_back(handle)
    kept = pool.spare(ARRAY.nbytes)
    os.close(tells)
    os.waitpid(child, 0)
    os.close(waits)
    assert kept is None
    spare = pool.spare(ARRAY.nbytes)
    assert spare == handle.fd
    os.close(spare)


def test_what_is_idle_is_counted_and_bounded(pool, tmp_path):
    """Idle files count against the limit; the oldest go where they are too many, or where memory runs short."""
    pool._most_idle = 4_000_000
    for _ in range(4):
        handle = publish(ARRAY, str(tmp_path))
        pool.add(handle, MAIN)
        pool.give_back(handle)
    assert pool.budget.used() == sum(size for size, _fd in pool._idle)
    assert len(pool._idle) == 2
    pool.budget.note_made(0, 900_000_000, 0)
    pool.add(RemoteValue(1, 900_000_000), 1)
    assert pool._idle == []
    pool.remove(RemoteValue(1, 900_000_000))


def test_nothing_is_kept_where_leases_do_not_tell(pool, tmp_path, monkeypatch):
    """Without a kernel that tells, every file is closed when its value is released."""
    monkeypatch.setattr(module, "leases_tell", lambda: False)
    handle = publish(ARRAY, str(tmp_path))
    pool.add(handle, MAIN)
    pool.give_back(handle)
    assert pool.spare(ARRAY.nbytes) is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handle.fd)


def test_what_takes_no_memory_of_its_own_is_not_counted(pool):
    """What travels in messages, or could not be pickled, is not counted; what stays in a worker is."""
    pool.add(Inline(b"abc"), 1)
    pool.add(PinnedValue(1, "a lock"), 1)
    assert pool.budget.used() == 0
    pool.budget.note_made(0, 70, 0)
    pool.add(RemoteValue(1, 70), 1)
    assert pool.budget.used() == 70
    pool.begin()
    pool.give_back(RemoteValue(1, 70))
    assert pool.budget.used() == 0
