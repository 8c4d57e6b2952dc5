"""What the shell completes; the shell's own part is click's."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.shell_completion import ShellComplete

from treadle.cli.main import main, treadle_command

REGISTRY = """
from treadle import Pipeline, node


def register_pipelines():
    first = Pipeline([node(len, "orders", "size", name="measure", tags="small", namespace="shop")])
    return {"__default__": first, "first": first, "second": Pipeline([node(str, "size", "note", name="write")])}
"""


@pytest.fixture
def complete(make_project):
    """`complete("run", "--nodes", "")`: what is offered for the last word."""
    root = make_project(pipeline_registry=REGISTRY)
    for env in ("base", "local", "prod"):
        (root / "conf" / env).mkdir(parents=True)

    def offered(*words):
        completer = ShellComplete(treadle_command, {}, "treadle", "_TREADLE_COMPLETE")
        return [item.value for item in completer.get_completions(list(words[:-1]), words[-1])]

    offered.root = root
    return offered


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["reg"], ["registry"]),
        (["registry", ""], ["describe", "list", "snapshot"]),
        (["run", "--pipelines", ""], ["__default__", "first", "second"]),
        (["run", "--pipelines", "first,s"], ["first,second"]),
        (["run", "--nodes", ""], ["shop.measure"]),
        (["run", "--pipelines", "second", "--nodes", ""], ["write"]),
        (["run", "--tags", "s"], ["small"]),
        (["run", "--namespaces", ""], ["shop"]),
        (["run", "--to-outputs", "s"], ["size"]),
        (["run", "--env", ""], ["base", "local", "prod"]),
        (["run", "--runner", "p"], ["parallel"]),
        (["check", "--start-method", "spa"], ["spawn"]),
        (["registry", "describe", "f"], ["first"]),
        (["sessions", "show", ""], []),
    ],
)
def test_names_are_completed(complete, words, expected):
    """Commands, pipelines, nodes, tags, namespaces, datasets, environments, runners and start methods."""
    assert complete(*words) == expected


def test_sessions_are_completed(complete):
    """The ids of sessions that were kept."""
    main(["run", "--pipelines", "second"])
    (session_id,) = complete("sessions", "show", "")
    assert complete("sessions", "rerun", session_id[:4]) == [session_id]


def test_a_broken_project_offers_nothing(complete):
    """An error in the project does not disturb the prompt."""
    (package,) = (complete.root / "src").iterdir()
    (package / "pipeline_registry.py").write_text("import nowhere\n")
    assert complete("run", "--nodes", "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_that_switches_it_on(shell):
    """Each shell gets its script from the command itself, as the documentation says."""
    done = subprocess.run(
        [sys.executable, "-c", "from treadle.cli.main import main; main([])"],
        env={"_TREADLE_COMPLETE": f"{shell}_source", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "_TREADLE_COMPLETE" in done.stdout or "Shell completion is not supported for Bash" in done.stderr
