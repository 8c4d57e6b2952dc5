"""Errors of a system that has run out of a resource name the resource, and say what to do."""

from __future__ import annotations

import resource

import pytest

from treadle import Catalog, Pipeline, ThreadRunner, node
from treadle.errors import RunnerError
from treadle.execution.executors.executor import Executor


@pytest.mark.parametrize(("limit", "shown"), [(resource.RLIM_INFINITY, ""), (8 << 30, r" \(it may use 8\.6 GB, `ulimit -v`\)")])
def test_no_more_memory_for_the_engine_itself(monkeypatch, limit, shown):
    """For example while it takes the values of a node; what a node raises is the failure of that node."""

    def fail(*_arguments):
        raise MemoryError

    monkeypatch.setattr(Executor, "wait", fail)
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (limit, limit))
    message = rf"could not get the memory .*on{shown}\. Free some memory, raise the limit"
    with pytest.raises(RunnerError, match=message) as caught, ThreadRunner(1) as runner:
        runner.run(Pipeline([node(int, None, "x")]), Catalog())
    assert isinstance(caught.value.__cause__, MemoryError)
    assert caught.value.name == "max_workers"
