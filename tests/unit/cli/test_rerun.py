"""`treadle sessions rerun`: a recorded run, repeated."""

from __future__ import annotations

import datetime as dt
import json
import math
import pickle
import shlex
from contextlib import closing

import pytest

from treadle import Session
from treadle.cli.main import main
from treadle.errors import NodeError
from treadle.observe.store import SQLStore
from treadle.observe.store.diff import diff_sessions

REGISTRY = """
from treadle import Pipeline, node


def weave(threads, secret):
    return {"threads": threads, "secret": secret["token"]}


def fold(cloth):
    return {**cloth, "folded": True}


def register_pipelines():
    nodes = [
        node(weave, ["params:threads", "params:api"], "cloth", name="weave"),
        node(fold, "cloth", "folded", name="fold"),
    ]
    copying = Pipeline([node(str, "raw", "copied", name="copy")])
    return {"__default__": Pipeline(nodes), "loom": Pipeline(nodes), "copying": copying}
"""
FILES = {
    "conf/base/parameters.yml": "threads: 1\napi: {token: public}\n",
    "conf/base/catalog.yml": (
        "cloth: {type: json.JSONDataset, filepath: cloth.json}\n"
        "raw: {type: text.TextDataset, filepath: raw.txt, versioned: true}\n"
        "copied: {type: text.TextDataset, filepath: copied.txt}\n"
    ),
    "raw.txt/v1/raw.txt": "of v1",
    "conf/prod/catalog.yml": "folded: {type: json.JSONDataset, filepath: prod.json}\n",
}

FLAGS = ["--pipelines=loom", "--env=prod", "--params=threads=7", "--runner=thread", "--runner-params=max_workers=1"]


@pytest.fixture
def project(make_project):
    """A project whose run depends on params, environment and filters."""
    root = make_project(pipeline_registry=REGISTRY)
    for name, content in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def records(root):
    with closing(SQLStore(project_path=root)) as store:
        return [store.load(each.session_id) for each in store.list()]


def test_a_run_is_repeated(project, capsys):
    """Flags, params and environment are those of the recorded run, also where the defaults changed since."""
    assert main(["run", *FLAGS]) == 0
    (first,) = records(project)
    (project / "prod.json").unlink()
    assert main(["sessions", "rerun", first.session_id]) == 0
    assert json.loads((project / "prod.json").read_text())["threads"] == 7
    second, _ = records(project)
    assert second.command == f"treadle sessions rerun {first.session_id}"
    assert (second.env, second.extra_params, second.runs[0].params) == (first.env, first.extra_params, first.runs[0].params)
    assert main(["sessions", "diff", first.session_id, second.session_id]) == 0
    assert "Both sessions ran with the same settings." in capsys.readouterr().out


@pytest.mark.parametrize("again", ["rerun", "resume"])
def test_the_default_environment_is_repeated(project, monkeypatch, again):
    """A session that named no environment is repeated with the default one, also if `TREADLE_ENV` names another one today."""
    params = project / "conf/base/parameters.yml"
    text = params.read_text()
    if again == "resume":
        params.write_text("threads: 1\napi: {}\n")
    assert main(["run"]) == (1 if again == "resume" else 0)
    params.write_text(text)
    (first,) = records(project)
    monkeypatch.setenv("TREADLE_ENV", "prod")
    words = {"rerun": ["sessions", "rerun", first.session_id], "resume": ["run", f"--resume={first.session_id}"]}
    assert main(words[again]) == 0
    assert not (project / "prod.json").exists()
    assert main(["run"]) == 0
    assert (project / "prod.json").exists()


def test_filters_are_repeated(project):
    """A run of some nodes is repeated with these nodes only."""
    main(["run", "--nodes", "weave"])
    (first,) = records(project)
    assert main(["sessions", "rerun", first.session_id]) == 0
    assert [node.node for node in records(project)[0].runs[0].nodes] == ["weave"]


