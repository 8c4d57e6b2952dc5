"""Scheduler: nodes that are up to date do not run, unless a value that they keep in memory is needed."""

from __future__ import annotations

from random import Random

import pytest

from treadle.execution.scheduling.instructions import DecideNode, RunJob, SkipNode
from treadle.execution.scheduling.scheduler import NodeState, Scheduler
from treadle.io import Catalog
from treadle.io.datasets.text import TextDataset
from treadle.pipeline import Pipeline, node
from treadle.planning import compile_plan


def make_plan(wiring, persisted):
    """Compile nodes of (inputs, output); each dataset is named by a letter, and the persisted ones are files."""
    pipeline = Pipeline(
        [
            node(lambda *_: None, list(inputs) or None, list(outputs), name=f"n{number}")
            for number, (inputs, outputs) in enumerate(wiring)
        ]
    )
    return compile_plan(pipeline, Catalog({name: TextDataset(f"/nowhere/{name}") for name in persisted}))


def run(wiring, up_to_date, *, undecided=None, persisted="", workers=1, seed=0):
    """Run a plan on simulated workers that end their jobs in random order; return the nodes that ran, in order of their ends."""
    plan = make_plan(wiring, persisted)
    number_of = [int(planned.name[1:]) for planned in plan.nodes]
    scheduler = Scheduler(plan)
    asked_about = range(len(wiring)) if undecided is None else undecided
    scheduler.prepare(undecided=[index for index, number in enumerate(number_of) if number in asked_about])
    for worker in range(1, workers + 1):
        scheduler.add_worker(worker)
    random, ran, asked, running = Random(seed), [], [], []
    while not scheduler.is_finished():
        while scheduler.assign():
            while (instruction := scheduler.next_instruction()) is not None:
                if isinstance(instruction, DecideNode):
                    asked.append(instruction.node)
                    parents = plan.nodes[instruction.node].parents
                    assert all(scheduler.state(parent) is NodeState.DONE for parent in parents), "it is decided too early"
                    is_up_to_date = number_of[instruction.node] in up_to_date
                    (scheduler.reuse if is_up_to_date else scheduler.require)(instruction.node)
                elif isinstance(instruction, RunJob):
                    running += [(instruction.worker, each) for each in instruction.nodes]
        if not running:
            assert scheduler.is_finished(), "nothing runs, and the run has not ended"
            break
        first_of = {worker: index for index, (worker, _) in reversed(list(enumerate(running)))}
        worker, ended = running.pop(random.choice(sorted(first_of.values())))
        ran.append(number_of[ended])
        scheduler.finish(ended, worker)
    assert len(asked) == len(set(asked)), "a node was decided twice"
    return ran, scheduler


CHAIN = [("", "a"), ("a", "b"), ("b", "c"), ("c", "d")]


def test_nothing_runs_if_everything_is_up_to_date():
    ran, scheduler = run(CHAIN, {0, 1, 2, 3})
    assert ran == []
    assert all(scheduler.state(node) is NodeState.DONE for node in range(4))


@pytest.mark.parametrize(
    ("persisted", "expected"),
    [("abc", [3]), ("ab", [2, 3]), ("a", [1, 2, 3]), ("", [0, 1, 2, 3]), ("c", [3]), ("bc", [3]), ("ac", [3])],
)
def test_a_node_that_runs_makes_the_values_in_memory_that_it_needs_and_no_others(persisted, expected):
    """The last node of a chain runs. The nodes before it run back to the last one whose output is in a file."""
    assert run(CHAIN, {0, 1, 2}, persisted=persisted)[0] == expected


def test_a_value_that_two_nodes_need_is_made_once():
    ran, _ = run([("", "a"), ("a", "b"), ("a", "c"), ("bc", "d")], {0}, persisted="bc", workers=2)
    assert sorted(ran) == [0, 1, 2, 3]
    assert ran[0] == 0


def test_a_node_with_a_file_and_a_value_runs_again_only_for_the_value():
    """The first node has a file, which the second one reads, and a value, which the third one needs."""
    wiring = [("", "av"), ("a", "b"), ("v", "c")]
    assert run(wiring, {0, 1}, persisted="abc")[0] == [0, 2]
    assert run(wiring, {0, 2}, persisted="abc")[0] == [1]


def test_a_node_whose_parents_run_is_decided_when_they_are_done():
    """The first node is known to run. What it saves is as before, so the rest is up to date."""
    assert run(CHAIN, {1, 2, 3}, undecided=[1, 2, 3], persisted="abc")[0] == [0]


def test_a_child_does_not_share_the_job_of_its_parent_while_it_is_undecided():
    ran, _ = run([("", "a"), ("a", "b")], set(), undecided=[1], persisted="a")
    assert ran == [0, 1]


def test_descendants_of_a_failed_node_are_skipped_without_being_decided():
    plan = make_plan([("", "a"), ("a", "b"), ("", "c")], "ab")
    first, second, other = (next(i for i, each in enumerate(plan.nodes) if each.name == name) for name in ("n0", "n1", "n2"))
    scheduler = Scheduler(plan)
    scheduler.prepare(undecided=[second, other])
    scheduler.add_worker(1)
    scheduler.assign()
    instructions = []
    while (instruction := scheduler.next_instruction()) is not None:
        instructions.append(instruction)
    assert DecideNode(other) in instructions
    scheduler.fail(first, 1)
    rest = []
    while (instruction := scheduler.next_instruction()) is not None:
        rest.append(instruction)
    assert SkipNode(second) in rest
    assert DecideNode not in map(type, rest)


@pytest.mark.parametrize("seed", range(60))
def test_random_plans(seed):
    """Exactly the nodes run that are not up to date, and those whose values in memory they need."""
    random = Random(seed)
    names = [chr(ord("a") + number) for number in range(random.randint(3, 20))]
    wiring = [("".join(random.sample(names[:index], min(index, random.randint(0, 3)))), name) for index, name in enumerate(names)]
    persisted = "".join(name for name in names if random.random() < 0.5)
    up_to_date = {index for index in range(len(names)) if random.random() < 0.7}
    needed = {index for index in range(len(names)) if index not in up_to_date}
    frontier = list(needed)
    while frontier:
        for name in wiring[frontier.pop()][0]:
            producer = names.index(name)
            if name not in persisted and producer not in needed:
                needed.add(producer)
                frontier.append(producer)
    ran, scheduler = run(wiring, up_to_date, persisted=persisted, workers=random.randint(1, 3), seed=seed)
    assert sorted(ran) == sorted(needed)
    for index, dataset in enumerate(scheduler._plan.datasets):
        assert scheduler.uses(index) == dataset.is_result, "a value is counted as used after the run"
