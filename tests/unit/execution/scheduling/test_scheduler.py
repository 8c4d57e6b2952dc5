"""Scheduler: single events with assertions, then simulated runs of random pipelines."""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import product
from random import Random
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from treadle.execution.protocol.messages import MAIN
from treadle.execution.protocol.placement import SHARED, Placement
from treadle.execution.scheduling.instructions import (
    CancelJobs,
    DelayNode,
    LoadValue,
    RejectNode,
    ReleaseValue,
    RestartWorker,
    RunJob,
    SkipNode,
    TransferValue,
)
from treadle.execution.scheduling.priority_queue import PriorityQueue
from treadle.execution.scheduling.queues import ReadyQueues
from treadle.execution.scheduling.scheduler import FailurePolicy, InvalidTransitionError, NodeState, Scheduler
from treadle.execution.scheduling.states import ValueState
from treadle.execution.scheduling.tiny_graphs import TINY_SECONDS
from treadle.pipeline.policy import NodePolicy
from treadle.planning import Plan, PlannedDataset, PlannedNode

DONE, FAILED, SKIPPED, DELAYED = NodeState.DONE, NodeState.FAILED, NodeState.SKIPPED, NodeState.DELAYED
WAITING, READY, ASSIGNED = NodeState.WAITING, NodeState.READY, NodeState.ASSIGNED


def make_plan(wiring, *, persisted=(), main_only=(), policies=()):
    """Make a plan of (inputs, outputs) for each node, in topological order; each dataset is named by a letter."""
    index_of: dict[str, int] = {}
    for inputs, outputs in wiring:
        for name in (*outputs, *inputs):
            index_of.setdefault(name, len(index_of))
    producer = {name: node for node, (_, outputs) in enumerate(wiring) for name in outputs}
    consumers = {name: tuple(node for node, (inputs, _) in enumerate(wiring) if name in inputs) for name in index_of}
    parents = [tuple(dict.fromkeys(producer[name] for name in inputs if name in producer)) for inputs, _ in wiring]
    nodes = tuple(
        PlannedNode(
            name=f"n{number}",
            node=None,
            inputs=tuple(index_of[name] for name in inputs),
            outputs=tuple(index_of[name] for name in outputs),
            parents=parents[number],
            children=tuple(child for child in range(len(wiring)) if number in parents[child]),
            main_only=number in main_only,
        )
        for number, (inputs, outputs) in enumerate(wiring)
    )
    datasets = tuple(
        PlannedDataset(
            name=name,
            in_memory=name not in persisted,
            declared=name in persisted or name not in producer,
            producer=producer.get(name),
            consumers=consumers[name],
            is_result=name in producer and not consumers[name],
            main_only=False,
        )
        for name in index_of
    )
    return Plan(nodes, datasets, tuple(policies))


def validate(scheduler: Scheduler) -> None:
    """Check the invariants that hold after every event and every decision."""
    plan = scheduler._plan
    states = scheduler._states
    held: dict[int, int] = {}
    for worker, state in scheduler._workers.states.items():
        for node in state.nodes:
            assert node not in held, "a node is at two workers"
            held[node] = worker
            assert states[node] is ASSIGNED
        assert 0 <= state.jobs <= scheduler._workers.depth(len(plan.nodes))
        assert (state.jobs == 0) == (not state.nodes)
    values = scheduler._values
    for index, state in enumerate(values.of):
        assert (state is ValueState.PINNED) == (index in values.pins)
        assert (state in (ValueState.RESIDENT, ValueState.TRANSFERRING)) == (index in values.homes)
    for job, missing in scheduler._pending._jobs.values():
        assert all(states[node] is ASSIGNED for node in job.nodes)
        assert missing
        assert all(values.of[dataset] in (ValueState.LOADING, ValueState.TRANSFERRING) for dataset in missing), (
            "it waits for ever"
        )
    assert scheduler._unfinished == sum(state in (WAITING, READY, ASSIGNED, DELAYED) for state in states)
    if scheduler._resources is not None:
        resources = scheduler._resources
        assert resources.held == {node for node in resources.nodes if states[node] is ASSIGNED and node in held}
        assert all(free >= 0 for free in resources.free.values()), "more is used than there is"
    for index, node in enumerate(plan.nodes):
        assert scheduler._missing[index] == sum(states[parent] is not DONE for parent in node.parents)
        if states[index] is READY:
            assert scheduler._missing[index] == 0
        assert scheduler.attempt(index) >= (states[index] is DONE)
    if scheduler._stopped:
        assert WAITING not in states
        assert READY not in states
        return
    for index, dataset in enumerate(plan.datasets):
        to_come = sum(states[taker] in (WAITING, READY, ASSIGNED, DELAYED) for taker in dataset.consumers)
        assert scheduler.uses(index) == to_come + dataset.is_result
        assert index not in scheduler._values.pins or scheduler.uses(index), "a value that is not needed pins nodes"


@pytest.fixture
def schedule():
    """Make schedulers with one worker, number 1; each is validated at the end of the test."""
    made = []

    def make(wiring, *, workers=1, persisted=(), main_only=(), policies=(), **options):
        scheduler = Scheduler(make_plan(wiring, persisted=persisted, main_only=main_only, policies=policies), **options)
        if options.get("separate_main"):
            scheduler.add_worker(MAIN)
        for worker in range(1, workers + 1):
            scheduler.add_worker(worker)
        made.append(scheduler)
        validate(scheduler)
        return scheduler

    yield make
    for scheduler in made:
        validate(scheduler)


CHAIN = [("r", "a"), ("a", "b"), ("b", "c")]
FORK = [("r", "a"), ("a", "b"), ("a", "c")]


def drain(scheduler, *, load=True):
    """Return all instructions; free inputs are loaded into the store at once, unless `load` is False."""
    taken = []
    while (instruction := scheduler.next_instruction()) is not None:
        taken.append(instruction)
        if load and isinstance(instruction, LoadValue):
            scheduler.value_arrived(instruction.dataset, SHARED)
    return taken


def assign(scheduler):
    """Assign jobs and return them."""
    scheduler.assign()
    return [each for each in drain(scheduler) if isinstance(each, RunJob)]


def jobs(scheduler):
    return [(job.worker, job.nodes) for job in assign(scheduler)]


def released(scheduler):
    """Return the released datasets."""
    return [each.dataset for each in drain(scheduler) if isinstance(each, ReleaseValue)]


def skipped(scheduler):
    """Return the skipped nodes."""
    return [each.node for each in drain(scheduler) if isinstance(each, SkipNode)]


def rejected(scheduler):
    """Return the nodes that no worker can run."""
    scheduler.assign()
    return [each.node for each in drain(scheduler) if isinstance(each, RejectNode)]


def pin(scheduler, dataset, worker):
    """Report a value that cannot leave its worker."""
    scheduler.value_made(dataset, Placement(worker, movable=False))


def reside(scheduler, dataset, worker, size):
    """Report a value that stays in its worker until another worker needs it."""
    scheduler.value_made(dataset, Placement(worker, size=size))


def retry(scheduler, node, worker):
    """Report a failed attempt; return the delay before the next one, None if there is none."""
    if not scheduler.retry(node, worker):
        return None
    return next((each.seconds for each in drain(scheduler) if isinstance(each, DelayNode)), 0.0)


# --- the usual way -------------------------------------------------------------------------------------------------------


def test_nothing_is_assigned_without_workers(schedule):
    """Ready nodes wait for a worker."""
    scheduler = schedule(CHAIN, workers=0)
    assert assign(scheduler) == []
    assert scheduler.state(0) is READY
    assert scheduler.attempt(0) == 0


def test_nodes_that_further_workers_could_run_are_counted(schedule):
    """They are ready, need neither the main process nor a resource that is used up, and there may be a limit to their number."""
    plan = [([], [name]) for name in "abcdef"]
    scarce = NodePolicy(resources={"gpu": 1})
    scheduler = schedule(
        plan, workers=1, main_only={1}, separate_main=True, policies=[None, None, None, None, scarce, scarce], limits={"gpu": 1}
    )
    assert scheduler.waiting(9) == []  # nothing is ready before the first jobs are assigned
    assert jobs(scheduler) == [(MAIN, (1,)), (1, (0,))]
    assert scheduler.waiting(9) == [2, 3, 4]
    assert scheduler.waiting(2) == [2, 3]


def test_a_worker_that_leaves_gets_no_more_jobs(schedule):
    """Its values are still used, and if it stays after all, it gets jobs again."""
    scheduler = schedule(FORK, workers=1)
    assert jobs(scheduler) == [(1, (0,))]
    scheduler.leave_worker(1, is_leaving=True)
    scheduler.finish(0, 1)
    assert jobs(scheduler) == []
    assert scheduler.waiting(9) == [1, 2]
    scheduler.leave_worker(1, is_leaving=False)
    assert jobs(scheduler) == [(1, (1,))]
    scheduler.leave_worker(1, is_leaving=True)
    scheduler.lose_worker(1, None)
    scheduler.add_worker(2)
    assert jobs(scheduler)[0][0] == 2


def test_a_worker_that_leaves_runs_what_no_other_worker_can(schedule):
    """The value between two nodes of its job cannot leave it, so it gets the second one alone; the rest runs elsewhere."""
    scheduler = schedule(CHAIN, workers=1)
    assert jobs(scheduler) == [(1, (0, 1, 2))]
    scheduler.add_worker(2)
    scheduler.leave_worker(1, is_leaving=True)
    scheduler.finish(0, 1)
    scheduler.return_nodes([1, 2], 1)
    assert jobs(scheduler) == [(1, (1,))]
    scheduler.finish(1, 1)
    assert jobs(scheduler) == [(2, (2,))]


def test_a_worker_that_leaves_does_not_get_the_jobs_that_wait_for_a_value(schedule):
    """They run elsewhere, when the value has arrived."""
    scheduler = schedule([("r", "a"), ("r", "b")], workers=1, depth=1)
    scheduler.assign()
    (load,) = drain(scheduler, load=False)
    scheduler.add_worker(2)
    scheduler.leave_worker(1, is_leaving=True)
    scheduler.value_arrived(load.dataset, SHARED)
    assert jobs(scheduler) == [(2, (0,))]


def test_a_chain_is_one_job(schedule):
    """A node shares a job with its only child, and the value between them is local."""
    scheduler = schedule(CHAIN)
    (job,) = assign(scheduler)
    assert job.nodes == (0, 1, 2)
    assert job.inputs == (1,)  # r
    assert job.local == (0, 2)  # a and b
    assert job.last == ((1, 0), (0, 1), (2, 2))
    assert assign(scheduler) == []


