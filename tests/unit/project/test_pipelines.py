"""The pipelines of a project: registered or found, each imported only when asked for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from treadle.errors import ProjectError, UnknownNameError
from treadle.pipeline import Pipeline, node
from treadle.project import bootstrap_project, configure_project, configured_project, find_pipelines

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    MakeProject = Callable[..., Path]

REGISTRY = "from treadle.project import find_pipelines\ndef register_pipelines():\n    return find_pipelines()\n"


def pipeline_source(name: str) -> str:
    """Write a module with a pipeline of one node."""
    return (
        "from treadle.pipeline import Pipeline, node\n"
        f"def {name}(x):\n    return x\n"
        f"def create_pipeline():\n    return Pipeline([node({name}, 'raw', '{name}_out', name='{name}')])\n"
    )


def names(pipeline: Pipeline) -> list[str]:
    """Give the names of a pipeline's nodes, sorted."""
    return sorted(each.name for each in pipeline.nodes)


FOUND = {
    "pipeline_registry.py": REGISTRY,
    "pipelines/__init__.py": "",
    "pipelines/clean/__init__.py": "from loomtest.pipelines.clean.pipeline import create_pipeline\n",
    "pipelines/clean/pipeline.py": pipeline_source("clean"),
    "pipelines/fit/__init__.py": "",
    "pipelines/fit/pipeline.py": pipeline_source("fit"),
    "pipelines/report.py": pipeline_source("report"),
    "pipelines/shared/__init__.py": "X = 1",
    "pipelines/_private.py": pipeline_source("private"),
}


@pytest.mark.parametrize("with_registry", [True, False])
def test_only_the_requested_pipeline_is_imported(make_project: MakeProject, with_registry: bool) -> None:
    """Listing imports nothing of the pipelines; asking for one imports it alone; without a registry they are found too."""
    files = {path: text for path, text in FOUND.items() if with_registry or path != "pipeline_registry.py"}
    bootstrap_project(make_project(files))
    pipelines = configured_project().pipelines
    assert "loomtest" not in sys.modules
    assert sorted(pipelines) == ["__default__", "clean", "fit", "report"]
    assert "fit" in pipelines
    assert not [name for name in sys.modules if name.startswith("loomtest.pipelines.")]
    assert names(pipelines["fit"]) == ["fit"]
    assert pipelines["fit"] is pipelines["fit"]
    assert "loomtest.pipelines.fit" in sys.modules
    assert "loomtest.pipelines.clean" not in sys.modules


def test_default_is_the_sum_of_all(make_project: MakeProject) -> None:
    """`__default__` of found pipelines is their sum, unless the registry sets one."""
    bootstrap_project(make_project(FOUND))
    assert names(configured_project().pipelines["__default__"]) == ["clean", "fit", "report"]
    found = find_pipelines()
    found["__default__"] = found["clean"]
    assert names(found["__default__"]) == ["clean"]
    del found["fit"]
    assert sorted(found) == ["__default__", "clean", "report"]
    with pytest.raises(KeyError):
        found["fit"]


def test_only_some_pipelines_are_found(make_project: MakeProject) -> None:
    """A registry may name the pipelines that it wants; `__default__` is their sum, and an unknown name is an error."""
    bootstrap_project(make_project(FOUND))
    found = find_pipelines(names=["report", "clean"])
    assert list(found) == ["__default__", "clean", "report"]
    assert names(found["__default__"]) == ["clean", "report"]
    with pytest.raises(UnknownNameError, match=r"cannot find the pipeline 'clen'.*Did you mean 'clean'"):
        find_pipelines(names=["clen"])


