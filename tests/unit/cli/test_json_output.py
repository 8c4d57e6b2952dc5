"""What commands print with `--json` is what the schemas in the package describe."""

from __future__ import annotations

import json
from contextlib import closing

import pytest
from jsonschema import Draft202012Validator

from treadle.cli.main import main
from treadle.observe.store import SQLStore
from treadle.schemas import read_schema, schema_names

REGISTRY = """
import logging

from treadle import Pipeline, node


def fail(n):
    logging.getLogger(__name__).warning("about to fail")
    raise ValueError("bad")


def register_pipelines():
    good = Pipeline([node(len, "raw", "n", name="count", tags=["a"]), node(str, ["n"], "x_txt", name="write", namespace="out")])
    return {"__default__": good, "bad": Pipeline([node(fail, "raw", "never", name="fail")])}
"""
CATALOG = """
raw: {type: text.TextDataset, filepath: "data/raw.txt"}
remote: {type: pandas.CSVDataset, filepath: "https://user:hunter2@example.org/raw.csv"}
"{name}_txt": {type: text.TextDataset, filepath: "data/{name}.txt"}
"""


@pytest.fixture
def project(make_project):
    """A project with three recorded sessions, of which the newest failed."""
    root = make_project(pipeline_registry=REGISTRY)
    for name, text in {
        "conf/base/catalog.yml": CATALOG,
        "conf/base/parameters.yml": "a: 1\n",
        "conf/base/execution.yml": "nodes: {count: {cache: store}}\n",
        "data/raw.txt": "four",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    assert main(["run"]) == 0
    assert main(["run", "--params", "a=2"]) == 0
    assert main(["run", "-p", "bad"]) == 1
    return root


def strict(schema):
    """Return a schema that accepts no other keys than those that it describes."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {} if "properties" not in schema else {"additionalProperties": False}
    return {**closed, **{key: strict(value) for key, value in schema.items()}}


def printed(capsys, words, schema, code=0):
    """Run a command, and return its output, which the schema describes completely."""
    capsys.readouterr()
    assert main(words) == code
    output = capsys.readouterr().out
    assert "hunter2" not in output
    found = json.loads(output)
    Draft202012Validator(strict(read_schema(schema))).validate(found)
    return found


def test_every_schema_is_a_schema():
    """Each file is a valid JSON schema with a title."""
    assert len(schema_names()) > 10
    for name in schema_names():
        schema = read_schema(name)
        Draft202012Validator.check_schema(schema)
        assert schema["title"]


def test_every_command(project, capsys):
    """Each command prints one JSON document, with no keys that its schema does not describe."""
    with closing(SQLStore(project_path=project)) as store:
        failed, second, first = (each.session_id for each in store.list())
    listed = printed(capsys, ["sessions", "list", "--json", "-l", "2"], "sessions")["sessions"]
    assert [(each["session_id"], each["outcome"], each["failed"]) for each in listed] == [
        (failed, "failed", 1),
        (second, "succeeded", 0),
    ]
    shown = printed(capsys, ["sessions", "show", "--json", failed], "session")
    assert shown["error"]["node"] == "fail"
    log = printed(capsys, ["sessions", "logs", "--json", "--node", "fail", failed], "session-log")
    assert [(line["text"], line["node"], line["attempt"]) for line in log["lines"]] == [("about to fail", "fail", 1)]
    assert log["lines"][0] in shown["runs"][0]["log"]
    diff = printed(capsys, ["sessions", "diff", "--json", first, failed], "session-diff")
    assert {"name": "outcome", "before": "succeeded", "after": "failed"} in diff["facts"]
    assert {"name": "pipelines", "before": ["__default__"], "after": ["bad"]} in diff["arguments"]
    assert {each["node"]: (each["before"] is None, each["after"] is None) for each in diff["nodes"]}["fail"] == (True, False)
    assert printed(capsys, ["sessions", "diff", "--json", first, second], "session-diff")["params"] == [{"name": "a", "after": 2}]
    what_if = printed(capsys, ["sessions", "what-if", "--json", "--workers", "1,2", first], "what-if")
    assert [each["workers"] for each in what_if["estimates"]] == [1, 2]
    assert [each["node"] for each in what_if["critical_path"]] == ["count", "out.write"]
    assert printed(capsys, ["registry", "list", "--json"], "pipelines")["pipelines"] == ["__default__", "bad"]
    assert printed(capsys, ["registry", "describe", "--json", "bad"], "pipeline")["outputs"] == ["never"]
    assert printed(capsys, ["registry", "snapshot", "--json"], "snapshot")["parameters"] == ["a"]
    catalog = printed(capsys, ["catalog", "list", "--json"], "catalog")
    assert [(each["name"], each["location"]) for each in catalog["datasets"]] == [
        ("raw", "data/raw.txt"),
        ("remote", "https://example.org/raw.csv"),
    ]
    assert catalog["patterns"] == ["{name}_txt"]
    described = printed(capsys, ["catalog", "describe", "--json"], "catalog")["datasets"]
    assert [(each["name"], each["origin"], each["saved_by"]) for each in described] == [
        ("raw", "catalog", []),
        ("n", "memory", ["count"]),
        ("x_txt", "pattern", ["out.write"]),
    ]
    entries = printed(capsys, ["catalog", "resolve", "--json", "y_txt", "params:a"], "catalog-entries")
    assert entries["entries"] == {"y_txt": {"type": "text.TextDataset", "filepath": "data/y.txt"}}
    assert entries["undeclared"] == ["params:a"]
    assert printed(capsys, ["info", "--json"], "info")["project"]["path"] == str(project)
    status = printed(capsys, ["status", "--json"], "status")
    assert [each["node"] for each in status] == ["count", "out.write"]
    assert printed(capsys, ["explain", "--json", "count"], "explain")["state"] == "up_to_date"
    assert printed(capsys, ["invalidate", "--json", "count"], "invalidated")["invalidated"] == ["count"]
    dry = printed(capsys, ["run", "--dry-run", "--skip-unchanged", "--json"], "dry-run")
    assert [each["state"] for each in dry["nodes"]] == ["runs", "depends"]
    assert printed(capsys, ["accept", "--json", "out.write"], "accepted")["accepted"] == ["out.write"]
    stored = printed(capsys, ["cache", "list", "--json"], "stored-values")
    assert {each["dataset"] for each in stored} == {"n"}
    removed = printed(capsys, ["cache", "gc", "--max-size", "0", "--json"], "stored-values")
    assert {each["session"] for each in removed} <= {first, second}


def test_check(project, capsys):
    """Problems are listed, and the exit code is 1."""
    (project / "conf/base/catalog.yml").write_text("raw: {type: text.TextDatase, filepath: x}\n")
    found = printed(capsys, ["check", "--json"], "check", code=1)
    assert [(each["dataset"], each["nodes"]) for each in found["problems"]][:1] == [("raw", ["count"])]
    assert found["nodes"] == 2


def test_prune(project, capsys):
    """The oldest sessions are removed, and what is up to date stays so."""
    with closing(SQLStore(project_path=project)) as store:
        failed, second, first = (each.session_id for each in store.list())
        assert printed(capsys, ["sessions", "prune", "--older-than", "1h", "--json"], "pruned-sessions")["sessions"] == []
        words = ["sessions", "prune", "--keep", "1", "--json"]
        assert printed(capsys, [*words, "--dry-run"], "pruned-sessions")["sessions"] == [second, first]
        assert len(store.list()) == 3
        assert printed(capsys, words, "pruned-sessions")["sessions"] == [second, first]
        assert [each.session_id for each in store.list()] == [failed]
    states = [each["state"] for each in printed(capsys, ["status", "--json"], "status")]
    assert states == ["up_to_date", "up_to_date"]
    assert main(["sessions", "prune"]) == 2
    assert "--keep NUMBER, --older-than AGE" in capsys.readouterr().err
    assert main(["sessions", "prune", "--older-than", "yesterday"]) == 2
    assert "12h, 30d" in capsys.readouterr().err


CHECKED = """
raw: {type: text.TextDataset, filepath: data/raw.txt, validator: PACKAGE.checks.is_short}
"{name}_txt": {type: text.TextDataset, filepath: "data/{name}.txt", validator: {class: PACKAGE.checks.is_short, severity: warn}}
missing: {type: text.TextDataset, filepath: data/missing.txt, validator: PACKAGE.checks.is_short}
"""


def test_catalog_validate(make_project, capsys, monkeypatch):
    """Existing datasets with a validator are checked; what is refused has the exit code 1 and an annotation."""
    root = make_project(pipeline_registry=REGISTRY, checks="def is_short(text):\n    return len(text) < 9\n")
    (package,) = [path.name for path in (root / "src").iterdir()]
    (root / "conf/base").mkdir(parents=True)
    (root / "data").mkdir()
    (root / "conf/base/catalog.yml").write_text(CHECKED.replace("PACKAGE", package))
    assert printed(capsys, ["catalog", "validate", "--json"], "validation")["results"] == []
    (root / "data/raw.txt").write_text("four")
    (root / "data/x.txt").write_text("not so short")
    found = printed(capsys, ["catalog", "validate", "--json"], "validation")["results"]
    assert [(each["dataset"], each["status"]) for each in found] == [("raw", "passed"), ("x_txt", "warned")]
    (root / "data/raw.txt").write_text("not so short")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(root))
    (failed, skipped, missing) = printed(capsys, ["catalog", "validate", "--json", "raw", "n", "missing"], "validation", code=1)[
        "results"
    ]
    assert (failed["status"], failed["failures"][0]["check"]) == ("failed", "it returned False")
    assert (skipped["dataset"], skipped["status"]) == ("n", "error")  # no catalog file declares it
    assert (missing["status"], "missing.txt" in missing["message"]) == ("error", True)
    assert main(["catalog", "validate"]) == 1
    shown = capsys.readouterr()
    assert shown.out.splitlines()[1].split() == ["raw", "failed", f"{package}.checks.is_short"]
    assert "Dataset 'raw' was refused" in shown.out
    assert shown.err.startswith("::error file=conf/base/catalog.yml,line=2::")
