import gc

import pytest

from treadle.collector import collection_paused, plan_excluded_from_gc


def test_pausing_puts_back_what_it_found():
    """The collector is off within the block and on after it, also after an error; where it was off, it stays off."""

    def fail():
        with collection_paused():
            assert not gc.isenabled()
            raise ValueError("no room")

    with pytest.raises(ValueError, match="no room"):
        fail()
    assert gc.isenabled()
    gc.disable()
    try:
        with collection_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_long_run_leaves_out_what_was_there():
    """What was there before is frozen for the length of the block, and for that alone."""
    with plan_excluded_from_gc(nodes=100_000):
        assert gc.get_freeze_count() > 1_000
        with plan_excluded_from_gc(nodes=100_000):  # another run, at the same time
            pass
        assert gc.get_freeze_count() > 1_000
    assert gc.get_freeze_count() == 0


def test_a_short_run_changes_nothing():
    """With few nodes the collector works as ever."""
    before = gc.get_freeze_count()
    with plan_excluded_from_gc(nodes=10):
        assert gc.get_freeze_count() == before


def test_what_the_application_froze_stays_frozen():
    """An application that froze its own objects keeps them so."""
    gc.freeze()
    try:
        with plan_excluded_from_gc(nodes=100_000):
            pass
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