def test_an_input_of_two_nodes_of_a_job_is_last_used_by_the_second(schedule):
    """The second node is the last consumer of an input of two nodes of a job."""
    scheduler = schedule([("d", "a"), ("ad", "b")])
    (job,) = assign(scheduler)
    assert job.nodes == (0, 1)
    assert dict(job.last) == {1: 1, 0: 1}


def test_without_fusing_each_node_is_a_job(schedule):
    """With fuse off, each node is a job, and a value is released when its last consumer has finished."""
    scheduler = schedule(CHAIN, fuse=False)
    assert jobs(scheduler) == [(1, (0,))]
    scheduler.finish(0, 1)
    assert released(scheduler) == [1]
    assert jobs(scheduler) == [(1, (1,))]
    scheduler.finish(1, 1)
    assert released(scheduler) == [0]
    assert jobs(scheduler) == [(1, (2,))]
    scheduler.finish(2, 1)
    assert released(scheduler) == [2]
    assert scheduler.is_finished()
    assert scheduler.done() == {0, 1, 2}


def test_a_shared_value_is_released_after_its_last_consumer(schedule):
    """A value with two consumers is released after both; only the later job is its last consumer."""
    scheduler = schedule(FORK, workers=2)
    assert jobs(scheduler) == [(1, (0,))]
    scheduler.finish(0, 1)
    assert released(scheduler) == [1]
    both = assign(scheduler)
    assert [(job.worker, job.nodes, job.last) for job in both] == [(1, (1,), ()), (2, (2,), ())]
    scheduler.finish(1, 1)
    assert released(scheduler) == []
    scheduler.finish(2, 2)
    assert released(scheduler) == [0]


def test_persisted_datasets_are_neither_sent_nor_released(schedule):
    """A persistent dataset is no input of a job and is not released."""
    scheduler = schedule(CHAIN, persisted="rabc")
    (job,) = assign(scheduler)
    assert (job.inputs, job.last, job.local) == ((), (), ())
    for node in (0, 1, 2):
        scheduler.finish(node, 1)
    assert released(scheduler) == []


def test_a_result_is_never_released(schedule):
    """The result of the run counts as a use of a free output."""
    scheduler = schedule([("r", "a")])
    assign(scheduler)
    scheduler.finish(0, 1)
    assert released(scheduler) == [1]
    assert scheduler.uses(0) == 1


def test_the_longest_remaining_path_goes_first(schedule):
    """The priority of a node is the length of the path below it."""
    scheduler = schedule([("", "a"), ("", "b"), ("b", "c"), ("c", "d")], fuse=False)
    assert jobs(scheduler) == [(1, (1,))]


def test_ties_break_by_plan_order(schedule):
    """Nodes with equal paths run in plan order."""
    scheduler = schedule([("", "a"), ("", "b"), ("", "c")], workers=2)
    assert jobs(scheduler) == [(1, (0,)), (2, (1,))]


def test_weights_decide_over_counts(schedule):
    """One long node precedes a chain of short ones."""
    scheduler = schedule([("", "a"), ("", "b"), ("b", "c")], weights=[9.0, 1.0, 1.0])
    assert jobs(scheduler) == [(1, (0,))]


def test_independent_nodes_share_jobs(schedule):
    """With depth 2, each worker gets two nodes as one job, as if they were two jobs: one that finishes makes room for one."""
    scheduler = schedule([("", name) for name in "abcde"], workers=2, depth=2)
    assert assign(scheduler) == [RunJob(1, (0, 2), (), (), (), independent=True), RunJob(2, (1, 3), (), (), (), independent=True)]
    assert scheduler.assigned(1) == (0, 2)
    assert scheduler.assigned(7) == ()
    scheduler.finish(1, 2)
    assert assign(scheduler) == [RunJob(2, (4,), (), (), ())]


def test_each_worker_gets_one_node_before_any_gets_two(schedule):
    """However many nodes a worker may hold, the most urgent ones start first, each in another worker."""
    scheduler = schedule([("", name) for name in "abcdefg"], workers=3, depth=64, weights=[1, 1, 1, 1, 9, 8, 1])
    assert jobs(scheduler) == [(1, (4, 1, 6)), (2, (5, 2)), (3, (0, 3))]


def test_nodes_do_not_share_a_job_while_another_one_may_be_more_urgent(schedule):
    """A node that should run where its inputs are comes before those that are less urgent and could share a job."""
    wiring = [("", "a"), ("a", "b"), *[("", name) for name in "cdef"]]
    scheduler = schedule(wiring, depth=8, fuse=False, weights=[9, 5, 8, 1, 1, 1])
    scheduler.assign()
    (first,) = [each for each in drain(scheduler) if isinstance(each, RunJob)]
    assert first.nodes == (0, 2, 3, 4, 5)
    scheduler.return_nodes(first.nodes[1:], 1)
    reside(scheduler, 0, 1, 100)
    scheduler.finish(0, 1)
    assert [node for _worker, nodes in jobs(scheduler) for node in nodes] == [2, 1, 3, 4, 5]


def test_the_main_process_gets_no_share_of_the_nodes():
    """Also if a worker was ready before it."""
    scheduler = Scheduler(make_plan([("", name) for name in "abcdef"]), separate_main=True, depth=2)
    for worker in (1, MAIN, 2):
        scheduler.add_worker(worker)
    assert jobs(scheduler) == [(1, (0, 2)), (2, (1, 3))]
    validate(scheduler)


def test_nodes_that_were_queued_twice_are_assigned_once(schedule):
    """Nodes whose input was lost and made again are in the queue from before, too."""
    scheduler = schedule([("", "a"), ("a", "b"), ("a", "c"), ("", "d")], workers=2, fuse=False, depth=2)
    assert jobs(scheduler) == [(1, (0,)), (2, (3,))]
    reside(scheduler, 0, 1, 100)
    scheduler.finish(0, 1)
    scheduler.lose_worker(1, None)
    assert jobs(scheduler) == [(2, (0,))]
    scheduler.finish_all((3, 0), 2, ())
    assert jobs(scheduler) == [(2, (1, 2))]


def test_jobs_of_independent_nodes_have_what_each_node_has_alone(schedule):
    """Each input is sent once; a node is the last consumer of a value if no other node waits for it, in this job or later."""
    wiring = [("", "a"), ("", "b"), ("", "c"), ("ab", "d"), ("a", "e"), ("c", "f")]
    scheduler = schedule(wiring, fuse=False, depth=8)
    assert jobs(scheduler) == [(1, (0, 1, 2))]
    scheduler.finish_all((0, 1, 2), 1, (1e-6,) * 3)
    a, b, c = (scheduler._plan.nodes[node].outputs[0] for node in range(3))
    assert assign(scheduler) == [RunJob(1, (3, 4, 5), (a, b, c), ((b, 3), (c, 5)), (), independent=True)]


def test_nodes_that_need_a_job_of_their_own_end_the_job_before(schedule):
    """A chain, and a node with retries, are jobs of their own."""
    wiring = [("", "a"), ("", "b"), ("b", "c"), ("", "d"), ("", "e"), ("", "f")]
    policies = [None, None, None, None, NodePolicy(retries=1), None]
    scheduler = schedule(wiring, depth=8, policies=policies)
    assert jobs(scheduler) == [(1, (1, 2)), (1, (0, 3)), (1, (4,)), (1, (5,))]


def test_nodes_behind_one_that_needs_a_job_of_its_own_stay_in_the_queue(schedule):
    """For each of many short chains, the scheduler does not take all the nodes that a worker may hold, only to put them back."""
    wiring = []
    for chain in range(0, 600, 3):
        start, end, alone = (chr(0x4E00 + chain + each) for each in range(3))
        wiring += [("", start), (start, end), ("", alone)]
    scheduler = schedule(wiring, depth=256, weights=[1.0 + (node % 3 == 2) for node in range(600)])
    taken = []
    original = PriorityQueue.take
    with patch.object(PriorityQueue, "take", lambda queue, count: taken.append(original(queue, count)) or taken[-1]):
        assert len(jobs(scheduler)) > 200
    assert sum(map(len, taken)) < 20 * len(wiring)


def test_a_node_whose_input_must_be_loaded_first_shares_no_job(schedule):
    """The others need not wait for it."""
    scheduler = schedule([("", "a"), ("", "b"), ("p", "c"), ("", "d"), ("", "e")], depth=8)
    assert jobs(scheduler) == [(1, (0, 1)), (1, (3, 4)), (1, (2,))]


def test_a_child_with_another_unfinished_parent_is_not_fused(schedule):
    """Only a child that waits for no other node shares its parent's job."""
    scheduler = schedule([("", "a"), ("", "b"), ("ab", "c")])
    assert jobs(scheduler) == [(1, (0,))]
    scheduler.finish(0, 1)
    assert jobs(scheduler) == [(1, (1, 2))]


def test_an_input_that_cannot_be_loaded_fails_its_own_node_only(schedule):
    """Earlier nodes of its job run first; then the node is assigned alone and fails."""
    scheduler = schedule([("", "a"), ("ax", "b"), ("b", "c")])
    scheduler.assign()
    (load,) = drain(scheduler, load=False)
    assert (load.dataset, load.node) == (2, 1)
    assert not scheduler.load_failed(2, 1)
    assert jobs(scheduler) == [(1, (0,))]
    scheduler.finish(0, 1)
    scheduler.assign()
    assert drain(scheduler, load=False) == [load]
    assert scheduler.load_failed(2, 1)
    scheduler.fail(1, None)
    assert skipped(scheduler) == [2]


@pytest.mark.parametrize("others", [[], [("y", "b")]], ids=["nothing else loads it", "another node loads it"])
def test_the_other_inputs_of_a_node_whose_input_cannot_be_loaded(schedule, others):
    """They are released if no other node loads them, and are not loaded any more."""
    scheduler = schedule([("xy", "a"), *others], policy=FailurePolicy.CONTINUE)
    scheduler.assign()
    load = scheduler.next_instruction()
    assert isinstance(load, LoadValue)
    assert scheduler.load_failed(load.dataset, load.node)
    scheduler.fail(0, None)
    assert [each for each in drain(scheduler) if isinstance(each, LoadValue)] == [LoadValue(load.dataset + 1, 0)] * len(others)
    assert scheduler.is_finished() == (not others)


# --- graphs of tiny nodes ------------------------------------------------------------------------------------------------

SMALL_PROJECT = [("x", "a"), ("a", "b"), ("a", "c"), ("bc", "d"), ("d", "e"), ("d", "f")]


