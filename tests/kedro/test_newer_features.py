"""What Kedro 1.6 and later add, under Treadle's runner as under the SequentialRunner: validators, previews, contexts of LLMs."""

from __future__ import annotations

import functools
import logging
from importlib.util import find_spec

import pytest

pytest.importorskip("kedro", reason="the Kedro runner's tests need Kedro")
if find_spec("kedro.validation") is None:
    pytest.skip("this version of Kedro has no validators", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("ignore")  # Kedro's own, and those of what it imports


def in_order(pipeline, catalog, hooks=None):
    """Run with Kedro's SequentialRunner."""
    from kedro.runner import SequentialRunner

    return SequentialRunner().run(pipeline, catalog, hooks)


def outcome(run, pipeline, catalog, hooks=None):
    """Return the loaded outputs of a run, or the exception of the node."""
    try:
        return {name: dataset.load() for name, dataset in run(pipeline, catalog, hooks).items()}
    except Exception as exc:  # noqa: BLE001 - the exception is the outcome
        error = exc.__cause__ if type(exc).__module__.startswith("treadle.") else exc
        return type(error).__name__, str(error)


PLACES = ({"type": "MemoryDataset"}, {"type": "pickle.PickleDataset", "filepath": "n.pkl"})


def compare(runner, folder, nodes, value, validator, *, places=PLACES, enabled=True):
    """Return the outcome of nodes whose dataset `n` has a validator, which is the same with both runners."""
    from kedro.io import DataCatalog
    from kedro.pipeline import pipeline

    for place in places:
        found = []
        for run in (in_order, runner.run):
            entry = {key: str(folder / text) if key == "filepath" else text for key, text in place.items()}
            catalog = DataCatalog.from_config({"n": {**entry, "validator": validator}}, validation_enabled=enabled)
            catalog["value"] = value
            found.append(outcome(run, pipeline(nodes), catalog))
        assert found[0] == found[1]
    return found[0]


LIMITED = {"class": "knots.AtMost", "options": {"limit": 5}}


def test_validators_convert_and_refuse(knots, warm_runner, tmp_path):
    """A validated value is used, a refused one is the same error; severity, moment and the switches hold in workers."""
    from kedro.pipeline import node

    nodes = [node(knots.half_of, "value", "n", name="make"), node(knots.times_two, "n", "out", name="take")]
    check = functools.partial(compare, warm_runner, tmp_path, nodes)
    assert check(7, LIMITED) == {"out": 8}
    kind, text = check(12, LIMITED)
    assert kind == "DataValidationError"
    assert "6.0 is more than 5" in text
    assert "on save" in text
    assert "on load" in check(12, {**LIMITED, "on": ["load"]}, places=PLACES[:1])[1]
    assert check(12, {**LIMITED, "severity": "warn"}, places=PLACES[1:]) == {"out": 12.0}
    assert check(12, LIMITED, enabled=False, places=PLACES[:1]) == {"out": 12.0}
    assert check(7, "knots.is_whole", places=PLACES[1:])[0] == "DataValidationError"


def test_switches_and_errors_of_validators(knots, tmp_path, monkeypatch):
    """What Kedro decides from the entry or the environment is decided in the same way in a worker."""
    from kedro.pipeline import node

    from treadle.kedro import ParallelRunner

    nodes = [node(knots.half_of, "value", "n", name="make"), node(knots.times_two, "n", "out", name="take")]
    monkeypatch.setenv("KEDRO_DATASET_VALIDATION", "off")
    with ParallelRunner(max_workers=1, start_method="fork") as runner:
        assert compare(runner, tmp_path, nodes, 12, LIMITED) == {"out": 12.0}
    monkeypatch.delenv("KEDRO_DATASET_VALIDATION")
    with ParallelRunner(max_workers=1, start_method="fork") as runner:
        check = functools.partial(compare, runner, tmp_path, nodes, places=PLACES[1:])
        assert check(12, {**LIMITED, "enabled": False}) == {"out": 12.0}
        assert check(8, "knots.is_whole") == {"out": 8.0}
        assert check(7, "knots.nowhere")[0] == "ValidationConfigurationError"


def test_validators_count_for_unchanged_nodes(knots):
    """A node is up to date only if the validators that Kedro uses for its datasets have not changed either."""
    from kedro.io import DataCatalog

    from treadle.io.validation.declaration import ValidatorRecipe
    from treadle.kedro.catalog import EngineCatalog
    from treadle.kedro.reuse import _Catalog

    def recipe(*, enabled=True, **validator):
        entry = {"type": "MemoryDataset", "validator": {"class": "knots.AtMost", **validator}}
        catalog = DataCatalog.from_config({"n": entry}, validation_enabled=enabled)
        return _Catalog(EngineCatalog(catalog, []), {}, None).validator_recipe("n")

    expected = ValidatorRecipe("knots.AtMost", ("save",), True, {"limit": 5})
    assert recipe(on="save", severity="warn", options={"limit": 5}) == expected
    assert recipe(enabled=False) is None


def test_contexts_of_llms(knots, warm_runner):
    """`llm_context_node` builds its tools where it runs, and the next node gets the context."""
    from kedro.io import DataCatalog, MemoryDataset
    from kedro.pipeline import llm_context_node, node, pipeline, tool

    nodes = [
        llm_context_node(
            name="context", outputs="context", llm="llm", prompts=["prompt"], tools=[tool(knots.build_ruler, "length")]
        ),
        node(knots.measure, "context", "out", name="use"),
    ]
    found = []
    for run in (in_order, warm_runner.run):
        catalog = DataCatalog({name: MemoryDataset(name) for name in ("llm", "prompt", "length")})
        found.append(outcome(run, pipeline(nodes), catalog))
    assert found[0] == found[1] == {"out": {"id": "context", "prompt": "prompt", "tools": {"ruler": "length"}}}


def test_previews(knots, warm_runner, tmp_path, caplog):
    """A preview can be made in a hook where the node runs, and after the run; one that cannot leave its process is left out."""
    import threading

    from kedro.framework.hooks.manager import _create_hook_manager
    from kedro.io import DataCatalog, MemoryDataset
    from kedro.pipeline import node, pipeline
    from kedro.pipeline.preview_contract import TextPreview

    lock, word = threading.Lock(), "woven"
    stuck = node(knots.times_two, "value", "b", name="stuck", preview_fn=lambda: TextPreview(content=str(lock)))
    seen = node(knots.half_of, "value", "a", name="seen", preview_fn=lambda: TextPreview(content=word))
    hooks = _create_hook_manager()
    hooks.register(knots.PreviewHook(str(tmp_path)))
    with caplog.at_level(logging.WARNING):
        result = outcome(warm_runner.run, pipeline([seen, stuck]), DataCatalog({"value": MemoryDataset(4)}), hooks)
    assert result == {"a": 2.0, "b": 8}
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"seen": "woven"}
    assert (seen.preview().content, stuck.preview().content) == ("woven", str(lock))
    assert "main process" not in caplog.text


def test_a_snapshot_in_the_shape_of_kedro(tmp_path, monkeypatch):
    """Kedro's own model of a snapshot accepts that of a Treadle project."""
    import sys

    from kedro.server.models import SnapshotSuccess

    from treadle import inspect_project
    from treadle.cli.scaffold import create_project
    from treadle.project import configure

    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr(configure._process, "project", None)
    root = create_project("starter", tmp_path / "shop", project_name="Shop", package_name="shop_for_kedro")
    shape = inspect_project(root).as_kedro_dict()
    found = SnapshotSuccess.model_validate({"status": "success", **shape})
    assert found.model_dump(exclude={"status"}) == shape
    assert found.pipelines[1].nodes[0].source.line_start > 1
