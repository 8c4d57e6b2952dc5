"""Random numbers of nodes: fresh in every worker and run; with a seed, the same for a node wherever and whenever it runs."""

from __future__ import annotations

import contextlib
import os
import random
import re
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from treadle import Catalog, NodePolicy, ParallelRunner, Pipeline, SequentialRunner, ThreadRunner, node
from treadle.errors import RunnerError
from treadle.observe.store import SQLStore

NAMES = tuple(f"draw {number}" for number in range(6))


def draw():
    """Draw from each of the generators that libraries share."""
    return [random.random(), float(np.random.random()), float(np.random.default_rng(random.getrandbits(64)).random())]  # noqa: NPY002 - the generator that all libraries share


def draw_beside_another(folder, mine, other):
    """Draw at the same time as another node, and so in another worker."""
    if mine < other:
        Path(folder, mine).write_text("here")
        Path(folder, other).read_text()
    else:
        Path(folder, other).read_text()
        Path(folder, mine).write_text("here")
    return os.getpid(), draw()


def fail_once(folder):
    """Draw; the first attempt draws more, and fails."""
    tried = Path(folder, "tried")
    if not tried.exists():
        tried.touch()
        draw()
        raise OSError(5, "try again")
    return draw()


def _draws(runner, names=NAMES, **policies):
    nodes = [node(draw, None, name, name=name, policy=policies.get(name.replace(" ", "_"))) for name in names]
    return dict(runner.run(Pipeline(nodes), Catalog()))


@pytest.fixture(scope="module")
def seeded_draws():
    """What each node draws with the seed 7."""
    return _draws(SequentialRunner(seed=7))


@pytest.fixture(scope="module")
def seeded_runner(way):
    """A runner of each way with the seed 7, kept warm."""
    if way == "sequential":
        runner = SequentialRunner(seed=7)
    else:
        runner = ThreadRunner(2, seed=7) if way == "thread" else ParallelRunner(2, way, seed=7)
    with runner:
        yield runner


def _numbers(draws):
    return [str(number) for drawn in draws for number in drawn]


def test_workers_and_runs_draw_different_numbers(way, any_runner, runner_for, tmp_path):
    """Without a seed, no two nodes draw the same: side by side, in different workers, or in the next run."""
    runners = (any_runner, runner_for(way))
    if way in ("sequential", "thread"):
        draws = [drawn for runner in runners for drawn in _draws(runner).values()]
    else:
        for pipe in ("a", "b"):
            os.mkfifo(tmp_path / pipe)
        catalog = Catalog({"folder": str(tmp_path), "a": "a", "b": "b"})
        nodes = [
            node(draw_beside_another, ["folder", "a", "b"], "x", name="x"),
            node(draw_beside_another, ["folder", "b", "a"], "y", name="y"),
        ]
        results = [runner.run(Pipeline(nodes), catalog) for runner in runners]
        drawn = [result[name] for result in results for name in ("x", "y")]
        assert len({pid for pid, _ in drawn}) == 4
        draws = [draw for _pid, draw in drawn]
    assert len(set(_numbers(draws))) == len(_numbers(draws))


def test_seeded_draws_are_the_node_s_own(seeded_runner, seeded_draws):
    """With a seed a node draws the same under every runner, in any worker, order and company."""
    assert len(set(_numbers(seeded_draws.values()))) == len(_numbers(seeded_draws.values()))
    assert _draws(seeded_runner) == seeded_draws
    assert _draws(seeded_runner, NAMES[4:1:-1]) == {name: seeded_draws[name] for name in NAMES[2:5]}


def test_another_attempt_draws_the_same(seeded_runner, seeded_draws, tmp_path):
    """What a node draws does not depend on how often it was tried."""
    once = node(fail_once, "folder", "drawn", name=NAMES[0], policy=NodePolicy(retries=1))
    assert seeded_runner.run(Pipeline([once]), Catalog({"folder": str(tmp_path)}))["drawn"] == seeded_draws[NAMES[0]]


