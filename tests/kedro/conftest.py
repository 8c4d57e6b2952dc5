"""Fixtures of the Kedro tests: real projects, copied to temporary folders and run with the `kedro` command.

The project `mill` uses every feature of Kedro. The project `lane` has a custom catalog class, and nodes that fail in different
ways. A third project is created by `kedro new`. This module does not import Kedro: without it the tests are skipped.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

PROJECTS = Path(__file__).parent / "projects"
START_METHODS = tuple(os.environ.get("START_METHODS_UNDER_TEST", "fork,spawn,forkserver,loky").split(","))
DEADLINE = 120
"""Seconds after which a process counts as hanging."""
_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}T[\d.]+Z")
_ADDRESS = re.compile(r"0x[0-9a-f]+")


def has_flag(flag):
    """Return whether `kedro run` of the installed version has a flag; `--runner-params` and `--pipelines` are newer than 1.0."""
    kedro = Path(find_spec("kedro").origin).parent
    return f'"{flag}"' in (kedro / "framework/cli/project.py").read_text(encoding="utf-8")


def for_installed_kedro(arguments):
    """Convert flags to those of the installed version of Kedro."""
    return arguments if has_flag("--pipelines") else [each.replace("--pipelines=", "--pipeline=") for each in arguments]


@dataclass(frozen=True)
class Project:
    """A project on disk, with the files that its runs wrote."""

    root: Path

    def environment(self, **extra):
        """Return the environment variables for commands: no telemetry, no warnings, the test plugin on the path."""
        python_path = os.pathsep.join([str(PROJECTS / "plugin"), *filter(None, [os.environ.get("PYTHONPATH")])])
        quiet = {"KEDRO_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1", "PYTHONWARNINGS": "ignore", "COLUMNS": "400"}
        inherited = {
            name: value for name, value in os.environ.items() if name not in ("TREADLE_START_METHOD", "KEDRO_MP_CONTEXT")
        }
        return {**inherited, **quiet, "PYTHONPATH": python_path, **extra}

    def command(self, *arguments, **extra):
        """Run a Python command in the project's folder."""
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env=self.environment(**extra),
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    def kedro(self, *arguments, fails=False, **extra):
        """Run `kedro run`, and check that it succeeds (or fails, with `fails=True`)."""
        done = self.command("-m", "kedro", "run", *for_installed_kedro(arguments), **extra)
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done

    def treadle(self, method, *arguments, fails=False, **extra):
        """Run `kedro run` with Treadle's runner; with two workers if Kedro has a flag for that."""
        runner = ["--runner=treadle.kedro.ParallelRunner"]
        if has_flag("--runner-params"):
            runner.append(f"--runner-params=max_workers=2,start_method={method}")
        else:
            extra["TREADLE_START_METHOD"] = method
        return self.kedro(*runner, *arguments, fails=fails, **extra)

    def script(self, text, **extra):
        """Run a script in the project's folder."""
        (self.root / "script.py").write_text(text, encoding="utf-8")
        done = self.command("script.py", **extra)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def lines(self, name):
        """Return the lines of a file that a run wrote; none if there is no such file."""
        path = self.root / name
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def records(self, name):
        """Return the JSON lines of a file that a run wrote."""
        return [json.loads(line) for line in self.lines(name)]

    def events(self, name="hooks.jsonl"):
        """Return the records of hooks with their counts, without process ids."""
        return Counter(json.dumps({key: value for key, value in record.items() if key != "pid"}) for record in self.records(name))

    def node_events(self):
        """Return the records of hooks for each node, in order."""
        records = {}
        for record in self.records("hooks.jsonl"):
            if "node" in record:
                records.setdefault(record["node"], []).append({key: value for key, value in record.items() if key != "pid"})
        return records

    def log(self):
        """Return the lines of the log file with their counts."""
        return Counter(_ADDRESS.sub("0x", line) for line in self.lines("project.log"))

    def files(self):
        """Return the content of every file under data/, with the time of versions replaced."""
        data = self.root / "data"
        return {
            _VERSION.sub("VERSION", str(path.relative_to(data))): path.read_bytes() for path in data.rglob("*") if path.is_file()
        }


