"""What `treadle.testing` does around the tests of an executor; the contract itself is held by the executors' own tests."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from treadle.testing import ExecutorContract


class Executor:
    """Says whether it is closed."""

    closed = False

    def close(self):
        self.closed = True


def test_the_tests_of_several_classes_may_be_mixed():
    """Where pytest comes back to a class that it has left, the tests there get an executor that is open."""

    class Contract(ExecutorContract):
        def make_executor(self, max_workers):
            return Executor()

    finalizers = []
    owner = SimpleNamespace(stash=pytest.Stash(), addfinalizer=finalizers.append)
    request = SimpleNamespace(node=SimpleNamespace(getparent=lambda _kind: owner))
    shared = Contract()._shared_executor
    first = shared(request)
    assert shared(request) is first
    finalizers.pop()()
    assert first.closed
    assert not shared(request).closed
    assert len(finalizers) == 1
