"""`treadle pipeline create` and `delete`: the files of one pipeline in a project."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest
from click.testing import CliRunner

from treadle.cli.invocation import Invocation
from treadle.cli.main import main, treadle_command

FINDING = "from treadle.project import find_pipelines\ndef register_pipelines():\n    return find_pipelines()\n"


@pytest.fixture
def root(make_project):
    """A project whose registry finds its pipelines."""
    return make_project(pipeline_registry=FINDING)


def files(root):
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts}


def test_a_new_pipeline_is_registered_and_tested(root, capsys):
    """Nodes, wiring, parameters and a test are made; the registry finds it, and its test passes."""
    before = files(root)
    (package,) = (root / "src").iterdir()
    assert main(["pipeline", "create", "shipping"]) == 0
    code = f"src/{package.name}/pipelines"
    assert files(root) - before == {
        f"{code}/__init__.py",
        f"{code}/shipping/__init__.py",
        f"{code}/shipping/nodes.py",
        f"{code}/shipping/pipeline.py",
        "conf/base/parameters_shipping.yml",
        "tests/test_shipping.py",
    }
    assert "treadle run --pipelines shipping" in capsys.readouterr().out
    assert main(["registry", "describe", "shipping"]) == 0
    script = "import runpy; runpy.run_path('tests/test_shipping.py')['test_the_pipeline_can_be_made']()"
    subprocess.run([sys.executable, "-c", script], cwd=root, env={"PYTHONPATH": str(root / "src")}, timeout=60, check=True)


def test_a_registry_that_does_not_find_it(make_project, capsys):
    """Where the registry names its pipelines one by one, the user is told to add this one."""
    make_project(pipeline_registry="def register_pipelines():\n    return {}\n")
    assert main(["pipeline", "create", "shipping"]) == 0
    assert "Register it" in capsys.readouterr().out


@pytest.mark.parametrize("present", ["conf/local/parameters_shipping.yml", "tests/test_shipping.py"])
def test_nothing_is_overwritten(root, capsys, present):
    """A file that carries the pipeline's name keeps it from being made, and nothing else is made either."""
    (root / present).parent.mkdir(parents=True, exist_ok=True)
    (root / present).write_text("mine")
    before = files(root)
    assert main(["pipeline", "create", "shipping"]) == 2
    assert present in capsys.readouterr().err
    assert files(root) == before
    assert (root / present).read_text() == "mine"


def test_delete_takes_all_of_it(root, capsys):
    """Deleting takes code, parameters, catalog and test of that name in every environment, and nothing of another pipeline."""
    main(["pipeline", "create", "returns"])
    before = files(root)
    main(["pipeline", "create", "shipping"])
    for environment in ("prod", "prod/eu"):
        (root / "conf" / environment).mkdir()
        (root / "conf" / environment / "catalog_shipping.yml").write_text("")
    assert main(["pipeline", "delete", "shipping", "--yes"]) == 0
    assert files(root) == before
    assert "catalog_shipping.yml" in capsys.readouterr().out


@pytest.mark.parametrize(("answer", "left"), [("n\n", True), ("y\n", False)])
def test_delete_asks_first(root, answer, left):
    """Without --yes what will go is listed, and the answer counts."""
    main(["pipeline", "create", "shipping"])
    done = CliRunner().invoke(treadle_command, ["pipeline", "delete", "shipping"], input=answer, obj=Invocation())
    assert done.exit_code == 0
    assert "parameters_shipping.yml" in done.output
    assert (root / "tests" / "test_shipping.py").exists() is left


@pytest.mark.parametrize("closed", [False, True])
def test_delete_where_nobody_can_answer(root, closed):
    """Where standard input is at its end, or closed, one error names --yes, and nothing is deleted."""
    main(["pipeline", "create", "shipping"])
    before = files(root)
    command = f"{shlex.quote(sys.executable)} -m treadle pipeline delete shipping {'<&-' if closed else '</dev/null'}"
    done = subprocess.run(["sh", "-c", command], cwd=root, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "No file was deleted" in done.stderr
    assert "treadle pipeline delete shipping --yes" in done.stderr
    assert "Traceback" not in done.stderr
    assert files(root) == before


def test_delete_suggests(root, capsys):
    """A misspelt pipeline has close matches, and nothing is deleted."""
    main(["pipeline", "create", "shipping"])
    before = files(root)
    assert main(["pipeline", "delete", "shiping", "-y"]) == 2
    assert "Did you mean 'shipping'?" in capsys.readouterr().err
    assert files(root) == before


@pytest.mark.parametrize(
    ("name", "reason"), [("class", "is a Python keyword"), ("json", "a module of the standard library has that")]
)
def test_names_that_would_shadow_something(root, capsys, name, reason):
    """A keyword cannot be imported; a pipeline with the name of a standard module would shadow it. Nothing is made."""
    before = files(root)
    assert main(["pipeline", "create", name]) == 2
    said = capsys.readouterr().err
    assert reason in said
    assert f"Try '{name}_project'" in said
    assert files(root) == before