def tiny(schedule, wiring, seconds=TINY_SECONDS / 20, *, workers=2, long=(), **options):
    """A scheduler that expects nodes to take `seconds` each, and those in `long` a second."""
    scheduler = schedule(wiring, workers=workers, **options)
    scheduler.prepare([1.0 if node in long else seconds for node in range(len(wiring))], fuse_tiny=True)
    return scheduler


def test_a_graph_of_tiny_nodes_is_one_job(schedule):
    """The values between the nodes stay in the worker; only the input is sent, and only the results come back."""
    scheduler = tiny(schedule, SMALL_PROJECT)
    x, a, b, c, d = map(indices(scheduler).get, "xabcd")
    (job,) = assign(scheduler)
    assert job.nodes == (0, 1, 2, 3, 4, 5)
    assert (job.inputs, set(job.local), job.returnable, job.independent) == ((x,), {a, b, c, d}, True, False)
    assert dict(job.last) == {x: 0, a: 2, b: 3, c: 3, d: 5}
    scheduler.finish_all(job.nodes, 1, [1e-5] * 6)
    assert scheduler.is_finished()
    assert sorted(released(scheduler)) == sorted((x, a, b, c, d))


@pytest.mark.parametrize("long", [{0}, {1, 2}, {0, 1, 2, 3, 4, 5}])
def test_nodes_that_take_long_share_no_job_with_their_descendants(schedule, long):
    """Two workers run them at the same time."""
    scheduler = tiny(schedule, SMALL_PROJECT, long=long)
    assert jobs(scheduler) == [(1, (0,))]
    scheduler.finish(0, 1)
    assert jobs(scheduler) == [(1, (1,)), (2, (2,))]


def test_nodes_that_take_long_together_share_no_job(schedule):
    """Each is tiny, all of them are not: the last ones wait for the first three."""
    scheduler = tiny(schedule, SMALL_PROJECT, TINY_SECONDS / 4)
    assert jobs(scheduler) == [(1, (0, 1, 2, 3))]


def test_without_known_durations_only_chains_share_a_job(schedule):
    """The first run of a pipeline, and workers that cannot return the rest of a job."""
    scheduler = schedule(SMALL_PROJECT, weights=[TINY_SECONDS / 20] * 6)
    assert jobs(scheduler) == [(1, (0,))]
    scheduler = schedule(SMALL_PROJECT)
    scheduler.prepare(None, fuse_tiny=True)
    assert jobs(scheduler) == [(1, (0,))]


@pytest.mark.parametrize(
    ("wiring", "expected"),
    [
        ([("", "a"), ("a", "b"), ("ay", "c"), ("", "y")], (0,)),  # c waits for another node, and needs a, as b does
        ([("", "ad"), ("a", "b"), ("dy", "c"), ("", "y")], (0, 1)),  # c needs another value of the first node
        ([("", "ad"), ("a", "b"), ("d", "c"), ("by", "e"), ("", "y")], (0, 1, 2)),  # what e needs of b is reported
        ([("", "ad"), ("a", "b"), ("d", "c"), ("by", "e"), ("b", "f"), ("", "y")], (0, 1, 2)),  # so f does not share the job
        ([("", "ad"), ("a", "b"), ("d", "c"), ("by", "e"), ("b", "f"), ("f", "g"), ("", "y")], (0, 1, 2)),  # nor does g
    ],
)
def test_no_value_that_is_needed_elsewhere_stays_in_a_job(schedule, wiring, expected):
    """A node whose inputs are also needed by nodes outside of the job is not part of it."""
    scheduler = tiny(schedule, wiring, workers=1)
    job = next(each for each in assign(scheduler) if each.nodes[0] == 0)
    assert job.nodes == expected


@pytest.mark.parametrize(
    "options",
    [{"policies": [None, None, NodePolicy(retries=1), None, None, None]}, {"main_only": {2}, "separate_main": True}],
    ids=["retries", "main process"],
)
def test_a_node_that_needs_its_own_job_is_in_no_tiny_graph(schedule, options):
    """Nor is a node that loads the same value, because that leaves the job."""
    scheduler = tiny(schedule, SMALL_PROJECT, workers=1, **options)
    assert jobs(scheduler) == [(1, (0,))]


def test_the_rest_of_a_tiny_graph_can_run_elsewhere(schedule):
    """The second node takes long after all: the third one gets its input from the first worker, where the second's output is."""
    scheduler = tiny(schedule, SMALL_PROJECT)
    x, a, b, c = map(indices(scheduler).get, "xabc")
    assert jobs(scheduler) == [(1, (0, 1, 2, 3, 4, 5))]
    scheduler.finish(0, 1, 1e-5)
    assert released(scheduler) == [x]
    scheduler.return_nodes((2, 3, 4, 5), 1)
    scheduler.assign()
    assert drain(scheduler) == [TransferValue(a, 1)]
    scheduler.value_arrived(a, SHARED, 1)
    assert drain(scheduler) == [RunJob(2, (2,), (a,), (), ())]
    scheduler.finish(2, 2, 1e-5)
    scheduler.finish(1, 1, 60.0)
    assert ReleaseValue(a, ()) in drain(scheduler)
    (job,) = assign(scheduler)
    assert (job.worker, job.nodes, job.inputs, dict(job.last)) == (1, (3, 4, 5), (c,), {b: 3, c: 3, **dict(job.last)})
    scheduler.finish_all((3, 4, 5), 1, [1e-5] * 3)
    assert scheduler.is_finished()
    assert {b, c} <= set(released(scheduler))


def test_a_node_of_a_tiny_graph_that_fails_takes_only_its_descendants_along(schedule):
    """The others run, with the values that stayed in the worker."""
    wiring = [("", "a"), ("a", "b"), ("a", "c"), ("b", "d"), ("c", "e")]
    scheduler = tiny(schedule, wiring, policy=FailurePolicy.CONTINUE)
    assert jobs(scheduler) == [(1, (0, 1, 2, 3, 4))]
    scheduler.finish(0, 1, 1e-5)
    scheduler.return_nodes((2, 3, 4), 1)
    scheduler.fail(1, 1)
    assert skipped(scheduler) == [3]
    assert jobs(scheduler) == [(1, (2, 4))]
    scheduler.finish_all((2, 4), 1, [1e-5] * 2)
    assert scheduler.is_finished()


def test_a_lost_tiny_graph_runs_again(schedule):
    """Its first node had finished; its value was nowhere else."""
    scheduler = tiny(schedule, SMALL_PROJECT)
    assert jobs(scheduler) == [(1, (0, 1, 2, 3, 4, 5))]
    scheduler.finish(0, 1, 1e-5)
    scheduler.lose_worker(1, 1)
    scheduler.fail(1, None)
    assert set(skipped(scheduler)) == {2, 3, 4, 5}
    scheduler = tiny(schedule, SMALL_PROJECT)
    assert jobs(scheduler) == [(1, (0, 1, 2, 3, 4, 5))]
    scheduler.finish(0, 1, 1e-5)
    scheduler.lose_worker(1, None)
    assert jobs(scheduler) == [(2, (0, 1, 2, 3, 4, 5))]


def indices(scheduler):
    """The index of each dataset."""
    return {dataset.name: index for index, dataset in enumerate(scheduler._plan.datasets)}


# --- the main process ----------------------------------------------------------------------------------------------------


def test_main_runs_only_main_only_nodes(schedule):
    """With a separate main worker, main-only nodes go to MAIN and no others do."""
    scheduler = schedule([("", "a"), ("", "b")], main_only={1}, separate_main=True)
    assert jobs(scheduler) == [(MAIN, (1,)), (1, (0,))]


def test_without_a_separate_main_worker_any_worker_runs_main_only_nodes(schedule):
    """If workers share the process, any of them runs a main-only node."""
    scheduler = schedule([("", "a")], main_only={0})
    assert jobs(scheduler) == [(1, (0,))]


def test_nodes_that_become_main_only_later_reach_main(schedule):
    """A ready node that turns out to need the main process is assigned to MAIN."""
    scheduler = Scheduler(make_plan([("", "a")]), separate_main=True)
    scheduler.prepare(main_only=iter([0]))
    scheduler.add_worker(MAIN)
    assert jobs(scheduler) == [(MAIN, (0,))]


def test_a_main_only_child_is_not_fused(schedule):
    """Fusing never moves a node to or from the main process."""
    scheduler = schedule(CHAIN, main_only={1}, separate_main=True)
    assert jobs(scheduler) == [(1, (0,))]
    scheduler.finish(0, 1)
    assert jobs(scheduler) == [(MAIN, (1,))]
    scheduler.finish(1, MAIN)
    assert jobs(scheduler) == [(1, (2,))]


# --- pins ----------------------------------------------------------------------------------------------------------------


def test_consumers_of_a_pinned_value_run_in_its_worker(schedule):
    """All consumers of a pinned value run in the worker that has it."""
    scheduler = schedule(FORK, workers=2)
    assign(scheduler)
    pin(scheduler, 0, 1)
    scheduler.finish(0, 1)
    assert jobs(scheduler) == [(1, (1,))]
    scheduler.finish(1, 1)
    assert jobs(scheduler) == [(1, (2,))]
    scheduler.finish(2, 1)
    assert released(scheduler) == [0]


def test_a_value_pinned_while_its_consumers_are_ready_moves_them(schedule):
    """Ready consumers of a free input that cannot leave the main process are moved to MAIN."""
    scheduler = schedule([("r", "a"), ("r", "b")], separate_main=True)
    scheduler.assign()
    (load,) = drain(scheduler, load=False)
    scheduler.value_arrived(load.dataset, Placement(MAIN, movable=False))
    assert jobs(scheduler) == [(MAIN, (0,))]
    scheduler.finish(0, MAIN)
    assert jobs(scheduler) == [(MAIN, (1,))]


def test_a_node_with_values_pinned_to_two_workers_is_rejected(schedule):
    """No worker can run the node, so it is rejected, once."""
    scheduler = schedule([("", "a"), ("", "b"), ("ab", "c")], workers=2, fuse=False)
    assign(scheduler)
    pin(scheduler, 0, 1)
    scheduler.finish(0, 1)
    pin(scheduler, 1, 2)
    scheduler.finish(1, 2)
    assert rejected(scheduler) == [2]
    scheduler.fail(2, None)
    assert released(scheduler) == []
    assert rejected(scheduler) == []