@pytest.fixture(scope="session")
def spelled():
    """`spelled(arguments)`: convert flags to those of the installed version of Kedro."""
    return for_installed_kedro


@pytest.fixture(scope="session", name="has_flag")
def has_flag_fixture():
    """`has_flag("--runner-params")`: whether `kedro run` of the installed version has a flag."""
    return has_flag


@pytest.fixture(scope="session")
def spelled_arguments():
    """`spelled_arguments(arguments)`: convert arguments of `session.run` to those of the installed version of Kedro."""

    def spell(arguments):
        if has_flag("--pipelines") or "pipeline_names" not in arguments:
            return arguments
        (name,) = arguments["pipeline_names"]
        return {**{key: value for key, value in arguments.items() if key != "pipeline_names"}, "pipeline_name": name}

    return spell


@pytest.fixture(scope="session")
def make_project(tmp_path_factory):
    """`make_project("mill")`: a new copy of a project."""

    def make(name):
        root = tmp_path_factory.mktemp(name) / name
        shutil.copytree(PROJECTS / name, root, ignore=shutil.ignore_patterns("__pycache__"))
        return Project(root)

    return make


@pytest.fixture
def lane(make_project):
    """A new copy of the lane project."""
    return make_project("lane")


@pytest.fixture(scope="session", params=START_METHODS)
def method(request):
    """Each start method; only those in START_METHODS_UNDER_TEST if that is set."""
    return request.param


@pytest.fixture(scope="session")
def sequential_mill(make_project):
    """The mill project after `kedro run` with Kedro's SequentialRunner."""
    project = make_project("mill")
    project.kedro()
    return project


@pytest.fixture(scope="session")
def parallel_mill(method, make_project):
    """The mill project after `kedro run` with Treadle's runner, under each start method."""
    project = make_project("mill")
    project.treadle(method)
    return project


@pytest.fixture(scope="session")
def sequential_lane(make_project):
    """The lane project after `kedro run --async` with Kedro's SequentialRunner, hooks counting."""
    project = make_project("lane")
    project.kedro("--async", LANE_HOOKS="counting")
    return project


@pytest.fixture(scope="session")
def lane_runs(method, make_project):
    """The files of each pipeline of the lane project; one process per start method runs them one after the other."""
    again = {"pipeline_names": ["versions"], "from_nodes": ["recall"], "from_inputs": ["history"]}
    names = ("versions", "stopping", "resuming", "kill", "stubborn", "leave", "fail", "absent")
    last = {"versions again": again, "aloud": {"pipeline_names": ["aloud"]}}
    runs = {"default": {}, **{name: {"pipeline_names": [name]} for name in names}, **last}
    project = make_project("lane")
    done = project.command(str(Path(__file__).parent / "run_pipelines.py"), method, json.dumps(runs))
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: Project(project.root / "left" / name) for name in runs}


@pytest.fixture(scope="session")
def warm_runner(method):
    """Treadle's runner with two workers that stay warm between tests, under each start method."""
    from treadle.kedro import ParallelRunner

    with ParallelRunner(max_workers=2, start_method=method) as runner:
        yield runner


@pytest.fixture(scope="session")
def knots():
    """The module `knots` with functions of nodes, importable here and in workers."""
    source = str(PROJECTS / "library")
    sys.path.insert(0, source)
    import knots as module

    yield module
    sys.path.remove(source)
    del sys.modules["knots"]


@pytest.fixture
def run(warm_runner, knots):
    """`run(nodes, {"name": dataset or value})`: run nodes on two workers, and return the loaded outputs."""
    from kedro.io import AbstractDataset, DataCatalog, MemoryDataset
    from kedro.pipeline import pipeline

    def start(nodes, entries, *arguments, **more):
        datasets = {
            name: value if isinstance(value, AbstractDataset) else MemoryDataset(value) for name, value in entries.items()
        }
        outputs = warm_runner.run(pipeline(nodes), DataCatalog(datasets), *arguments, **more)
        return {name: dataset.load() for name, dataset in outputs.items()}

    return start
