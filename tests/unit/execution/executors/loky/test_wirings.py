"""The wirings of a pool's last runs, which its workers keep."""

from __future__ import annotations

from treadle.execution.executors.loky.wirings import KEPT_BYTES, RecentWirings


def used(wirings, *each):
    """Use wirings; return their numbers."""
    return [wirings.use(pickled) for pickled in each]


def test_equal_wirings_have_one_number():
    """A pipeline that is built again for each run is known to the workers."""
    wirings = RecentWirings()
    assert used(wirings, b"a", b"b", bytes(bytearray(b"a")), b"b") == [1, 2, 1, 2]
    assert (wirings.pickled, wirings.kept) == (b"b", {1, 2})


def test_the_wirings_that_were_not_used_for_the_longest_time_are_dropped():
    """A process that runs ever new pipelines does not grow."""
    wirings = RecentWirings()
    a, b, c, d = (bytes([number]) * (KEPT_BYTES // 2) for number in range(4))
    assert used(wirings, a, b, c, a, d) == [1, 2, 3, 1, 4]
    assert wirings.kept == {1, 3, 4}
    assert used(wirings, b, d) == [5, 4]
    assert wirings.kept == {1, 4, 5}


def test_the_last_wiring_is_kept_whatever_its_size():
    """The runs of one very large pipeline send it once; it is dropped when another pipeline runs."""
    wirings = RecentWirings()
    large = bytes(KEPT_BYTES + 1)
    assert used(wirings, b"a", large, large) == [1, 2, 2]
    assert wirings.kept == {1, 2}
    assert used(wirings, b"b", b"a", large) == [3, 1, 4]
    assert wirings.kept == {1, 3, 4}