def test_a_child_with_a_value_in_another_worker_is_not_fused(schedule):
    """A child is not fused into a job of a worker that cannot get another input of it."""
    scheduler = schedule([("", "a"), ("", "b"), ("ab", "c")], workers=2)
    assert jobs(scheduler) == [(1, (0,)), (2, (1,))]
    pin(scheduler, 0, 1)
    scheduler.finish(0, 1)
    scheduler.return_nodes([1], 2)
    assert jobs(scheduler)[0] == (1, (1, 2))


def test_rejected_nodes_that_were_skipped_are_not_failed(schedule):
    """If the first rejected node stops the run, the others are skipped and not failed."""
    scheduler = schedule([("", "a"), ("", "b"), ("ab", "c"), ("ab", "d")], workers=2, fuse=False)
    assign(scheduler)
    for dataset, worker in ((0, 1), (1, 2)):
        pin(scheduler, dataset, worker)
        scheduler.finish(dataset, worker)
    scheduler.assign()
    assert scheduler.next_instruction() == RejectNode(2)
    scheduler.fail(2, None)
    assert rejected(scheduler) == []
    assert scheduler.state(3) is SKIPPED


# --- failures ------------------------------------------------------------------------------------------------------------


def test_stop_skips_all_unassigned_nodes(schedule):
    """Under STOP, a failure skips the nodes that are not assigned; running nodes may finish."""
    scheduler = schedule([("", "a"), ("", "b"), ("", "c"), ("c", "d")], workers=2)
    assert jobs(scheduler) == [(1, (2, 3)), (2, (0,))]
    scheduler.return_nodes([3], 1)
    scheduler.fail(2, 1)
    assert skipped(scheduler) == [1, 3]
    assert skipped(scheduler) == []
    assert not scheduler.is_finished()
    scheduler.finish(0, 2)
    assert scheduler.is_finished()
    assert scheduler.done() == {0}


def test_a_job_returned_after_a_stop_is_skipped(schedule):
    """A job that is returned after a failure does not run."""
    scheduler = schedule([("", "a"), ("", "b")], workers=2)
    assign(scheduler)
    scheduler.fail(0, 1)
    scheduler.return_nodes([1], 2)
    assert scheduler.state(1) is SKIPPED
    assert scheduler.is_finished()


def test_continue_skips_descendants_only(schedule):
    """Under CONTINUE, only descendants of the failed node are skipped; what was never made is not released."""
    scheduler = schedule([("r", "a"), ("a", "b"), ("b", "c"), ("r", "d")], fuse=False, workers=2, policy=FailurePolicy.CONTINUE)
    assert jobs(scheduler) == [(1, (0,)), (2, (3,))]
    scheduler.fail(0, 1)
    taken = drain(scheduler)
    assert not any(isinstance(each, ReleaseValue) for each in taken)
    assert sorted(each.node for each in taken if isinstance(each, SkipNode)) == [1, 2]
    scheduler.finish(3, 2)
    assert released(scheduler) == [1]
    assert scheduler.is_finished()


def test_a_value_whose_consumer_was_skipped_is_released_once(schedule):
    """When it is made: its consumer was skipped before, because its other input could not be made."""
    scheduler = schedule([("", "a"), ("", "b"), ("ab", "c")], workers=2, policy=FailurePolicy.CONTINUE)
    assert len(jobs(scheduler)) == 2
    scheduler.fail(0, 1)
    assert released(scheduler) == []
    scheduler.finish(1, 2)
    assert released(scheduler) == [1]


def test_a_value_within_a_job_is_released_in_its_worker_if_its_consumer_failed(schedule):
    """The consumer may have failed before it took the value, which nothing else would remove there before the end of the run."""
    scheduler = schedule([("", "a"), ("a", "b")], policy=FailurePolicy.CONTINUE)
    assert jobs(scheduler) == [(1, (0, 1))]
    scheduler.finish(0, 1)
    scheduler.fail(1, 1)
    assert [each for each in drain(scheduler) if isinstance(each, ReleaseValue)] == [ReleaseValue(0, (1,), is_local=False)]


def test_a_worker_that_leaves_does_not_get_what_another_worker_can_run_by_now(schedule):
    """A node required a worker that was lost since; its value was made again, and can leave the new worker of that number."""
    scheduler = schedule([("", "a"), ("", "b"), ("ab", "c")], workers=2, fuse=False)
    assert jobs(scheduler) == [(1, (0,)), (2, (1,))]
    pin(scheduler, 0, 1)
    scheduler.finish(0, 1)
    scheduler.finish(1, 2)
    scheduler.leave_worker(1, is_leaving=True)
    scheduler.leave_worker(2, is_leaving=True)
    scheduler.lose_worker(1, None)
    scheduler.add_worker(1)
    assert jobs(scheduler) == [(1, (0,))]
    scheduler.leave_worker(1, is_leaving=True)
    scheduler.finish(0, 1)
    assert jobs(scheduler) == []
    scheduler.leave_worker(2, is_leaving=False)
    assert jobs(scheduler) == [(2, (2,))]


def test_a_returned_node_keeps_its_attempt_number(schedule):
    """An attempt that did not start does not count."""
    scheduler = schedule([("", "a")])
    assign(scheduler)
    assert scheduler.attempt(0) == 1
    scheduler.return_nodes([0], 1)
    assert scheduler.attempt(0) == 0
    assign(scheduler)
    assert scheduler.attempt(0) == 1


def test_an_impossible_event_is_an_error_with_the_history(schedule):
    """The error names the node, its state and its history."""
    scheduler = schedule([("", "a")])
    assign(scheduler)
    scheduler.finish(0, 1)
    with pytest.raises(InvalidTransitionError, match=r"node 'n0' cannot go from DONE to FAILED; history: .*ASSIGNED -> DONE"):
        scheduler.fail(0, None)


# --- lost workers --------------------------------------------------------------------------------------------------------


def test_nodes_of_a_lost_worker_are_assigned_again(schedule):
    """The culprit fails; the other nodes run elsewhere with the same attempt number."""
    scheduler = schedule([("", "a"), ("", "b")], depth=2, policy=FailurePolicy.CONTINUE)
    assign(scheduler)
    scheduler.lose_worker(1, 0)
    assert scheduler.state(0) is ASSIGNED
    scheduler.fail(0, None)
    scheduler.add_worker(1)
    assert jobs(scheduler) == [(1, (1,))]
    assert scheduler.attempt(1) == 1
    scheduler.finish(1, 1)
    assert (scheduler.state(0), scheduler.state(1)) == (FAILED, DONE)


def test_values_that_were_lost_are_made_again(schedule):
    """A lost value that is still needed is made again, with the released values that it was made from."""
    scheduler = schedule([("r", "a"), ("a", "b"), ("b", "c"), ("b", "d")], fuse=False, policy=FailurePolicy.CONTINUE, workers=2)
    assign(scheduler)
    scheduler.finish(0, 1)
    (job,) = assign(scheduler)
    pin(scheduler, 2, job.worker)
    scheduler.finish(1, job.worker)
    assert released(scheduler) == [0]
    assert len(assign(scheduler)) == 1
    scheduler.lose_worker(job.worker, None)
    scheduler.add_worker(job.worker)
    again = assign(scheduler)
    assert [assigned.nodes for assigned in again] == [(0,)]
    assert [scheduler.state(node) for node in (1, 2, 3)] == [WAITING, WAITING, WAITING]
    assert scheduler.attempt(0) == 2
    assert scheduler.uses(1) == 1


def test_a_value_within_a_job_is_lost_with_its_worker(schedule):
    """If a worker dies between two nodes of a job, the value between them is lost, and the first node runs again."""
    scheduler = schedule(CHAIN)
    assign(scheduler)
    scheduler.finish(0, 1)
    scheduler.lose_worker(1, None)
    scheduler.add_worker(1)
    assert jobs(scheduler) == [(1, (0, 1, 2))]
    assert [scheduler.attempt(node) for node in (0, 1, 2)] == [2, 1, 1]


def test_the_rest_of_a_returned_job_stays_with_its_worker(schedule):
    """The values between a job's nodes are only in its worker, so the rest runs there."""
    scheduler = schedule(CHAIN, workers=2)
    assign(scheduler)
    scheduler.finish(0, 1)
    scheduler.return_nodes([1, 2], 1)
    assert jobs(scheduler) == [(1, (1, 2))]


def test_a_long_chain_of_lost_values_is_no_recursion(schedule):
    """Thousands of values lost at once are handled without recursion."""
    names = [chr(0x4E00 + number) for number in range(3000)]
    wiring = [("" if not number else names[number - 1], name) for number, name in enumerate(names)]
    scheduler = schedule(wiring)
    assign(scheduler)
    for node in range(2999):
        scheduler.finish(node, 1)
    scheduler.lose_worker(1, None)
    scheduler.add_worker(1)
    assert len(assign(scheduler)[0].nodes) == 3000


def test_lost_values_are_not_made_again_after_a_stop(schedule):
    """After a stop, finished nodes stay finished when a worker is lost, and the run ends."""
    scheduler = schedule([("", "a"), ("a", "b"), ("a", "c"), ("", "d")], workers=2)
    assign(scheduler)
    pin(scheduler, 0, 1)
    scheduler.finish(0, 1)
    scheduler.lose_worker(1, None)
    scheduler.fail(3, 2)
    assert assign(scheduler) == []
    assert scheduler.is_finished()
    assert scheduler.done() == {0}


@pytest.mark.parametrize("how", ["lost", "given back", "retried"])
def test_a_returned_node_whose_parent_failed_meanwhile_is_skipped(how):
    """Its parent ran again for another child and failed, so the returned node can never run."""
    policies = (None, None, NodePolicy(retries=1), None, None) if how == "retried" else ()
    plan = make_plan([("", "ab"), ("a", "c"), ("b", "d"), ("c", "e"), ("d", "f")], policies=policies)
    scheduler = Scheduler(plan, policy=FailurePolicy.CONTINUE, fuse=False, depth=1)
    scheduler.add_worker(1)
    scheduler.add_worker(2)
    jobs(scheduler)
    reside(scheduler, 0, 1, 100)
    scheduler.finish(0, 1)
    worker_of = {nodes[0]: worker for worker, nodes in jobs(scheduler)}
    scheduler.lose_worker(worker_of[1], None)
    scheduler.add_worker(worker_of[1])
    assert jobs(scheduler) == [(worker_of[1], (0,))]
    scheduler.fail(0, worker_of[1])
    if how == "lost":
        scheduler.lose_worker(worker_of[2], None)
    elif how == "given back":
        scheduler.return_nodes([2], worker_of[2])
    else:
        assert retry(scheduler, 2, worker_of[2]) == 0
    assert [scheduler.state(index).name for index in range(5)] == ["FAILED", *["SKIPPED"] * 4]
    assert jobs(scheduler) == []
    assert scheduler.is_finished()


