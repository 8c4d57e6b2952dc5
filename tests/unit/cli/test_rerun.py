"""`treadle sessions rerun`: a recorded run, repeated."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace

import pytest

from treadle.cli.main import main
from treadle.observe.store import SQLStore

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
    assert "Both were run with the same." in capsys.readouterr().out


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
        store.save(replace(first, versions={**first.versions, "loky": "0.1"}))
    assert main(["sessions", "rerun", first.session_id]) == 0
    error = capsys.readouterr().err
    assert "Not as it was then" in error
    assert "loky  0.1  →  " in error


def test_a_failing_run_fails_again(project, capsys):
    """The exit code of a repeated run is that of a run."""
    (project / "conf/base/parameters.yml").write_text("threads: 1\napi: {}\n")
    assert main(["run"]) == 1
    (first,) = records(project)
    assert main(["sessions", "rerun", first.session_id]) == 1
    assert "KeyError" in capsys.readouterr().err
