import pytest

from treadle.execution.processes.thread_pools import find_thread_pools


def test_all_thread_pools_are_found():
    """The search by name finds the pools that threadpoolctl finds among all loaded libraries."""
    pytest.importorskip("numpy")
    threadpoolctl = pytest.importorskip("threadpoolctl")
    known = {each.filepath for each in threadpoolctl.ThreadpoolController().lib_controllers}
    assert known
    assert {each.filepath for each in find_thread_pools()} == known