def test_a_run_is_not_over_while_a_result_is_lost(schedule):
    """Every node is done, but a result was lost with its worker: its node runs again."""
    scheduler = schedule([("", "a"), ("a", "b")], fuse=False)
    for node in (0, 1):
        assign(scheduler)
        reside(scheduler, node, 1, 0)
        scheduler.finish(node, 1)
    assert scheduler.is_finished()
    scheduler.lose_worker(1, None)
    assert not scheduler.is_finished()
    scheduler.add_worker(1)
    assert jobs(scheduler) == [(1, (0,))]
    scheduler.finish(0, 1)
    assign(scheduler)
    scheduler.finish(1, 1)
    assert scheduler.is_finished()


# --- values that jobs wait for ---------------------------------------------------------------------------------------------


def resident_in_the_first_of_two(schedule, **options):
    """Make a scheduler with value 0 in worker 1, which runs node 3; node 1 is assigned to worker 2."""
    scheduler = schedule([("", "a"), ("a", "b"), ("a", "c"), ("", "d")], workers=2, weights=[9, 5, 1, 7], fuse=False, **options)
    assert jobs(scheduler) == [(1, (0,)), (2, (3,))]
    reside(scheduler, 0, 1, 100)
    scheduler.finish(0, 1)
    assert jobs(scheduler) == [(1, (1,))]
    scheduler.finish(3, 2)
    scheduler.assign()
    assert drain(scheduler)[-1] == TransferValue(0, 1)
    return scheduler


def test_a_job_waits_in_the_scheduler_until_its_value_was_transferred(schedule):
    """The job is issued when the value has arrived; until then it is not among its worker's assigned nodes."""
    scheduler = resident_in_the_first_of_two(schedule)
    assert (scheduler.state(2), scheduler.assigned(2)) == (ASSIGNED, ())
    scheduler.value_arrived(0, Placement(retained=True), 1)
    assert drain(scheduler) == [RunJob(2, (2,), (0,), (), ())]
    assert scheduler.assigned(2) == (2,)


def test_a_job_whose_value_cannot_be_transferred_runs_where_it_is(schedule):
    """The only worker that has the value runs the job."""
    scheduler = resident_in_the_first_of_two(schedule)
    scheduler.value_arrived(0, Placement(1, movable=False), 1)
    assert (scheduler.state(2), scheduler.attempt(2)) == (READY, 0)
    scheduler.finish(1, 1)
    assert jobs(scheduler) == [(1, (2,))]


def test_a_job_whose_value_is_lost_on_its_way_waits_for_it_to_be_made_again(schedule):
    """If the worker that was to send the value dies, its nodes run again, and then the job."""
    scheduler = resident_in_the_first_of_two(schedule)
    scheduler.lose_worker(1, None)
    assert jobs(scheduler) == [(2, (0,))]
    assert [scheduler.state(node) for node in (1, 2)] == [WAITING, WAITING]
    scheduler.value_arrived(0, SHARED, 1)  # it was sent before the worker died, and comes too late
    scheduler.finish(0, 2)
    assert jobs(scheduler) == [(2, (1,))]


def test_a_job_is_assigned_again_if_its_worker_dies_before_its_value_arrives(schedule):
    """The job was not started, so it loses no attempt, and the next worker gets the value."""
    scheduler = resident_in_the_first_of_two(schedule)
    scheduler.lose_worker(2, None)
    scheduler.value_arrived(0, SHARED, 1)
    scheduler.add_worker(2)
    (job,) = assign(scheduler)
    assert (job.worker, job.nodes, job.inputs) == (2, (2,), (0,))
    assert scheduler.attempt(2) == 1


def test_a_node_whose_values_cannot_leave_two_workers_is_rejected(schedule):
    """It waited in the main process, where one value is, for the other, which turns out to be bound to worker 1.

    The node was put into the queue of the main process twice, and the second entry is not a reason to assign it there again.
    """
    scheduler = schedule([("", "b"), ("Xb", "")], fuse=False, separate_main=True)
    assert jobs(scheduler) == [(1, (0,))]
    reside(scheduler, 0, 1, 100)
    scheduler.finish(0, 1)
    scheduler.assign()
    assert LoadValue(1, 1) in drain(scheduler, load=False)
    scheduler.value_arrived(1, Placement(MAIN, movable=False))
    scheduler.assign()
    assert TransferValue(0, 1) in drain(scheduler)
    scheduler.value_arrived(0, Placement(1, movable=False), 1)
    scheduler.assign()
    assert drain(scheduler) == [RejectNode(1)]


def test_a_stop_skips_jobs_that_wait_for_values(schedule):
    """After a failure a waiting job is skipped, and only workers with running nodes are asked to cancel."""
    scheduler = resident_in_the_first_of_two(schedule)
    scheduler.stop()
    taken = drain(scheduler)
    assert SkipNode(2) in taken
    assert [each for each in taken if isinstance(each, CancelJobs)] == [CancelJobs(1)]
    scheduler.value_arrived(0, SHARED, 1)
    assert [each for each in drain(scheduler) if isinstance(each, RunJob)] == []


def test_a_value_is_transferred_once_and_sent_once_to_each_worker(schedule):
    """Two jobs share one transfer; a worker that keeps the value gets it with its first job only."""
    wiring = [("", "a"), ("a", "b"), ("a", "c"), ("a", "d"), ("", "e"), ("", "f")]
    scheduler = schedule(wiring, workers=3, depth=2, fuse=False)
    assert jobs(scheduler)[0] == (1, (0,))
    reside(scheduler, 0, 1, 100)
    scheduler.finish(0, 1)
    scheduler.assign()
    taken = drain(scheduler)
    assert [each for each in taken if isinstance(each, TransferValue)] == [TransferValue(0, 1)]
    scheduler.value_arrived(0, Placement(retained=True), 1)
    sent = [each for each in drain(scheduler) if isinstance(each, RunJob)]
    assert {each.worker: each.inputs for each in sent} == dict.fromkeys({each.worker for each in sent}, (0,))
    for node in (4, 5, 1, 2, 3):
        worker = next(number for number in (1, 2, 3) if scheduler.holds(number, node))
        scheduler.finish(node, worker)
    (release,) = [each for each in drain(scheduler) if isinstance(each, ReleaseValue) and each.dataset == 0]
    assert set(release.workers) == {each.worker for each in sent}


def test_a_value_that_is_made_again_while_it_is_transferred_stays_one_value(schedule):
    """Its second copy is released with it, and the transfer still completes the waiting job."""
    scheduler = resident_in_the_first_of_two(schedule)
    reside(scheduler, 0, 3, 100)
    scheduler.value_arrived(0, SHARED, 3)
    assert drain(scheduler) == []
    scheduler.value_arrived(0, SHARED, 1)
    assert [each.nodes for each in drain(scheduler)] == [(2,)]
    scheduler.finish(1, 1)
    scheduler.finish(2, 2)
    assert ReleaseValue(0, (3,)) in drain(scheduler)


def test_an_illegal_move_of_a_value_has_its_history(schedule):
    """The error names the dataset, its state and its history."""
    scheduler = schedule([("", "a"), ("a", "b")])
    with pytest.raises(InvalidTransitionError, match=r"the value of 'a' cannot go from ABSENT to TRANSFERRING"):
        scheduler._values._move(0, ValueState.TRANSFERRING)


# --- whole runs, simulated -----------------------------------------------------------------------------------------------


@st.composite
def pipelines(draw):
    """Random graphs: each node makes one or two datasets and loads some earlier ones, or some of three free inputs."""
    count = draw(st.integers(1, 12))
    wiring: list[tuple[str, str]] = []
    names = iter("abcdefghijklmnopqrstuvwxyz")
    roots, made = "XYZ", ""
    for _ in range(count):
        inputs = draw(st.lists(st.sampled_from(roots + made), max_size=3, unique=True))
        outputs = "".join(next(names) for _ in range(draw(st.integers(0, 2))))
        wiring.append(("".join(inputs), outputs))
        made += outputs
    persisted = draw(st.sets(st.sampled_from(roots + made), max_size=4))
    unpicklable = draw(st.sets(st.sampled_from(roots + made), max_size=3))
    main_only = draw(st.sets(st.integers(0, count - 1), max_size=2))
    resident = draw(st.sets(st.sampled_from(roots + made), max_size=3))
    return wiring, persisted, unpicklable, main_only, resident


