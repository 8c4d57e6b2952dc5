"""What installed packages offer by entry point: runners, types of datasets and commands; hooks have tests of their own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.metadata import Distribution
from pathlib import Path

import pytest

import treadle
from treadle import Runner
from treadle.cli.main import main
from treadle.errors import DatasetError, RunnerError
from treadle.execution.runners.registry import make_runner, runner_names
from treadle.io.recipe import DatasetRecipe
from treadle.plugins import GROUPS, RUNNERS, find_offer, offered, plugin_name

CODE = """
from pathlib import Path

import click

from treadle import Dataset, SequentialRunner


class CarefulRunner(SequentialRunner):
    name = "careful"


class LinesDataset(Dataset):
    def __init__(self, filepath):
        self.filepath = filepath

    def load(self):
        return Path(self.filepath).read_text().splitlines()

    def save(self, data):
        Path(self.filepath).write_text("\\n".join(data))


@click.command()
@click.argument("name")
def greet(name):
    "Greet somebody."
    click.echo(f"Hello {name}")
    return 7


nothing = 3
"""
ENTRIES = """
[treadle.runners]
careful = demo_offers:CarefulRunner
missing = demo_offers:MissingRunner
other = demo_offers:LinesDataset

[treadle.datasets]
demo.LinesDataset = demo_offers:LinesDataset
demo.MissingDataset = demo_offers:MissingDataset
demo.Nothing = demo_offers:nothing

[treadle.commands]
greet = demo_offers:greet
missing = demo_offers:missing
nothing = demo_offers:nothing
info = demo_offers:greet
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """An installed package with offers in each group, some of them broken."""
    site = tmp_path / "site"
    info = site / "demo_offers-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: demo-offers\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    (site / "demo_offers.py").write_text(CODE)
    monkeypatch.syspath_prepend(site)
    monkeypatch.chdir(tmp_path)
    yield site
    sys.modules.pop("demo_offers", None)


def test_offers_are_found_and_not_imported(plugin):
    """Entry points are found by group and name, with who offers them, and nothing is imported for it."""
    names = [plugin_name(entry) for group in GROUPS for entry in offered(group) if entry.value.startswith("demo_offers")]
    assert names[:4] == ["demo-offers:greet", "demo-offers:info", "demo-offers:missing", "demo-offers:nothing"]
    assert find_offer("treadle.runners", "careful").value == "demo_offers:CarefulRunner"
    assert find_offer("treadle.runners", "nobody") is None
    assert "demo_offers" not in sys.modules


def test_a_plugin_runner_by_its_name(plugin):
    """A runner that a plugin offers is made by the entry point's name."""
    made = make_runner("careful")
    assert isinstance(made, Runner)
    assert (made.name, runner_names()[:3]) == ("careful", ("sequential", "thread", "parallel"))
    assert "careful" in runner_names()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("carefull", "Did you mean 'careful'"),
        ("missing", "demo-offers:missing .* cannot be imported"),
        ("other", "does not take these parameters|is not a Runner class"),
    ],
)
def test_a_runner_that_is_none(plugin, name, said):
    """A misspelt, broken or wrong runner of a plugin is an error that names it."""
    with pytest.raises(RunnerError, match=said):
        make_runner(name)


def test_a_plugin_dataset_by_its_type(plugin, tmp_path):
    """A catalog entry may have the entry point's name as its type."""
    made = DatasetRecipe("x", {"type": "demo.LinesDataset", "filepath": "x.txt"}, project_path=str(tmp_path)).build()
    made.save(["a", "b"])
    assert made.load() == ["a", "b"]
    assert (tmp_path / "x.txt").read_text() == "a\nb"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("demo.LineDataset", "Did you mean 'demo.LinesDataset'"),
        ("demo.MissingDataset", "demo-offers:demo.MissingDataset .* cannot be imported"),
        ("demo.Nothing", "is a int, not a class"),
    ],
)
def test_a_type_that_is_none(plugin, kind, said):
    """A misspelt, broken or wrong type of a plugin is an error that names dataset and plugin."""
    with pytest.raises(DatasetError, match=said) as caught:
        DatasetRecipe("x", {"type": kind}).build()
    assert caught.value.dataset == "x"


def test_a_plugin_command(plugin, capsys):
    """A command that a plugin offers is one of treadle's, and what it returns is no exit code."""
    assert main(["greet", "Ada"]) == 0
    assert capsys.readouterr().out == "Hello Ada\n"


def test_help_lists_plugin_commands(plugin, capsys):
    """Help lists them under a heading of their own; one that is broken says so there, and ours are not replaced."""
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out.partition("Commands of plugins:")[2]
    assert "greet    Greet somebody." in listed
    assert "cannot be" in listed
    assert "info" not in listed.partition("Exit codes")[0]


@pytest.mark.parametrize(("name", "said"), [("missing", "cannot be imported"), ("nothing", "not a click command")])
def test_a_command_that_is_none(plugin, capsys, name, said):
    """A broken command of a plugin ends with code 2 and names the plugin."""
    assert main([name]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert f"demo-offers:{name}" in error


def test_a_plugin_command_has_close_matches(plugin, capsys):
    """A misspelt command of a plugin is suggested like ours."""
    assert main(["greeet"]) == 2
    assert "Did you mean 'greet'?" in capsys.readouterr().err


def test_info_lists_plugins(plugin, capsys):
    """`treadle info` says who offers what."""
    assert main(["info"]) == 0
    assert "demo-offers 1.0 (commands, runners, datasets)" in capsys.readouterr().out


def test_importlib_metadata_is_imported_only_if_there_are_plugins(plugin, tmp_path):
    """Without a plugin, the metadata of installed packages is only searched for the names of Treadle's groups."""
    code = (
        "from treadle.plugins import RUNNERS, offered\n"
        "sys.path = [path for path in sys.path if 'packages' not in path] + sys.argv[1:]\n"
        "print(len(offered(RUNNERS)), 'importlib.metadata' in sys.modules)"
    )
    empty = tmp_path / "empty"
    (empty / "other-1.0.dist-info").mkdir(parents=True)
    (empty / "other-1.0.dist-info" / "entry_points.txt").write_text("[console_scripts]\nother = other:main\n")
    source = str(Path(treadle.__file__).parent.parent)

    def printed(*folders):
        command = [sys.executable, "-I", "-c", f"import sys; sys.path.append({source!r})\n{code}", *map(str, folders)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()

    assert printed(empty, tmp_path / "missing") == ["0", "False"]
    assert printed(empty, plugin) == ["3", "True"]


def test_plugins_in_archives_and_of_other_finders_are_found(plugin, tmp_path, monkeypatch):
    """Metadata is also read from a zip file on sys.path, and from whatever else provides distributions."""
    archive = shutil.make_archive(str(tmp_path / "archive"), "zip", plugin)
    without = [path for path in sys.path if path != str(plugin)]
    monkeypatch.setattr(sys, "path", [archive, *without])
    assert find_offer(RUNNERS, "careful") is not None
    monkeypatch.setattr(sys, "path", [*without, str(tmp_path / "nowhere")])
    assert find_offer(RUNNERS, "careful") is None

    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            return None

        @staticmethod
        def find_distributions(context):
            return [Distribution.at(plugin / "demo_offers-1.0.dist-info")]

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    monkeypatch.setattr(sys, "path", [*without, str(tmp_path / "nowhere else")])
    assert find_offer(RUNNERS, "careful") is not None
