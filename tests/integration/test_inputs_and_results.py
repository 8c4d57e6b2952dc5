"""Data given to a run, and results taken from it, under every runner and start method."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from treadle import Catalog, MemoryDataset, Pipeline, Session, node
from treadle.errors import NodeError, UnknownNameError
from treadle.observe.store import SQLStore

LOCAL = type("Local", (), {"value": 7, "__reduce__": lambda self: (_ for _ in ()).throw(TypeError("never pickled"))})


@pytest.fixture(scope="module")
def pipeline():
    """Two free inputs, one of them declared; a declared and an undeclared free output."""
    return Pipeline(
        [
            node(lambda array, by: array * by, ["array", "params:by"], "scaled", name="scale"),
            node(lambda scaled: float(scaled.sum()), "scaled", "total", name="sum"),
            node(lambda scaled: scaled[::2], "scaled", "half", name="halve"),
        ]
    )


def test_runner_takes_inputs(any_runner, pipeline):
    """Values given to a run stand in for what the catalog has, large ones too; the catalog is as it was."""
    catalog = Catalog({"array": np.ones(3), "params:by": 2, "half": MemoryDataset()})
    given = np.arange(200_000.0)
    result = any_runner.run(pipeline, catalog, inputs={"array": given})
    assert result["total"] == 2 * given.sum()
    np.testing.assert_array_equal(result["half"], 2 * given[::2])
    np.testing.assert_array_equal(catalog.load("half"), result["half"])  # a declared output goes where it is declared
    np.testing.assert_array_equal(catalog.load("array"), np.ones(3))
    assert any_runner.run(pipeline, catalog)["total"] == 6


def test_inputs_need_no_entry(any_runner, pipeline):
    """A value may be given for what the catalog does not have at all, params among it."""
    result = any_runner.run(pipeline, Catalog({}), inputs={"array": np.ones(2), "params:by": 5})
    assert result["total"] == 10


def test_none_is_a_value(any_runner):
    """None can be given: only saving it is an error."""
    pipeline = Pipeline([node(str, "given", "text")])
    assert any_runner.run(pipeline, Catalog(), inputs={"given": None})["text"] == "None"


def test_an_input_that_does_not_pickle(any_runner):
    """A value that cannot leave the main process can be given all the same: its node runs there."""
    pipeline = Pipeline([node(lambda thing: thing.value, "thing", "value"), node(lambda value: value + 1, "value", "more")])
    catalog = Catalog({"thing": MemoryDataset(copy_mode="assign")})
    catalog.save("thing", LOCAL())
    assert any_runner.run(pipeline, catalog)["more"] == 8


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("arary", "Did you mean 'array'"),
        ("scaled", "but node 'scale' of this run produces it"),
        ("other", "free inputs are: array"),
    ],
)
def test_a_value_for_what_is_no_input(pipeline, runner_for, name, says):
    """A value that the run would not use is an error before anything runs, with close matches."""
    with pytest.raises(UnknownNameError, match=says):
        runner_for("sequential").run(pipeline, Catalog({"array": [1], "params:by": 2}), inputs={name: 1})


def test_results_load_after_the_runner_is_gone(way, runner_for, pipeline):
    """Every free output can be loaded after the runner and its workers are gone, by several threads at once (failure 5)."""
    with runner_for(way) as runner:
        result = runner.run(pipeline, Catalog({"array": np.arange(300_000.0), "params:by": 1}))
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda _: result["half"], range(8)))
    assert all(each is loaded[0] for each in loaded)
    assert loaded[0].sum() == np.arange(0, 300_000, 2).sum()
    loaded[0][0] = 5  # and is the caller's own


def test_session_takes_inputs(way, runner_for, make_loom, in_project):
    """`session.run(inputs=...)` gives data to a run; hooks and record know it by name; results load later (failure 17)."""
    root = make_loom()
    with in_project(root):
        import pandas as pd

        orders = pd.DataFrame({"city": ["Oslo", "Rome"], "amount": [1.0, 2.0]})
        with Session.create() as session:
            everything = session.load_context().catalog.load("orders")
            table = everything.head(1).assign(**{column: orders[column][:1] for column in orders if column in everything})
            result = session.run(runner=runner_for(way), to_nodes=["clean"], inputs={"orders": table})
        assert len(result["clean_orders"]) <= 1
        assert set(result) == {"clean_orders", "known"}
        store = SQLStore(project_path=root)
        assert store.load(session.session_id).runs[0].params["inputs"] == ["orders"]
        store.close()


def test_no_resume_command_for_injected_data(make_loom, in_project):
    """A failed run that was given values names no command to resume it: no command line could give them again."""
    with in_project(make_loom()), Session.create(save_on_close=False) as session:
        with pytest.raises(NodeError) as caught:
            session.run("torn", runner="sequential", inputs={"params:model": "no mapping", "params:loom.width": 1})
        assert caught.value.resume is None
        assert caught.value.resume_from
