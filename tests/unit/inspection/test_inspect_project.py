"""A project described without running it."""

from __future__ import annotations

import json
import linecache
import subprocess
import sys
from itertools import count

import pytest
from jsonschema import Draft202012Validator

import treadle
from treadle import inspect_project
from treadle.errors import ConfigError, DatasetError, UnknownNameError
from treadle.project import configure
from treadle.schemas import read_schema

_COUNT = count()

NODES = '''
import functools


def logged(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)

    return wrapper


@logged
def clean(
    raw,
    size,
):
    """Clean."""
    return raw


class Fit:
    def __call__(self, table):
        return table
'''
PIPELINE = """
import functools
from treadle import Pipeline, node
from .nodes import Fit, clean, logged


def create_pipeline():
    return Pipeline([
        node(functools.partial(clean, size=1), "raw", "table", name="clean", tags=["b", "a"]),
        node(Fit(), "table", "model_pkl", namespace="train"),
        node(len, "model_pkl", "count", name="count", confirms="raw"),
    ])
"""
OTHER = "raise RuntimeError('this pipeline is not wanted')\ndef create_pipeline(): ...\n"
CATALOG = """
raw: {type: pandas.CSVDataset, filepath: "https://user:hunter2@example.org/raw.csv?sig=hunter2#hunter2", versioned: true}
unused: {type: CachedDataset, dataset: {type: not.there.Dataset, filepath: "ROOT/data/unused.bin"}}
day: {type: text.TextDataset, filepath: "data/${runtime_params:day,monday}.txt", credentials: storage}
"{name}_pkl": {type: pickle.PickleDataset, filepath: "data/{name}.pkl"}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of two pipelines, one of which cannot be imported; afterwards the process is as it was."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.delenv("TREADLE_ENV", raising=False)
    monkeypatch.setattr(configure._process, "project", None)
    package = f"inspected_{next(_COUNT)}"
    root = tmp_path / "project"
    for name, text in {
        "pyproject.toml": f'[tool.treadle]\npackage_name = "{package}"\nproject_name = "Inspected"\n',
        f"src/{package}/__init__.py": "",
        f"src/{package}/settings.py": "class Hook:\n    pass\nHOOKS = (Hook(),)\n",
        f"src/{package}/pipelines/__init__.py": "",
        f"src/{package}/pipelines/wanted/__init__.py": PIPELINE,
        f"src/{package}/pipelines/wanted/nodes.py": NODES,
        f"src/{package}/pipelines/other.py": OTHER,
        "conf/base/catalog.yml": CATALOG.replace("ROOT", str(root)),
        "conf/base/parameters.yml": "model: {depth: 3, password: hunter2}\n",
        "conf/base/credentials.yml": "storage: ${oc.env:NOT_SET_HERE}\n",
        "conf/prod/parameters.yml": "rate: 1\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    yield root
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]


def test_the_whole_snapshot(project):
    """Everything is described, as the schema says; the pipeline that is not wanted is not imported."""
    found = inspect_project(project, pipelines=["wanted"])
    as_json = json.loads(found.to_json())
    Draft202012Validator(read_schema("snapshot")).validate(as_json)
    assert "hunter2" not in found.to_json()
    package = found.package_name
    assert (found.project_name, found.treadle_version, found.env) == ("Inspected", treadle.__version__, "local")
    assert found.parameters == ("model", "model.depth", "model.password")
    assert found.patterns == ("{name}_pkl",)
    (pipeline,) = as_json["pipelines"]
    assert (pipeline["name"], pipeline["inputs"], pipeline["outputs"]) == ("wanted", ["raw"], ["count"])
    lines = NODES.splitlines()
    first, last = lines.index("@logged") + 1, lines.index("    return raw") + 1
    fit = lines.index("class Fit:") + 1
    file = f"src/{package}/pipelines/wanted/nodes.py"
    assert pipeline["nodes"] == [
        {
            "name": "clean",
            "function": "clean",
            "module": f"{package}.pipelines.wanted.nodes",
            "source": {"file": file, "first_line": first, "last_line": last},
            "namespace": None,
            "tags": ["a", "b"],
            "inputs": ["raw"],
            "outputs": ["table"],
            "confirms": [],
        },
        {
            "name": "train.Fit__model_pkl",
            "function": "Fit",
            "module": f"{package}.pipelines.wanted.nodes",
            "source": {"file": file, "first_line": fit, "last_line": fit + 2},
            "namespace": "train",
            "tags": [],
            "inputs": ["table"],
            "outputs": ["model_pkl"],
            "confirms": [],
        },
        {
            "name": "count",
            "function": "len",
            "module": "builtins",
            "source": None,
            "namespace": None,
            "tags": [],
            "inputs": ["model_pkl"],
            "outputs": ["count"],
            "confirms": ["raw"],
        },
    ]
    assert [(each.name, each.origin, each.type, each.location, each.pattern, each.versioned) for each in found.datasets] == [
        ("raw", "catalog", "pandas.CSVDataset", "https://example.org/raw.csv", None, True),
        ("unused", "catalog", "CachedDataset", "data/unused.bin", None, False),
        ("day", "catalog", "text.TextDataset", "data/monday.txt", None, False),
        ("table", "memory", "MemoryDataset", None, None, False),
        ("model_pkl", "pattern", "pickle.PickleDataset", "data/model.pkl", "{name}_pkl", False),
        ("count", "memory", "MemoryDataset", None, None, False),
    ]


@pytest.mark.parametrize(
    "edited", ['"""\ndef clean(', "def clean(raw, (\n", "\n", "x = [\n" * 40], ids=["text", "call", "empty", "list"]
)
def test_a_file_that_is_being_edited_has_no_source_lines(project, edited):
    """The module was imported before, as in a server; the file is not what it was, and not even valid."""
    inspect_project(project, pipelines=["wanted"])
    (project / "src" / configure._process.project.package_name / "pipelines/wanted/nodes.py").write_text(edited)
    linecache.checkcache()
    (wanted,) = inspect_project(pipelines=["wanted"]).pipelines
    assert [node.function for node in wanted.nodes] == ["clean", "Fit", "len"]


