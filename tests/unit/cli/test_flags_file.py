"""Flags from a file."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from treadle.cli.flags_file import fill_flags
from treadle.cli.run import run
from treadle.errors import ConfigError


@pytest.fixture
def flags(tmp_path):
    """Parse a command line against a flags file, and return the values of `treadle run`'s flags that were set."""

    def parse(content, *arguments, name="nightly.yml"):
        file = tmp_path / name
        file.write_text(content)
        context = run.make_context("run", ["--config", str(file), *arguments])
        return {name: value for name, value in context.params.items() if value not in (None, (), False)}

    return parse


def test_a_file_fills_flags(flags):
    """Keys are flags by any of their names, at the top; lists and mappings are taken as they are."""
    content = """
runner: parallel
runner-params: {max_workers: 2, start_method: spawn}
pipeline: [train, report]
tags: fast,small
from_nodes: [fit]
params: {model: {depth: 5}}
load_versions: {model: v1}
async: true
"""
    assert flags(content) == {
        "runner": "parallel",
        "runner_params": ({"max_workers": 2, "start_method": "spawn"},),
        "pipelines": (("train", "report"),),
        "tags": (("fast", "small"),),
        "from_nodes": (("fit",),),
        "params": ({"model": {"depth": 5}},),
        "load_versions": ({"model": "v1"},),
        "is_async": True,
    }


def test_the_command_line_wins(flags):
    """What the command line gives is not taken from the file; keys under `run:` count as those at the top."""
    assert flags("run:\n  runner: thread\n  env: prod\n", "--runner", "parallel") == {"runner": "parallel", "env": "prod"}


def test_json_and_empty_files(flags):
    """JSON is read too, and an empty file sets nothing."""
    assert flags('{"run": {"only-missing-outputs": true, "env": null}}', name="nightly.json") == {"only_missing_outputs": True}
    assert flags("") == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("runer: parallel", "'runer', which is not a flag of `treadle run`. Did you mean 'runner'?"),
        ("zzz: 1", "The flags are: "),
        ("config: other.yml", "'config', which is not a flag"),
        ("- runner", "has a list at its top level"),
        ("run: {runner: [", "nightly.yml, line 2, column 1 is not valid YAML"),
        ("tags: \x00", "is not valid YAML: control characters are not allowed"),
        ("runner: thread\nrunner: parallel", "nightly.yml, line 2: the key 'runner' is a duplicate of the one on line 1"),
        ("env: 2024", "sets 'env' to 2024, a int. Write a string, in quotes"),
        ("tags: [0644]", "420 is a int, but a string is expected. Write it in quotes"),
        ("nodes: [no]", "False is a bool, but a string is expected"),
        ("load_versions: {model: 2024}", "2024 is a int, but a string is expected"),
    ],
)
def test_a_wrong_file_is_an_error_that_names_it(flags, content, said):
    """A key that is no flag, and a file that is no YAML, are errors with the file's name and what to do."""
    with pytest.raises(ConfigError, match=r"nightly\.yml") as caught:
        flags(content)
    assert said in str(caught.value)


def test_a_file_that_is_not_there():
    """A path to no file is wrong usage."""
    result = CliRunner().invoke(run, ["--config", "nowhere.yml"])
    assert (result.exit_code, "nowhere.yml" in result.output) == (2, True)


def test_a_value_of_the_wrong_kind(flags):
    """A value that its flag does not take is an error that names file, key and value."""
    with pytest.raises(ConfigError, match=r"nightly\.yml sets 'params' to 5.*not a mapping") as caught:
        flags("params: 5")
    assert caught.value.key == "params"
    with pytest.raises(ConfigError, match=r"nightly\.yml sets 'params' to 'depth'.*key=value"):
        flags("params: depth")


def test_no_file_changes_nothing():
    """Without the option a command keeps its defaults."""
    context = click.Context(run)
    assert fill_flags(context, run.params[0], None) is None
    assert context.default_map is None
