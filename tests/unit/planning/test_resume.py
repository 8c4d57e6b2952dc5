"""resume_nodes: where to start again after a run that did not finish."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from treadle import Catalog, Dataset, Pipeline, node
from treadle.planning import compile_plan
from treadle.planning.resume import resume_nodes


class OnDisk(Dataset):
    def load(self):
        return 1

    def save(self, data):
        raise AssertionError(data)


def nothing(*_values):
    return 1


def plan_of(*wiring, persisted=()):
    nodes = [node(nothing, list(inputs), list(outputs), name=f"n{index}") for index, (inputs, outputs) in enumerate(wiring)]
    return compile_plan(Pipeline(nodes), Catalog({"r": 1, **{name: OnDisk() for name in persisted}}))


def test_a_finished_run_resumes_nowhere():
    """Where every node finished there is nothing to start from."""
    assert resume_nodes(plan_of("ra", "ab"), {0, 1}) == ()


def test_a_run_that_did_nothing_starts_from_its_roots():
    """Where no node finished, the ones without parents begin."""
    assert resume_nodes(plan_of("ra", "rb", (("a", "b"), "c")), ()) == ("n0", "n1")


def test_a_persisted_input_is_enough():
    """A node whose inputs persist is started from itself."""
    assert resume_nodes(plan_of("ra", "ab", persisted="a"), {0}) == ("n1",)


def test_a_value_that_lived_in_memory_is_made_again():
    """A node whose input is gone is started from the last point that persists."""
    assert resume_nodes(plan_of("ra", "ab", "bc", "cd", persisted="a"), {0, 1, 2}) == ("n1",)


def test_what_follows_a_node_that_runs_again_needs_its_inputs_too():
    """Starting from a node runs all that follows it, so their lost inputs are made again as well."""
    plan = plan_of("ra", "rb", (("a", "b"), "c"), "ad")
    assert resume_nodes(plan, {0, 1, 2}) == ("n0", "n1")


@st.composite
def interrupted_runs(draw):
    """A pipeline, what persists, and nodes that finished, each after its parents."""
    made, wiring = ["r"], []
    for number in range(draw(st.integers(1, 12))):
        inputs = draw(st.lists(st.sampled_from(made), max_size=3, unique=True))
        wiring.append((tuple(inputs), (f"d{number}",)))
        made.append(f"d{number}")
    persisted = draw(st.sets(st.sampled_from(made[1:])))
    plan = plan_of(*wiring, persisted=persisted)
    finished: set[int] = set()
    for index, planned in enumerate(plan.nodes):
        if finished.issuperset(planned.parents) and draw(st.booleans()):
            finished.add(index)
    return plan, finished


@settings(max_examples=200, deadline=None)
@given(interrupted_runs())
def test_resuming_makes_all_that_is_missing_from_persistent_data(run):
    """Running the returned nodes and all that follows: nothing is missing, nothing is out of reach, nothing is in vain."""
    plan, finished = run
    index_of = {planned.name: index for index, planned in enumerate(plan.nodes)}
    start = [index_of[name] for name in resume_nodes(plan, finished)]
    assert start == sorted(start)
    running = set(start)
    for index, planned in enumerate(plan.nodes):
        if running.intersection(planned.parents):
            running.add(index)
    assert running >= set(range(len(plan.nodes))) - finished
    available: set[int] = {
        index
        for index, dataset in enumerate(plan.datasets)
        if dataset.producer is None or (not dataset.in_memory and dataset.producer in finished)
    }
    for index in sorted(running):
        assert available.issuperset(plan.nodes[index].inputs), "an input is gone"
        available.update(plan.nodes[index].outputs)
    for index in running & finished:
        planned = plan.nodes[index]
        wanted = {dataset for dataset in planned.outputs if plan.datasets[dataset].in_memory}
        follows = bool(running.intersection(planned.parents))
        assert follows or any(wanted.intersection(plan.nodes[child].inputs) for child in set(planned.children) & running)
    assert not any(running.intersection(plan.nodes[index].parents) for index in start), "a start that another start reaches"
