"""A project's own commands: those of the click group `cli` in its `cli.py`."""

from __future__ import annotations

import pytest

from treadle.cli.main import main

CLI = '''
import click

from treadle.cli.run import run as treadle_run


@click.group()
def cli() -> None:
    """Commands of the shop."""


@cli.command()
@click.option("--loud", is_flag=True)
def greet(loud: bool) -> int:
    """Greet the customers."""
    click.echo("HELLO" if loud else "hello")
    return 5


@cli.command()
@click.pass_context
def run(context: click.Context) -> None:
    """Run the shop, quietly."""
    click.echo("our own run")
    context.exit(9)
'''


def test_a_project_adds_a_command(make_project, capsys):
    """A command of the project's group is one of treadle's within the project, with its own flags and help."""
    make_project(cli=CLI)
    assert main(["greet", "--loud"]) == 0
    assert capsys.readouterr().out == "HELLO\n"
    assert main(["greet", "--help"]) == 0
    assert "Greet the customers" in capsys.readouterr().out


def test_a_project_overrides_a_command(make_project, capsys):
    """A command that is named like one of ours takes its place, and its exit code counts."""
    make_project(cli=CLI)
    assert main(["run"]) == 9
    assert capsys.readouterr().out == "our own run\n"


def test_help_lists_them_apart(make_project, capsys):
    """Help lists the project's commands under a heading of their own, and ours without those that it replaces."""
    make_project(cli=CLI)
    assert main(["--help"]) == 0
    output = capsys.readouterr().out
    ours, _, own = output.partition("Commands of this project:")
    assert "  greet  Greet the customers." in own
    assert "  run    Run the shop, quietly." in own
    assert "\n  run " not in ours
    assert "\n  sessions " in ours


def test_a_misspelt_one_is_suggested(make_project, capsys):
    """The project's commands are among the close matches."""
    make_project(cli=CLI)
    assert main(["gree"]) == 2
    assert "Did you mean 'greet'?" in capsys.readouterr().err


def test_outside_of_the_project_there_are_none(make_project, tmp_path, monkeypatch, capsys):
    """Elsewhere the project's commands do not exist."""
    make_project(cli=CLI)
    monkeypatch.chdir(tmp_path)
    assert main(["greet"]) == 2


@pytest.mark.parametrize("content", ["import argparse\n", "from click import echo\n"])
def test_a_cli_of_another_kind_is_left_alone(make_project, capsys, content):
    """A module of that name without any click command is the project's own business."""
    make_project(cli=content)
    assert main(["info"]) == 0


def test_help_shows_what_is_wrong_with_them(make_project, capsys):
    """Help still comes where the project's commands cannot be imported, and says why they are not there."""
    make_project(cli="import nowhere\n")
    assert main(["--help"]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "No module named 'nowhere'" in output
    assert "Create a new project." in output


def test_a_broken_project_does_not_keep_from_making_another(make_project, tmp_path, capsys):
    """`treadle new` works inside a project whose commands are broken."""
    make_project(cli="import nowhere\n")
    assert main(["new", str(tmp_path / "another")]) == 0
    assert (tmp_path / "another" / "pyproject.toml").is_file()