def test_versions_are_repeated(project):
    """What a run loaded in its newest version is loaded in that version again, newer ones notwithstanding."""
    for version, command in (("v1", ["run", "--pipelines=copying"]), ("v2", ["sessions", "rerun"])):
        (project / f"raw.txt/{version}").mkdir(exist_ok=True)
        (project / f"raw.txt/{version}/raw.txt").write_text(f"of {version}")
        assert main([*command, *(each.session_id for each in records(project))]) == 0
        assert (project / "copied.txt").read_text() == "of v1"
    first, second = (record.runs[0].params for record in records(project))
    assert first == second == {"pipeline_names": ["copying"], "load_versions": {"raw": "v1"}}


def test_secrets_are_asked_for(project, capsys):
    """What the record masks has to be given again, and then the run goes on."""
    main(["run", "--params", "api.token=abcdef"])
    (first,) = records(project)
    assert main(["sessions", "rerun", first.session_id]) == 2
    assert "--params api.token=" in capsys.readouterr().err
    assert main(["sessions", "rerun", first.session_id, "--params", "api.token=again"]) == 0
    assert json.loads((project / "cloth.json").read_text())["secret"] == "again"


def test_what_changed_since_is_said(project, capsys):
    """Packages that are not as they were then are named before the run."""
    main(["run"])
    (first,) = records(project)
    with closing(SQLStore(project_path=project)) as store:
        store.save(first._replace(versions={**first.versions, "loky": "0.1"}))
    assert main(["sessions", "rerun", first.session_id]) == 0
    error = capsys.readouterr().err
    assert "Changed since that session" in error
    assert "loky  0.1  →  " in error


def test_a_failing_run_fails_again(project, capsys):
    """The exit code of a repeated run is that of a run."""
    (project / "conf/base/parameters.yml").write_text("threads: 1\napi: {}\n")
    assert main(["run"]) == 1
    (first,) = records(project)
    assert main(["sessions", "rerun", first.session_id]) == 1
    assert "KeyError" in capsys.readouterr().err


KEEPING = """
from treadle import Pipeline, node


def keep(params):
    if not params["works"]:
        raise ValueError
    return params


def register_pipelines():
    return {"__default__": Pipeline([node(keep, "parameters", "kept", name="keep")])}
"""
ODD = {"works": True, "a.b": 1, "x=y": "it's", "": [b"x"], 2020: {"n": float("inf")}, "day": dt.date(2024, 1, 1), "code": "0644"}


@pytest.fixture
def keeping(make_project):
    """A project whose node keeps its params."""
    root = make_project(pipeline_registry=KEEPING)
    (root / "conf/base").mkdir(parents=True)
    (root / "conf/base/catalog.yml").write_text("kept: {type: pickle.PickleDataset, filepath: kept.pkl}\n")
    main(["registry", "list"])  # makes this process the project's
    return root


def test_params_keep_their_types(keeping):
    """Params of every type, under any key, are the same in a repeated run; NaN in both is no difference."""
    with Session.create(keeping, extra_params={**ODD, "nan": float("nan")}) as session:
        session.run()
    (keeping / "kept.pkl").unlink()
    assert main(["sessions", "rerun", session.session_id]) == 0
    kept = pickle.loads((keeping / "kept.pkl").read_bytes())
    assert math.isnan(kept.pop("nan"))
    assert kept == ODD
    second, first = records(keeping)
    assert not diff_sessions(first, second).params


def test_the_printed_command_keeps_the_types(keeping):
    """The command that resumes a failed run gives params of any type, under any key, once more."""
    with pytest.raises(NodeError) as failed, Session.create(keeping, extra_params={**ODD, "works": False}) as session:
        session.run()
    program, *words = shlex.split(failed.value.resume)
    assert (program, main([*words, "--params", "works=yes"])) == ("treadle", 0)
    assert pickle.loads((keeping / "kept.pkl").read_bytes()) == ODD


def test_objects_are_asked_for(keeping, capsys):
    """An object that a program gave as a param is only a text in the record, which no run is given in its place."""
    with Session.create(keeping, extra_params={"works": True, "model": [object()]}) as session:
        session.run()
    assert main(["sessions", "rerun", session.session_id]) == 2
    assert "passed it objects for model.0" in capsys.readouterr().err
    assert main(["sessions", "rerun", session.session_id, "--params", "model=5"]) == 0
    assert pickle.loads((keeping / "kept.pkl").read_bytes()) == {"works": True, "model": 5}