class Simulation:
    """A small executor with a queue for each worker, values in several places, and seeded random faults."""

    def __init__(
        self, pipeline, *, seed, workers, processes, faults, leaves=0, policies=(), unloadable=0.0, fuse=True, **options
    ):
        wiring, persisted, unpicklable, main_only, resident = pipeline
        self.plan = make_plan(wiring, persisted=persisted, main_only=main_only, policies=policies)
        self.scheduler = Scheduler(self.plan, separate_main=processes, fuse=bool(fuse), **options)
        self.random = Random(seed)
        if fuse == "tiny" and processes:
            durations = [self.random.choice((TINY_SECONDS / 5, TINY_SECONDS / 5, 2 * TINY_SECONDS)) for _ in self.plan.nodes]
            self.scheduler.prepare(durations, fuse_tiny=True)
        self.unloadable = unloadable  # how many loads from the catalog fail
        self.processes = processes
        self.faults = faults
        self.leaves = leaves if processes else 0  # how often a worker begins to retire
        self.departures = Random(seed)
        self.leaving: set[int] = set()
        self.unpicklable = {
            index for index, dataset in enumerate(self.plan.datasets) if processes and dataset.name in unpicklable
        } - set(self.plan.results)
        self.resident = {
            index for index, dataset in enumerate(self.plan.datasets) if processes and dataset.name in resident
        } - set(self.plan.results)
        self.retained = {index for index in range(len(self.plan.datasets)) if processes and self.random.random() < 0.4}
        self.store: set[int] = set()  # values that any worker can have
        self.private: dict[int, set[int]] = {worker: set() for worker in range(MAIN if processes else 1, workers + 1)}
        self.copies: dict[int, set[int]] = {worker: set() for worker in self.private}  # what workers received and keep
        self.queues: dict[int, list[tuple[object, list[int]]]] = {worker: [] for worker in self.private}
        self.transfers: list[tuple[int, int]] = []  # asked for and not yet answered: dataset, worker
        self.trace: list[tuple[object, ...]] = []
        self.runs = [0] * len(self.plan.nodes)
        self.asleep: list[int] = []  # nodes that wait for their next attempt
        self.skipped: list[int] = []
        self.may_stick = bool(faults) and processes
        self.stuck: set[int] = set()  # values that turned out not to leave their worker
        for worker in self.private:
            self.scheduler.add_worker(worker)

    def run(self):
        scheduler = self.scheduler
        while not scheduler.is_finished():
            self.assign()
            if scheduler.is_finished():
                break
            busy = [worker for worker, queue in self.queues.items() if queue]
            if self.transfers and (not busy or self.random.random() < 0.5):
                self.answer(*self.transfers.pop(self.random.randrange(len(self.transfers))))
            elif self.asleep and (not busy or self.random.random() < 0.2):
                scheduler.wake(self.asleep.pop(0))
            elif not busy and self.leaving:
                ready = [node for node in range(len(self.plan.nodes)) if scheduler.state(node) is READY]
                assert self.leaving.isdisjoint(map(scheduler._queues.required_worker, ready)), "only that worker can run it"
                scheduler.leave_worker(self.leaving.pop(), is_leaving=False)
            else:
                assert busy, "nothing runs and the run is not over"
                if self.leaves and self.departures.random() < 0.3:
                    self.leave(self.departures.choice(busy))
                self.step(self.random.choice(busy))
            self.carry_out()
            validate(scheduler)
        self.carry_out()
        return self

    def assign(self):
        scheduler = self.scheduler
        while True:
            near = any(scheduler._queues._preferred.values())  # of equally urgent nodes a worker takes those first
            if not scheduler.assign():
                return
            jobs = [each for each in scheduler._instructions if isinstance(each, RunJob)]
            if not near and not scheduler._pending:
                self.check_order(jobs)
            self.carry_out()
            validate(scheduler)

    def nodes_by_worker(self):
        """Return the nodes that each worker got, in order."""
        nodes = {worker: [] for worker in self.private}
        for worker, assigned, *_ in self.trace:
            if worker != "transfer":
                nodes[worker] += assigned
        return nodes

    def carry_out(self):
        """Carry out all instructions of the scheduler."""
        handlers = {
            RunJob: self.run_job,
            LoadValue: self.load,
            TransferValue: self.transfer,
            ReleaseValue: self.release,
            SkipNode: self.skip,
            RejectNode: self.reject,
            DelayNode: self.delay,
            CancelJobs: self.cancel,
            RestartWorker: self.restart,
        }
        while (instruction := self.scheduler.next_instruction()) is not None:
            handlers[type(instruction)](instruction)

    def check_order(self, jobs):
        """Check that nodes are assigned in the order of their urgency, in rounds, and before every node that is left."""
        if (
            not jobs
            or any(self.plan.policies)
            or self.scheduler._values.pins
            or self.scheduler._values.homes
            or (self.processes and self.scheduler._queues.main_only)
        ):
            return
        urgency = [(-self.scheduler._queues.priority[job.nodes[0]], job.nodes[0]) for job in jobs]
        assert urgency == sorted(urgency)
        shared = [[(-self.scheduler._queues.priority[node], node) for node in job.nodes] for job in jobs if job.independent]
        assert all(nodes == sorted(nodes) for nodes in shared)
        last = max([urgency[-1], *[nodes[-1] for nodes in shared]])
        left = [node for node in range(len(self.plan.nodes)) if self.scheduler.state(node) is READY]
        assert all((-self.scheduler._queues.priority[node], node) > last for node in left)

    # --- instructions ---

    def run_job(self, job):
        self.trace.append((job.worker, job.nodes, job.inputs))
        for place, node in enumerate(job.nodes):
            for parent in self.plan.nodes[node].parents:
                assert parent in job.nodes[:place] or self.scheduler.state(parent) is DONE, "a node before its parent"
        if job.worker in self.leaving:
            assert self.scheduler._queues.required_worker(job.nodes[0]) == job.worker, "another worker could run it"
            assert len(job.nodes) == 1
        assert set(job.inputs) <= self.store, "a value is sent that the store does not have"
        if job.worker != MAIN:
            for dataset in job.inputs:
                assert dataset not in self.copies[job.worker], "a value is sent to a worker that has it"
            self.copies[job.worker] |= self.retained & set(job.inputs)
        self.queues[job.worker].append((job, list(job.nodes)))

    def load(self, load):
        assert self.plan.datasets[load.dataset].producer is None
        if self.unloadable and self.random.random() < self.unloadable:
            if self.scheduler.load_failed(load.dataset, load.node):
                self.scheduler.fail(load.node, None)
        elif load.dataset in self.unpicklable:
            self.private[MAIN].add(load.dataset)
            self.scheduler.value_arrived(load.dataset, Placement(MAIN, movable=False))
        else:
            self.store.add(load.dataset)
            self.scheduler.value_arrived(load.dataset, Placement(retained=load.dataset in self.retained))

    def transfer(self, asked):
        self.trace.append(("transfer", asked))
        self.transfers.append((asked.dataset, asked.worker))

    def release(self, release):
        dataset = release.dataset
        assert self.scheduler.uses(dataset) == 0
        assert self.plan.datasets[dataset].in_memory
        self.store.discard(dataset)
        self.private.get(MAIN, set()).discard(dataset)
        if not self.processes:
            for values in self.private.values():
                values.discard(dataset)
        for worker in release.workers:
            self.private[worker].discard(dataset)
            self.copies[worker].discard(dataset)

    def skip(self, skip):
        self.skipped.append(skip.node)

    def reject(self, reject):
        assert self.unpicklable | self.stuck
        self.scheduler.fail(reject.node, None)

    def delay(self, delay):
        self.asleep.append(delay.node)

    def cancel(self, cancel):
        assert self.scheduler.is_stopped()
        assert self.queues[cancel.worker], "nothing can be cancelled there"

    def restart(self, restart):
        self.leaving.discard(restart.worker)
        self.scheduler.add_worker(restart.worker)

    # --- events ---

    def answer(self, dataset, worker):
        """Report the result of a TransferValue, which may no longer be expected."""
        if dataset not in self.private[worker]:
            return  # it was lost, or released, meanwhile
        if self.may_stick and self.random.random() < 0.2:
            self.stuck.add(dataset)
            self.scheduler.value_arrived(dataset, Placement(worker, movable=False), worker)
            return
        if self.scheduler._values.is_expected_from(dataset, worker):
            self.store.add(dataset)
        self.queues[worker].append((dataset, []))  # it is dropped there after the jobs that were sent before
        self.drop_at_head(worker)
        self.scheduler.value_arrived(dataset, Placement(retained=dataset in self.retained), worker)

    def drop_at_head(self, worker):
        queue = self.queues[worker]
        while queue and not queue[0][1]:
            self.private[worker].discard(queue.pop(0)[0])

    def leave(self, worker):
        """Have a worker retire: it returns what it has not started, also the rest of a chain."""
        if worker != MAIN and worker not in self.leaving:
            self.leaves -= 1
            self.leaving.add(worker)
            self.scheduler.leave_worker(worker, is_leaving=True)
            self.return_nodes(worker)
            self.drop_at_head(worker)

    def step(self, worker):
        if not self.queues[worker]:
            return  # it has just returned its nodes
        fault = self.random.random() if self.faults and self.random.random() < 0.25 else 1.0
        if fault < 0.3 and worker != MAIN and self.processes:
            self.lose(worker, culprit=fault < 0.15)
        elif fault < 0.6:
            self.return_nodes(worker, but_first=self.queues[worker][0][0].returnable and self.random.random() < 0.7)
        else:
            self.run_node(worker, fails=fault < 1.0)
        self.drop_at_head(worker)
        self.faults -= fault < 1.0

    def run_node(self, worker, *, fails):
        job, rest = self.queues[worker][0]
        node = rest.pop(0)
        if not rest or fails:
            self.queues[worker].pop(0)  # the job, or what a fault leaves of it
        planned = self.plan.nodes[node]
        # A parent may be at work again meanwhile, for another of its values that was lost: this node has what it takes.
        assert all(self.runs[parent] for parent in planned.parents), "a node before its parent"
        if planned.main_only and self.processes:
            assert worker == MAIN
        self.take(worker, job, node)
        self.runs[node] += 1
        if fails:
            self.scheduler.return_nodes(rest, worker)
            self.fail(node, worker)
            return
        self.keep(worker, job, node)
        self.scheduler.finish(node, worker)

    def take(self, worker, job, node):
        for dataset in self.plan.nodes[node].inputs:
            if not self.plan.datasets[dataset].in_memory:
                continue
            sent = dataset in job.inputs if worker != MAIN and self.processes else dataset in self.store
            assert sent or dataset in self.private[worker] | self.copies[worker], "a value is not where its consumer runs"
            if (dataset, node) in job.last:
                self.private[worker].discard(dataset)
                if not self.processes:
                    self.store.discard(dataset)

    def keep(self, worker, job, node):
        for dataset in self.plan.nodes[node].outputs:
            if not self.plan.datasets[dataset].in_memory:
                continue
            if dataset in job.local and self.processes:
                self.private[worker].add(dataset)
            elif dataset in self.unpicklable:
                self.private[worker].add(dataset)
                pin(self.scheduler, dataset, worker)
            elif dataset in self.resident and worker != MAIN:
                self.private[worker].add(dataset)
                reside(self.scheduler, dataset, worker, 1 + dataset % 3)
            else:
                self.store.add(dataset)
                if dataset in self.retained:
                    self.scheduler.value_made(dataset, Placement(retained=True))

    def return_nodes(self, worker, *, but_first=False):
        """Have a worker return what it has not started; with `but_first`, the first node runs, and takes long."""
        for place, (_job, rest) in enumerate(self.queues[worker]):
            started = 1 if but_first and place == 0 else 0
            if rest[started:]:
                self.scheduler.return_nodes(rest[started:], worker)
            del rest[started:]

    def lose(self, worker, *, culprit):
        self.finish_unreported(worker)
        held = self.scheduler.assigned(worker)
        node = held[0] if culprit and held else None
        self.queues[worker].clear()
        self.private[worker].clear()
        self.copies[worker].clear()
        self.transfers = [each for each in self.transfers if each[1] != worker]
        self.scheduler.lose_worker(worker, node)
        if node is not None:
            self.fail(node, None)

    def finish_unreported(self, worker):
        """Report the nodes that a lost worker finished and had not reported; their values are lost."""
        nodes = [node for _job, rest in self.queues[worker] for node in rest]
        for node in nodes[: self.random.choice([0, 0, 1, 2, 12])]:
            self.runs[node] += 1
            for dataset in self.plan.nodes[node].outputs:
                if self.plan.datasets[dataset].in_memory:
                    reside(self.scheduler, dataset, worker, 0)
            self.scheduler.finish(node, worker)

    def fail(self, node, worker):
        if not self.scheduler.retry(node, worker):
            self.scheduler.fail(node, worker)


