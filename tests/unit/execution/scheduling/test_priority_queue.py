"""The queue of ready nodes: entries come out in their order, however they were added."""

from __future__ import annotations

from heapq import heappop, heappush

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.execution.scheduling.priority_queue import PriorityQueue

ENTRIES = st.tuples(st.integers(-3, 3).map(float), st.integers(0, 99))
STEPS = st.one_of(
    st.tuples(st.just("push"), ENTRIES),
    st.tuples(st.just("push_all"), st.lists(ENTRIES, max_size=80)),
    st.tuples(st.just("pop"), st.none()),
    st.tuples(st.just("take"), st.tuples(st.integers(0, 60), st.integers(0, 60))),
)


@given(st.lists(STEPS, max_size=60))
def test_entries_come_out_as_from_a_heap(steps):
    """The queue always has the head of a heap with the same entries, and returns them in the same order."""
    queue, heap = PriorityQueue(), []
    for step, argument in steps:
        if step == "push":
            queue.push(argument)
            heappush(heap, argument)
        elif step == "push_all":
            queue.push_all(argument)
            for entry in argument:
                heappush(heap, entry)
        elif step == "pop" and heap:
            assert queue.pop() == heappop(heap)
        elif step == "take":
            count, back = argument
            taken = queue.take(count)
            assert taken == [heappop(heap) for _ in range(min(count, len(heap)))]
            kept = max(0, len(taken) - back)
            if taken[kept:]:
                queue.put_back(taken[kept:])
            for entry in taken[kept:]:
                heappush(heap, entry)
        assert bool(queue) == bool(heap)
        if heap:
            assert queue.head() == heap[0]


def test_nothing_is_taken_from_an_empty_queue():
    """An empty queue has no entries to take, and none to pop."""
    queue = PriorityQueue()
    assert queue.take(3) == []
    with pytest.raises(IndexError):
        queue.pop()
