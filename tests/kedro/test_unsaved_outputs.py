"""Outputs in memory that a node does not save, and inputs without data, as under Kedro's SequentialRunner."""

from __future__ import annotations

import pytest

pytest.importorskip("kedro")

from kedro.framework.hooks import _create_hook_manager, hook_impl
from kedro.io import DataCatalog, DatasetError, MemoryDataset
from kedro.pipeline import node, pipeline
from kedro.runner import SequentialRunner


@pytest.fixture(params=["Kedro's", "Treadle's"])
def any_runner(request, warm_runner):
    """Kedro's runner and Treadle's, which must agree."""
    return SequentialRunner() if request.param == "Kedro's" else warm_runner


def nothing():
    """Yield no chunk."""
    yield from ()


def uneven():
    """Yield a last round without a chunk for the second output."""
    yield 1, 2
    yield (3,)


def test_an_incomplete_round_is_not_saved(any_runner):
    """Only the chunks of rounds that have one for every output are saved."""
    outputs = any_runner.run(pipeline([node(uneven, None, ["left", "right"])]), DataCatalog())
    assert {name: dataset.load() for name, dataset in outputs.items()} == {"left": 1, "right": 2}


def test_a_generator_that_yields_nothing(any_runner):
    """Its output is returned without data; a node that loads it fails with Kedro's error, which names the dataset."""
    (output,) = any_runner.run(pipeline([node(nothing, None, "output")]), DataCatalog()).values()
    with pytest.raises(DatasetError, match="has not been saved yet"):
        output.load()
    with pytest.raises(DatasetError, match=r"^output: Data for MemoryDataset has not been saved yet\."):
        any_runner.run(pipeline([node(nothing, None, "output"), node(repr, "output", "text")]), DataCatalog())


def test_what_was_not_saved_is_in_the_log(warm_runner, caplog):
    """The node that yielded nothing is named, because the next one may load older data."""
    warm_runner.run(pipeline([node(nothing, None, "output", name="silent")]), DataCatalog())
    assert "Node 'silent' is a generator that ended without yielding, so 'output' was not saved." in caplog.text


class Removes:
    """A hook that takes the outputs away before they are saved."""

    @hook_impl
    def after_node_run(self, outputs):
        outputs.clear()


def test_an_output_that_a_hook_removes(any_runner):
    """It has no data: a node that loads it fails with Kedro's error, and it is returned as it is."""
    hooks = _create_hook_manager()
    hooks.register(Removes())
    (output,) = any_runner.run(
        pipeline([node(len, "input", "output")]), DataCatalog({"input": MemoryDataset("x")}), hooks
    ).values()
    with pytest.raises(DatasetError, match="has not been saved yet"):
        output.load()
    nodes = [node(len, "input", "output"), node(repr, "output", "text")]
    with pytest.raises(DatasetError, match=r"^output: Data for MemoryDataset has not been saved yet\."):
        any_runner.run(pipeline(nodes), DataCatalog({"input": MemoryDataset("x")}), hooks)


def test_an_input_without_data_is_named(any_runner):
    """A declared dataset in memory that nothing has saved is named in the error."""
    with pytest.raises(DatasetError, match=r"^declared: Data for MemoryDataset has not been saved yet\."):
        any_runner.run(pipeline([node(repr, "declared", "text")]), DataCatalog({"declared": MemoryDataset()}))
