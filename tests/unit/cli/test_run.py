"""`treadle run`: what each flag hands to the session. The session here is a project's own SESSION_CLASS, which writes it down."""

from __future__ import annotations

import json
import logging

import pytest

from treadle.cli.main import main

SETTINGS = """
import json
from pathlib import Path


class SESSION_CLASS:
    @classmethod
    def create(cls, project_path, **arguments):
        session = cls()
        session.told = {"project_path": str(project_path), **arguments}
        return session

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.told["closed"] = True
        Path(self.told["project_path"], "told.json").write_text(json.dumps(self.told))

    def run(self, *, observers, **arguments):
        self.told["observers"] = [type(observer).__name__ for observer in observers]
        self.told["run"] = arguments
"""

NOTHING = {
    "pipeline_names": None,
    "tags": None,
    "runner": None,
    "node_names": None,
    "from_nodes": None,
    "to_nodes": None,
    "from_inputs": None,
    "to_outputs": None,
    "load_versions": None,
    "namespaces": None,
    "only_missing_outputs": False,
    "on_failure": None,
    "runner_params": None,
}


@pytest.fixture
def told(make_project):
    """Run the command in a project, and return what its session was told."""
    root = make_project(settings=SETTINGS)

    def run(*flags):
        assert main(["run", *flags]) == 0
        return json.loads((root / "told.json").read_text())

    run.root = root
    return run


def test_no_flags(told):
    """Without flags everything is left to the session, which is told where it is and how it was called, and is closed."""
    assert told() == {
        "project_path": str(told.root),
        "save_on_close": True,
        "env": None,
        "extra_params": None,
        "conf_source": None,
        "command": "treadle run",
        "observers": ["LogObserver"],
        "run": NOTHING,
        "closed": True,
    }


def test_no_record(told):
    """The session keeps none."""
    assert told("--no-record")["save_on_close"] is False


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("--pipelines train,report", {"pipeline_names": ["train", "report"]}),
        ("--pipeline train -p report", {"pipeline_names": ["train", "report"]}),
        ("--runner parallel", {"runner": "parallel"}),
        ("-r thread --runner-params max_workers=4", {"runner": "thread", "runner_params": {"max_workers": 4}}),
        ("--runner-params max_workers=4,start_method=spawn", {"runner_params": {"max_workers": 4, "start_method": "spawn"}}),
        ("--async", {"runner_params": {"is_async": True}}),
        ("--async --runner-params max_workers=2", {"runner_params": {"max_workers": 2, "is_async": True}}),
        ("--tags fast,small -t big", {"tags": ["fast", "small", "big"]}),
        ("--nodes fit,score --node plot", {"node_names": ["fit", "score", "plot"]}),
        ("--from-nodes fit --to-nodes score", {"from_nodes": ["fit"], "to_nodes": ["score"]}),
        ("--from-inputs table --to-outputs model", {"from_inputs": ["table"], "to_outputs": ["model"]}),
        ("--load-versions model:v1,table:v2", {"load_versions": {"model": "v1", "table": "v2"}}),
        ("--namespaces jfk,lga", {"namespaces": ["jfk", "lga"]}),
        ("--only-missing-outputs", {"only_missing_outputs": True}),
        ("--on-failure continue", {"on_failure": "continue"}),
    ],
)
def test_each_flag_reaches_the_run(told, flags, expected):
    """Each flag is handed on by the name that Session.run has for it, as lists and typed values."""
    assert told(*flags.split())["run"] == {**NOTHING, **expected}


def test_flags_of_the_session(told):
    """The environment, the params, the source of configuration and the command as typed go to the session itself."""
    session = told(
        "--env", "prod", "--params", "model.depth=5", "--params", "model.rate=0.5,city=New York", "--conf-source", "other"
    )
    assert session["env"] == "prod"
    assert session["extra_params"] == {"model": {"depth": 5, "rate": 0.5}, "city": "New York"}
    assert session["conf_source"] == "other"
    assert session["command"].startswith("treadle run --env prod --params model.depth=5 --params 'model.rate=0.5,city=New York'")


def test_flags_from_a_file(told):
    """A file fills the flags that the command line does not give."""
    (told.root / "notebooks" / "nightly.yml").write_text("runner: parallel\nenv: prod\nrunner_params: {max_workers: 2}\n")
    session = told("--config", "nightly.yml", "--env", "test")
    assert (session["env"], session["run"]["runner"], session["run"]["runner_params"]) == ("test", "parallel", {"max_workers": 2})
    assert session["command"] == "treadle run --config nightly.yml --env test"


def test_no_project(tmp_path, monkeypatch, capsys):
    """Outside of a project the command ends with code 2, and says what is missing."""
    monkeypatch.chdir(tmp_path)
    assert main(["run"]) == 2
    assert "pyproject.toml" in capsys.readouterr().err


def test_params_that_are_no_params(told, capsys):
    """Params that cannot be read end the command with code 2, before any session."""
    assert main(["run", "--params", "depth"]) == 2
    assert "depth" in capsys.readouterr().err
    assert not (told.root / "told.json").exists()


def test_logging_is_set_up_as_the_project_says(told, capsys):
    """The project's logging.yml decides what is logged where; a folder given by --conf-source has its own."""
    for folder, mark in (("conf", "own"), ("other", "given")):
        (told.root / folder).mkdir()
        (told.root / folder / "logging.yml").write_text(
            f"formatters: {{marked: {{format: '{mark} %(message)s'}}}}\n"
            "handlers: {screen: {class: logging.StreamHandler, formatter: marked}}\n"
            "root: {level: INFO, handlers: [screen]}\n"
        )
    told()
    logging.getLogger("anybody").info("hello")
    told("--conf-source", "other")
    logging.getLogger("anybody").info("hello")
    assert capsys.readouterr().err == "own hello\ngiven hello\n"


def test_workers(told):
    """`--workers` is how many nodes run at a time; more than one means the parallel runner, unless another is named."""
    assert told("--workers", "3")["run"]["runner"] == "parallel"
    several = told("--workers", "3", "--runner", "thread", "--runner-params", "is_async=true")["run"]
    assert (several["runner"], several["runner_params"]) == ("thread", {"is_async": True, "max_workers": 3})
    one = told("--workers", "1")["run"]
    assert (one["runner"], one["runner_params"]) == (None, {"max_workers": 1})


@pytest.mark.parametrize("before", [True, False])
def test_a_project_that_is_elsewhere(told, monkeypatch, tmp_path, before):
    """`--project` names the project, before the command or after it, by its folder or one in it."""
    monkeypatch.chdir(tmp_path)
    flag = ["--project", str(told.root / "src")]
    assert main([*flag, "run"] if before else ["run", *flag]) == 0
    assert json.loads((told.root / "told.json").read_text())["project_path"] == str(told.root)


@pytest.mark.parametrize(("flag", "level"), [("--quiet", logging.WARNING), ("-q", logging.WARNING), ("-v", logging.DEBUG)])
def test_how_much_is_shown(told, flag, level):
    """Quiet shows warnings and errors, verbose everything, of Treadle and of the project's package."""
    told(flag)
    package = next(path.name for path in (told.root / "src").iterdir())
    assert [logging.getLogger(name).level for name in ("treadle", package)] == [level, level]