RUNS = {
    "pipeline": pipelines(),
    "seed": st.integers(0, 2**32),
    "workers": st.integers(1, 3),
    "processes": st.booleans(),
    "depth": st.sampled_from([1, 2, 3, 4, 16]),
    "fuse": st.sampled_from([False, True, "tiny"]),
}
QUIET = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@QUIET
@given(**RUNS)
@example(pipeline=([("", ""), ("", "")], set(), set(), {0}, set()), seed=0, workers=1, processes=True, depth=1, fuse=True)
def test_every_node_runs_once(pipeline, seed, workers, processes, depth, fuse):
    """Without faults, each node runs once, after its parents, and only the result is left."""
    options = {"seed": seed, "workers": workers, "processes": processes, "depth": depth, "fuse": fuse}
    wiring, persisted, _, main_only, resident = pipeline
    simulation = Simulation((wiring, persisted, (), main_only, resident), faults=0, **options).run()
    assert simulation.runs == [1] * len(simulation.plan.nodes)
    assert simulation.store == {index for index in simulation.plan.results if simulation.plan.datasets[index].in_memory}
    assert not any(simulation.private.values())


@QUIET
@given(leaves=st.integers(1, 3), **RUNS)
def test_workers_that_retire_lose_nothing(pipeline, seed, workers, processes, depth, fuse, leaves):
    """Each node runs once, where its inputs are, whichever workers retire or stay after all."""
    simulation = Simulation(
        pipeline, seed=seed, workers=workers, processes=processes, faults=0, leaves=leaves, depth=depth, fuse=fuse
    ).run()
    assert all(runs == 1 for node, runs in enumerate(simulation.runs) if simulation.scheduler.state(node) is DONE)
    assert all(simulation.scheduler.state(node) in (DONE, FAILED, SKIPPED) for node in range(len(simulation.runs)))
    assert bool(simulation.unpicklable | simulation.stuck) >= (
        FAILED in map(simulation.scheduler.state, range(len(simulation.runs)))
    )


@QUIET
@given(**{**RUNS, "fuse": st.booleans()})
def test_nodes_that_share_jobs_are_assigned_as_if_they_did_not(pipeline, seed, workers, processes, depth, fuse):
    """Each worker gets the same nodes in the same order; only the number of jobs is smaller."""
    options = {"seed": seed, "workers": workers, "processes": processes, "depth": depth, "fuse": fuse}
    shared = Simulation(pipeline, faults=0, **options).run()
    with patch.object(ReadyQueues, "all_are_in", return_value=False):
        separate = Simulation(pipeline, faults=0, **options).run()
    assert shared.nodes_by_worker() == separate.nodes_by_worker()


@QUIET
@given(faults=st.integers(1, 4), **RUNS)
@example(  # a parent is made again, for another of its values, while its child is at work
    faults=1,
    pipeline=([("", "a"), ("", "bc"), ("cX", "d"), ("", ""), ("", ""), ("dXb", "")], set(), {"b", "X"}, set(), set()),
    seed=3939,
    workers=2,
    processes=True,
    depth=1,
    fuse=False,
)
@example(  # two inputs of a node turn out to be bound to different workers
    faults=1,
    pipeline=([("", ""), ("Z", "ab"), ("XYb", "")], set(), {"X"}, set(), {"b", "X", "Y"}),
    seed=1,
    workers=1,
    processes=True,
    depth=1,
    fuse=False,
)
def test_faults_skip_descendants_only(pipeline, seed, workers, processes, depth, fuse, faults):
    """Under CONTINUE, whatever the faults, only descendants of failures are skipped, and no other value is kept."""
    simulation = Simulation(
        pipeline,
        seed=seed,
        workers=workers,
        processes=processes,
        faults=faults,
        depth=depth,
        fuse=fuse,
        policy=FailurePolicy.CONTINUE,
    ).run()
    scheduler, plan = simulation.scheduler, simulation.plan
    after_failure: set[int] = set()
    for index, node in enumerate(plan.nodes):
        if any(parent in after_failure or scheduler.state(parent) is FAILED for parent in node.parents):
            after_failure.add(index)
    for index in range(len(plan.nodes)):
        if scheduler.state(index) is SKIPPED:
            assert index in after_failure
        elif index not in after_failure:
            assert scheduler.state(index) in (DONE, FAILED)
        assert scheduler.attempt(index) >= simulation.runs[index]
    made = {
        index
        for index in plan.results
        if plan.datasets[index].in_memory and scheduler.state(plan.datasets[index].producer) is DONE
    }
    assert made <= simulation.store <= set(plan.results)  # a result of an earlier attempt may stay


@QUIET
@given(faults=st.integers(1, 4), **RUNS)
def test_a_stopped_run_ends(pipeline, seed, workers, processes, depth, fuse, faults):
    """Under STOP, a run with faults ends with every node in a final state, and no finished node runs again."""
    simulation = Simulation(
        pipeline, seed=seed, workers=workers, processes=processes, faults=faults, depth=depth, fuse=fuse
    ).run()
    states = {simulation.scheduler.state(node) for node in range(len(simulation.plan.nodes))}
    assert states <= {DONE, FAILED, SKIPPED}
    assert (SKIPPED in states) <= (FAILED in states)


@QUIET
@given(faults=st.integers(0, 2), policy=st.sampled_from(FailurePolicy), **RUNS)
@example(  # the first of two inputs that no other node loads
    faults=0,
    policy=FailurePolicy.CONTINUE,
    pipeline=([("XY", "a")], set(), set(), set(), set()),
    seed=1,
    workers=1,
    processes=False,
    depth=1,
    fuse=True,
)
def test_a_run_with_inputs_that_cannot_be_loaded_ends(pipeline, faults, policy, **run):
    """Every node ends, and of the values that were loaded none is kept."""
    simulation = Simulation(pipeline, faults=faults, policy=policy, unloadable=0.4, **run).run()
    states = {simulation.scheduler.state(node) for node in range(len(simulation.plan.nodes))}
    assert states <= {DONE, FAILED, SKIPPED}
    if policy is FailurePolicy.CONTINUE:
        assert simulation.store <= set(simulation.plan.results)


@QUIET
@given(faults=st.integers(0, 4), **RUNS)
def test_the_same_facts_give_the_same_schedule(faults, **run):
    """Two runs with the same events in the same order make the same decisions."""
    first, second = (Simulation(faults=faults, policy=FailurePolicy.CONTINUE, **run).run().trace for _ in range(2))
    assert first == second


def test_a_value_that_its_last_consumer_holds_is_made_again():
    """A repeated node needs a value whose last consumer already has it: that value is made again too."""
    plan = make_plan([((), "d"), ("d", "q"), ("q", "e"), ("d", "j"), ("e", "k")])
    d, e = (next(index for index, dataset in enumerate(plan.datasets) if dataset.name == name) for name in "de")
    scheduler = Scheduler(plan, weights=[1, 10, 1, 5, 1], depth=1, fuse=False)

    def assigned():
        return {job.worker: job.nodes[0] for job in assign(scheduler)}

    scheduler.add_worker(1)
    assert assigned() == {1: 0}
    reside(scheduler, d, 1, 1_000_000)
    scheduler.finish(0, 1)
    assert assigned() == {1: 1}
    scheduler.finish(1, 1)
    scheduler.add_worker(2)
    assert assigned() == {1: 3, 2: 2}  # node 3 is the last taker of d
    reside(scheduler, e, 2, 1_000_000)
    scheduler.finish(2, 2)
    scheduler.lose_worker(2, None)
    scheduler.add_worker(3)
    assert assigned() == {3: 0}
    scheduler.finish(3, 1)
    for node in (0, 1, 2, 4):
        assigned()
        worker = next(worker for worker in (1, 3) if scheduler.holds(worker, node))
        scheduler.finish(node, worker)
    validate(scheduler)
    assert scheduler.is_finished()


# --- policies of nodes ---------------------------------------------------------------------------------------------------


def test_a_failed_attempt_is_retried(schedule):
    """A node with a retry is delayed, ready when it is woken, and fails after its last attempt."""
    scheduler = schedule(CHAIN, policies=[None, NodePolicy(retries=1, retry_delay=30), None])
    assert jobs(scheduler) == [(1, (0,))]
    scheduler.finish(0, 1)
    assert jobs(scheduler) == [(1, (1,))]
    assert retry(scheduler, 1, 1) == 30.0
    assert (scheduler.state(1), scheduler.attempt(1)) == (DELAYED, 1)
    assert assign(scheduler) == []
    assert not scheduler.is_finished()
    scheduler.wake(1)
    assert jobs(scheduler) == [(1, (1,))]
    assert scheduler.attempt(1) == 2
    assert retry(scheduler, 1, 1) is None
    scheduler.fail(1, 1)
    assert scheduler.state(1) is FAILED
    scheduler.wake(1)
    assert scheduler.is_finished()


def test_a_node_that_may_be_retried_is_never_the_last_consumer(schedule):
    """Its inputs are kept until it has finished or failed."""
    scheduler = schedule([("r", "a"), ("ra", "b")], policies=[None, NodePolicy(retries=2)])
    assign(scheduler)
    scheduler.finish(0, 1)
    assert released(scheduler) == []
    (job,) = assign(scheduler)
    assert job.last == ()
    assert retry(scheduler, 1, 1) == 0.0
    (job,) = assign(scheduler)
    assert job.inputs == (1, 0)
    scheduler.finish(1, 1)
    assert sorted(released(scheduler)) == [0, 1]


@pytest.mark.parametrize(
    "policy",
    [NodePolicy(retries=1), NodePolicy(timeout=1), NodePolicy(resources={"x": 1})],
    ids=["retries", "timeout", "resources"],
)
@pytest.mark.parametrize("place", range(3))
def test_a_node_with_such_a_policy_is_a_job_of_one_node(schedule, policy, place):
    """It is fused neither with its parent nor with its child."""
    policies = [policy if number == place else None for number in range(3)]
    scheduler = schedule(CHAIN, policies=policies, limits={"x": 1})
    order = []
    while not scheduler.is_finished():
        (job,) = assign(scheduler)
        order.append(job.nodes)
        for number in job.nodes:
            scheduler.finish(number, 1)
    assert (place,) in order
    assert sum(order, ()) == (0, 1, 2)