def test_registry_is_called_once_and_lazily(make_project: MakeProject) -> None:
    """register_pipelines runs on first use, once for each configuration."""
    text = (
        "from treadle.pipeline import Pipeline\nCALLS = []\n"
        "def register_pipelines():\n    CALLS.append(1)\n    return {'__default__': Pipeline([])}\n"
    )
    bootstrap_project(make_project({"pipeline_registry.py": text}))
    pipelines = configured_project().pipelines
    assert "loomtest.pipeline_registry" not in sys.modules
    assert len(pipelines) == 1
    assert isinstance(pipelines["__default__"], Pipeline)
    assert pipelines.get("nope") is None
    assert sys.modules["loomtest.pipeline_registry"].CALLS == [1]
    configure_project("loomtest")
    assert "__default__" in configured_project().pipelines


def test_unknown_pipeline_suggests_close_names(make_project: MakeProject) -> None:
    """A name nobody registered is an error with close matches, and a missing default says how to have one."""
    registry = "from treadle.pipeline import Pipeline\ndef register_pipelines():\n    return {'clean': Pipeline([])}\n"
    bootstrap_project(make_project({"pipeline_registry.py": registry}))
    with pytest.raises(UnknownNameError, match="Did you mean 'clean'") as caught:
        configured_project().pipelines["claen"]
    assert (caught.value.name, caught.value.close) == ("claen", ("clean",))
    with pytest.raises(UnknownNameError, match=r"Have register_pipelines\(\) return one"):
        configured_project().pipelines["__default__"]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("X = 1", r"no function register_pipelines\(\)"),
        ("def register_pipelines():\n    return 1 / 0", "ZeroDivisionError"),
        ("def register_pipelines():\n    return None", "returned a NoneType"),
        ("def register_pipelines():\n    return {'a': len}", "create_pipeline"),
        ("import no_such_library_at_all", "no_such_library_at_all"),
    ],
)
def test_wrong_registry_is_named(make_project: MakeProject, text: str, match: str) -> None:
    """A registry that is wrong is an error that names it."""
    bootstrap_project(make_project({"pipeline_registry.py": text}))
    with pytest.raises(ProjectError, match=match) as caught:
        configured_project().pipelines["a"]
    assert "pipeline_registry" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("import no_such_library_at_all\n# create_pipeline\n", "no_such_library_at_all"),
        ("# create_pipeline\n", r"no function create_pipeline\(\)"),
        ("def create_pipeline():\n    1 / 0", "ZeroDivisionError"),
        ("def create_pipeline():\n    pass", "Is a return statement missing"),
    ],
)
def test_wrong_pipeline_module_is_named_and_spoils_no_other(make_project: MakeProject, text: str, match: str) -> None:
    """An error in one pipeline's module names that module; other pipelines still come."""
    bootstrap_project(make_project({**FOUND, "pipelines/report.py": text}))
    pipelines = configured_project().pipelines
    assert names(pipelines["clean"]) == ["clean"]
    with pytest.raises(ProjectError, match=match) as caught:
        pipelines["report"]
    assert caught.value.file == "loomtest.pipelines.report"


def test_wiring_errors_pass_through(make_project: MakeProject) -> None:
    """Nodes that cannot be wired raise their own error, which says more than that a module failed."""
    text = (
        "from treadle.pipeline import Pipeline, node\n"
        "def create_pipeline():\n    return Pipeline([node(len, 'a', 'b', name='n'), node(len, 'b', 'a', name='m')])\n"
    )
    bootstrap_project(make_project({**FOUND, "pipelines/report.py": text}))
    with pytest.raises(ValueError, match="n"):
        configured_project().pipelines["report"]


def test_a_process_may_put_a_pipeline_beside_the_registered_ones(make_project: MakeProject) -> None:
    """A pipeline that a notebook puts there is found, in the place of a registered one too, until the project is loaded anew."""
    root = make_project(FOUND)
    bootstrap_project(root)
    pipelines = configured_project().pipelines
    before = list(pipelines)
    mine = Pipeline([node(len, "text", "length")])
    pipelines["mine"] = mine
    pipelines["fit"] = mine
    assert list(pipelines) == [*before, "mine"]
    assert len(pipelines) == len(before) + 1
    assert pipelines["mine"] is pipelines["fit"] is mine
    bootstrap_project(root)
    assert list(configured_project().pipelines) == before