def test_a_node_has_its_own_seed_or_none(any_runner, seeded_runner, seeded_draws):
    """A policy's seed counts in place of the runner's, also where the runner has none; with False the node is not seeded."""
    policies = {"draw_0": NodePolicy(seed=8), "draw_1": NodePolicy(seed=False)}
    drawn = _draws(seeded_runner, **policies)
    assert drawn[NAMES[0]] == _draws(SequentialRunner(seed=8), NAMES[:1])[NAMES[0]]
    assert not set(_numbers([drawn[NAMES[0]], drawn[NAMES[1]]])) & set(_numbers(seeded_draws.values()))
    assert drawn[NAMES[2]] == seeded_draws[NAMES[2]]
    without = _draws(any_runner, **policies)
    assert without[NAMES[0]] == drawn[NAMES[0]]
    assert without[NAMES[2]] != drawn[NAMES[2]]


def test_polars():
    """The generator of polars is seeded like the others, where polars is imported before the node runs."""
    import polars as pl  # not in every worker of this file

    pipeline = Pipeline([node(partial(pl.Series.sample, n=3), "series", "drawn", name="draw")])
    catalog = Catalog({"series": pl.Series(range(10_000))})
    runners = (SequentialRunner(seed=7), SequentialRunner(seed=7), ParallelRunner(1, "spawn", seed=7), SequentialRunner(seed=8))
    first, again, elsewhere, other = (runner.run(pipeline, catalog)["drawn"].to_list() for runner in runners)
    assert first == again == elsewhere != other


def test_the_caller_s_generators_are_left_alone():
    """A run with a seed in this process does not change what the program itself draws next."""
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - the generator that all libraries share
    expected = random.random(), np.random.random()  # noqa: NPY002 - the generator that all libraries share
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - the generator that all libraries share
    _draws(SequentialRunner(seed=7))
    _draws(ThreadRunner(2, seed=7))
    assert (random.random(), np.random.random()) == expected  # noqa: NPY002 - the generator that all libraries share


LATE_IMPORT = """
from treadle import Catalog, ParallelRunner, Pipeline, SequentialRunner, node

def late():
    import numpy
    return numpy.random.random()

pipeline = Pipeline([node(late, None, "drawn")])
print(len({{runner.run(pipeline, Catalog())["drawn"] for runner in ({runner}, {runner})}}), "value")
"""


@pytest.mark.parametrize("runner", ["SequentialRunner(seed=7)", "ParallelRunner(1, 'spawn', seed=7)"])
def test_numpy_imported_inside_a_node(launch, tmp_path, runner):
    """A node that is the first to import numpy draws seeded numbers too."""
    launched = launch(LATE_IMPORT.format(runner=runner), tmp_path)
    assert launched.wait() == 0, launched.output
    assert "1 value" in launched.output


@pytest.mark.parametrize("seed", [-1, "7", 1.5, True])
def test_a_wrong_seed(seed):
    """A seed is a whole number, 0 or more."""
    for kind in (SequentialRunner, ThreadRunner, ParallelRunner):
        with pytest.raises(RunnerError, match=r"seed is .*: give a whole number, 0 or more\."):
            kind(seed=seed)


def test_from_the_command_line(treadle, make_loom):
    """`--seed` is recorded, a rerun has it too, and execution.yml can say that a node is not seeded."""
    root = make_loom()
    nodes = root / "src" / "loom" / "drawing.py"
    nodes.write_text("import random\n\n\ndef draw():\n    print('drawn', random.random())\n")
    registry = root / "src" / "loom" / "pipeline_registry.py"
    own = 'node(drawing.draw, None, None, name="one"), node(drawing.draw, None, None, name="two")'
    registry.write_text(
        "from treadle import Pipeline, node\nfrom loom import drawing\n\n\ndef register_pipelines():\n"
        f'    return {{"__default__": Pipeline([{own}])}}\n'
    )
    (root / "conf" / "base" / "execution.yml").write_text("nodes: {two: {seed: null}}\n")

    def numbers(*words):
        launched = treadle(root, *words)
        assert launched.wait() == 0, launched.output
        return re.findall(r"drawn (0\.\d+)", launched.output)

    runs = [numbers("run", "--seed", "7", "--runner", "parallel")]
    with contextlib.closing(SQLStore(project_path=root)) as store:
        runs.append(numbers("sessions", "rerun", store.list()[0].session_id))
    runs.append(numbers("run", "--runner-params=seed=7"))
    drawn = Counter(number for each in runs for number in each)
    assert sorted(drawn.values()) == [1, 1, 1, 3]