def test_nothing_is_retried_after_a_stop(schedule):
    """When the run stops, nodes that wait for their next attempt are skipped, and a failure is final."""
    again = NodePolicy(retries=3)
    scheduler = schedule([("", "a"), ("", "b"), ("", "c")], workers=3, policies=[again, again, None])
    assign(scheduler)
    assert retry(scheduler, 0, 1) == 0.0
    scheduler.fail(2, 3)
    assert (scheduler.state(0), skipped(scheduler)) == (SKIPPED, [0])
    scheduler.wake(0)
    assert retry(scheduler, 1, 2) is None
    scheduler.fail(1, 2)
    assert scheduler.is_finished()


@pytest.mark.parametrize("woken_before", [False, True])
def test_an_input_that_is_lost_meanwhile_is_made_again_first(schedule, woken_before):
    """A node that killed the worker with its input waits for its delay and for its input."""
    scheduler = schedule([("", "a"), ("a", "b")], workers=2, policies=[None, NodePolicy(retries=1, retry_delay=1)])
    assign(scheduler)
    reside(scheduler, 0, 1, 1_000_000)
    scheduler.finish(0, 1)
    assert jobs(scheduler) == [(1, (1,))]
    scheduler.lose_worker(1, 1)
    assert retry(scheduler, 1, None) == 1.0
    if woken_before:
        scheduler.wake(1)
    assert jobs(scheduler) == [(2, (0,))]
    validate(scheduler)
    scheduler.finish(0, 2)
    if not woken_before:
        assert assign(scheduler) == []
        scheduler.wake(1)
    assert jobs(scheduler) == [(2, (1,))]
    assert scheduler.attempt(1) == 2


def test_delays_on_a_virtual_clock(schedule):
    """Each attempt starts when its delay is over, and the worker runs other nodes meanwhile."""
    flaky = NodePolicy(retries=2, retry_delay=10)
    scheduler = schedule([("", "a"), ("", "b"), ("b", "c")], weights=[9, 1, 1], policies=[flaky, None, None], fuse=False)
    seconds, attempts_failing, now = [1, 4, 4], 2, 0.0
    due: list[tuple[float, int, int, bool]] = []  # when, node, worker, whether it is an attempt that ends
    begun: list[tuple[float, int]] = []
    while not scheduler.is_finished():
        for job in assign(scheduler):
            begun.append((now, job.nodes[0]))
            heappush(due, (now + seconds[job.nodes[0]], job.nodes[0], job.worker, True))
        now, number, worker, ends = heappop(due)
        if not ends:
            scheduler.wake(number)
        elif number == 0 and scheduler.attempt(0) <= attempts_failing:
            heappush(due, (now + retry(scheduler, 0, worker), 0, worker, False))
        else:
            scheduler.finish(number, worker)
    assert begun == [(0.0, 0), (1.0, 1), (5.0, 2), (11.0, 0), (22.0, 0)]


def test_continue_for_one_node_alone(schedule):
    """A node's own policy takes precedence over the run's default."""
    goes_on, stops = NodePolicy(on_failure="continue"), NodePolicy(on_failure="stop")
    wiring = [("", "a"), ("", "b"), ("", "c")]
    scheduler = schedule(wiring, policies=[goes_on, None, None])
    assign(scheduler)
    scheduler.fail(0, 1)
    assert not scheduler.is_stopped()
    scheduler = schedule(wiring, policies=[stops, None, None], policy=FailurePolicy.CONTINUE)
    assign(scheduler)
    scheduler.fail(0, 1)
    assert (scheduler.is_stopped(), skipped(scheduler)) == (True, [1, 2])


def needs(*amounts, name="gpu"):
    return [NodePolicy(resources={name: amount}) if amount else None for amount in amounts]


def test_a_node_starts_only_when_its_resources_are_free(schedule):
    """Resources are freed when their node finished, failed, was returned or lost its worker."""
    independent = [("", letter) for letter in "abcd"]
    scheduler = schedule(independent, workers=2, policies=needs(2, 2, 0, 0), limits={"gpu": 2}, policy=FailurePolicy.CONTINUE)
    assert jobs(scheduler) == [(1, (0,)), (2, (2,))]
    scheduler.return_nodes([0], 1)
    assert jobs(scheduler) == [(1, (0,))]
    scheduler.lose_worker(1, None)
    scheduler.add_worker(3)
    assert jobs(scheduler) == [(3, (0,))]
    scheduler.fail(0, 3)
    assert jobs(scheduler) == [(3, (1,))]


def test_a_node_with_needs_waits_for_an_idle_worker(schedule):
    """It is not queued behind other jobs, and its worker gets no more tiny nodes until it is idle."""
    wiring = [("", "a"), ("", "b"), ("", "c"), ("a", "d"), ("d", "e"), *(("", letter) for letter in "uvwxyz")]
    scheduler = schedule(
        wiring, depth=2, fuse=False, policies=[None, None, None, *needs(1), None, *[None] * 6], limits={"gpu": 1}
    )
    assert jobs(scheduler) == [(1, (0,)), (1, (1,))]
    scheduler.finish(0, 1)
    assert assign(scheduler) == []  # node 3 is the most urgent, and node 1 is in its way
    scheduler.finish(1, 1)
    assert jobs(scheduler) == [(1, (3,))]
    assert assign(scheduler) == []  # nothing is put behind it
    scheduler.finish(3, 1)
    assert jobs(scheduler) == [(1, (2,)), (1, (4,))]


def test_a_large_node_is_not_delayed_by_small_ones(schedule):
    """A node that needs much starts as soon as the nodes that ran before have ended."""
    small = 40
    wiring = [*(("", f"{chr(0x4E00 + number)}") for number in range(small + 3))]
    weights = [3.0, 3.0, 2.0, *[1.0] * small]  # two small ones, the big one, then the rest
    amounts = [1, 1, 4, *[1] * small]
    scheduler = schedule(wiring, workers=4, weights=weights, policies=needs(*amounts), limits={"gpu": 4})
    running = jobs(scheduler)
    assert [nodes for _worker, nodes in running] == [(0,), (1,)]  # the rest is set aside for the big one
    scheduler.finish(0, running[0][0])
    assert assign(scheduler) == []
    scheduler.finish(1, running[1][0])
    assert [job.nodes for job in assign(scheduler)] == [(2,)]


def test_a_waiting_node_reserves_only_what_it_needs(schedule):
    """Less urgent nodes use the resources that it does not need, and the rest of those that it needs."""
    gpu, memory, both = ({"gpu": 1}, {"memory": 1}, {"gpu": 2, "memory": 1})
    policies = [NodePolicy(resources=each) for each in (gpu, both, gpu, memory, {"disk": 1})]
    wiring = [("", letter) for letter in "abcde"]
    limits = {"gpu": 2, "memory": 2, "disk": 1}
    scheduler = schedule(wiring, workers=4, weights=[9, 8, 7, 6, 5], policies=policies, limits=limits)
    assert [job.nodes for job in assign(scheduler)] == [(0,), (3,), (4,)]


def test_a_pinned_node_with_needs_waits_for_its_worker(schedule):
    """A node with a pinned input and a resource request starts when both its worker and the resource are free."""
    wiring = [("", "a"), ("", "b"), ("a", "c")]
    scheduler = schedule(wiring, workers=2, fuse=False, policies=needs(0, 1, 1), limits={"gpu": 1})
    assert jobs(scheduler) == [(1, (0,)), (2, (1,))]
    pin(scheduler, 0, 1)
    scheduler.finish(0, 1)
    assert assign(scheduler) == []
    scheduler.finish(1, 2)
    assert jobs(scheduler) == [(1, (2,))]


def test_the_main_worker_is_not_idle_behind_other_nodes():
    """Nodes that wait for a worker do not block MAIN, and their resources stay reserved."""
    plan = make_plan([("", letter) for letter in "abc"], main_only={2}, policies=needs(1, 1, 1))
    for limit, at_once in ((3, [(1, (0,)), (MAIN, (2,))]), (2, [(1, (0,))])):
        scheduler = Scheduler(plan, separate_main=True, limits={"gpu": limit}, depth=1)
        scheduler.add_worker(1)
        scheduler.add_worker(MAIN)
        assert jobs(scheduler) == at_once


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_small_case_of_one_resource(workers):
    """For all requests of four nodes and each order of their ends, the limit holds and no worker idles needlessly."""
    limit = 2
    for amounts in product(range(limit + 1), repeat=4):
        plan = make_plan([("", letter) for letter in "abcd"], policies=needs(*amounts))
        pending: list[tuple[int, ...]] = [()]
        while pending:
            order = pending.pop()
            scheduler = Scheduler(plan, limits={"gpu": limit}, depth=1)
            for worker in range(1, workers + 1):
                scheduler.add_worker(worker)
            at: dict[int, int] = {}
            for ended in (*order, None):
                at.update({job.nodes[0]: job.worker for job in assign(scheduler)})
                validate(scheduler)
                waiting = [number for number in range(4) if scheduler.state(number) is READY]
                free = limit - sum(amounts[number] for number in at)
                if waiting and len(at) < workers:
                    assert amounts[waiting[0]] > free, "the most urgent node could have started"
                    assert all(amounts[number] for number in waiting), "a node that needs nothing waits"
                if ended is not None:
                    scheduler.finish(ended, at.pop(ended))
            pending += [(*order, number) for number in at]
            assert at or scheduler.is_finished()


POLICIES = st.lists(
    st.one_of(
        st.none(),
        st.builds(NodePolicy, retries=st.integers(0, 2), timeout=st.sampled_from([None, 1])),
        st.builds(NodePolicy, resources=st.fixed_dictionaries({"gpu": st.integers(0, 2), "memory": st.integers(0, 3)})),
        st.builds(NodePolicy, on_failure=st.sampled_from(["stop", "continue"])),
    ),
    min_size=12,
    max_size=12,
)


@QUIET
@given(faults=st.integers(0, 4), policies=POLICIES, policy=st.sampled_from(FailurePolicy), run=st.fixed_dictionaries(RUNS))
def test_runs_with_policies_end(faults, policies, policy, run):
    """Whatever the policies and faults, the limits hold, and every node ends in a final state."""
    own = policies[: len(run["pipeline"][0])]
    simulation = Simulation(faults=faults, policy=policy, policies=own, limits={"gpu": 2, "memory": 3}, **run).run()
    scheduler = simulation.scheduler
    states = [scheduler.state(node) for node in range(len(simulation.plan.nodes))]
    assert set(states) <= {DONE, FAILED, SKIPPED}
    assert scheduler._resources.free == {"gpu": 2, "memory": 3}
    if not faults:
        assert states == [DONE] * len(states) or simulation.unpicklable
