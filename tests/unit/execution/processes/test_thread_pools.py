import gc

import pytest

from treadle.execution.processes.thread_pools import find_thread_pools


def test_all_thread_pools_are_found():
    """The search by name finds the pools that threadpoolctl finds among all loaded libraries."""
    pytest.importorskip("numpy")
    threadpoolctl = pytest.importorskip("threadpoolctl")
    known = {each.filepath for each in threadpoolctl.ThreadpoolController().lib_controllers}
    assert known
    assert {each.filepath for each in find_thread_pools()} == known


def test_repeated_searches_leave_nothing_behind():
    """Each start of a forked worker looks for thread pools, in services for months; ctypes keeps the types that it makes."""
    pytest.importorskip("numpy")
    find_thread_pools()
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(100):
        find_thread_pools()
    gc.collect()
    assert len(gc.get_objects()) - before < 100
