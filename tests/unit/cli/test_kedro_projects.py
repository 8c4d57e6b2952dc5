"""Commands of Treadle's own projects in a Kedro project."""

from __future__ import annotations

import pytest

from treadle.cli.main import main

HOOKS = "class Hooks:\n    def after_dataset_saved(self): ...\n\nHOOKS = (Hooks(),)\n"
REGISTRY = "def register_pipelines():\n    raise RuntimeError('Call configure_project first')\n"


@pytest.fixture
def kedro_project(make_project):
    """A project that records its Kedro runs, with hooks and a registry that Treadle's own commands cannot use."""
    root = make_project(settings=HOOKS, pipeline_registry=REGISTRY)
    with (root / "pyproject.toml").open("a") as file:
        file.write('[tool.kedro]\npackage_name = "any"\n')
    return root


@pytest.mark.usefixtures("kedro_project")
@pytest.mark.parametrize(
    ("words", "instead"),
    [
        ("run", "this command is `kedro run --runner=treadle.kedro.ParallelRunner`"),
        ("status", "this command is `kedro treadle status`"),
        ("explain any", "this command is `kedro treadle explain`"),
        ("registry list", "this command is `kedro registry`"),
        ("catalog list", "this command is `kedro catalog`"),
        ("check", "use `kedro run --runner=treadle.kedro.ParallelRunner`"),
    ],
)
def test_the_command_of_kedro_is_named(capsys, words, instead):
    """The error names the command that works there, besides what is wrong."""
    assert main(words.split()) == 2
    assert f"In a Kedro project, {instead}." in capsys.readouterr().err


@pytest.mark.usefixtures("kedro_project")
@pytest.mark.parametrize("words", ["sessions show 1999", "report 1999", "rnu", "run --env=nowhere --no-such-flag"])
def test_other_errors_have_no_such_note(capsys, words):
    """Commands that read records work there, and wrong words are wrong everywhere."""
    assert main(words.split()) == 2
    assert "In a Kedro project" not in capsys.readouterr().err


def test_a_project_of_treadles_own_is_no_kedro_project(make_project, capsys):
    make_project(settings=HOOKS)
    assert main(["run"]) == 2
    assert "In a Kedro project" not in capsys.readouterr().err