def test_the_shape_of_kedro(project):
    """The same facts in the shape that programs for Kedro read."""
    shape = inspect_project(project, pipelines=["wanted"], env="prod").as_kedro_dict()
    assert shape["metadata"]["project_name"] == "Inspected"
    assert shape["parameters"] == ["model", "rate"]
    assert sorted(shape["datasets"]) == ["day", "model_pkl", "raw", "unused"]
    assert shape["datasets"]["day"] == {"name": "day", "type": "text.TextDataset", "filepath": "data/monday.txt"}
    clean = shape["pipelines"][0]["nodes"][0]
    assert set(clean) == {"name", "func_name", "namespace", "tags", "inputs", "outputs", "source"}
    assert set(clean["source"]) == {"filepath", "line_start", "line_end"}


def test_params_and_the_configured_project(project):
    """Params take part in interpolations; without a path, the project of this process is described."""
    inspect_project(project, pipelines=[])
    found = inspect_project(params={"day": "tuesday"}, pipelines=[])
    assert {each.name: each.location for each in found.datasets}["day"] == "data/tuesday.txt"
    assert found.pipelines == ()


def test_what_is_wrong_is_an_error(project):
    """A broken pipeline, an unknown name, an unknown environment and a wrong entry raise the errors that a run raises."""
    with pytest.raises(treadle.ProjectError, match="this pipeline is not wanted"):
        inspect_project(project)
    with pytest.raises(UnknownNameError, match="Did you mean 'wanted'"):
        inspect_project(project, pipelines=["wantd"])
    with pytest.raises(ConfigError, match="nowhere"):
        inspect_project(project, env="nowhere", pipelines=[])
    (project / "conf/base/catalog.yml").write_text("wrong: {filepath: x}\n")
    with pytest.raises(DatasetError, match=r"catalog\.yml.*line 1.*has no `type`"):
        inspect_project(project, pipelines=[])


def test_no_more_is_imported_than_needed(project):
    """Neither the libraries of datasets nor those of runs are imported."""
    script = (
        "import sys, treadle\n"
        "treadle.inspect_project(sys.argv[1], pipelines=['wanted'])\n"
        "print(*sorted({'pandas', 'pyarrow', 'numpy', 'loky', 'sqlalchemy', 'cloudpickle', 'rich'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script, project], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.split() == []
