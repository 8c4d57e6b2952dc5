"""`treadle registry` and `treadle catalog`: what the project's pipelines and datasets are."""

from __future__ import annotations

import json

import pytest
import yaml

from treadle.cli.main import main

REGISTRY = """
from treadle import Pipeline, node


def fit(table, depth):
    return depth


def register_pipelines():
    first = Pipeline([node(len, "raw_orders", "size", name="measure"), node(str, "size", "note", name="write")])
    second = Pipeline([node(fit, ["orders_csv", "params:depth"], "model", name="fit")])
    return {"__default__": first + second, "first": first, "second": second}
"""
CATALOG = """
raw_orders: {type: text.TextDataset, filepath: data/orders.txt, versioned: true}
note: {type: text.TextDataset, filepath: data/note.txt}
"{name}_csv": {type: pandas.CSVDataset, filepath: "data/{name}.csv", credentials: store}
"""


@pytest.fixture
def project(make_project):
    """A project with two pipelines, and with every origin that a dataset can have."""
    root = make_project(pipeline_registry=REGISTRY)
    for name, content in {
        "base/catalog.yml": CATALOG,
        "base/parameters.yml": "depth: 3\n",
        "local/credentials.yml": "store: {key: very-secret}\n",
        "prod/catalog.yml": "note: {type: json.JSONDataset, filepath: note.json}\n",
        "prod/credentials.yml": "store: {key: x}\n",
    }.items():
        path = root / "conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def test_registry_list(project, capsys):
    """The names of the pipelines, one a line."""
    assert main(["registry", "list"]) == 0
    assert capsys.readouterr().out.split() == ["__default__", "first", "second"]


def test_registry_describe(project, capsys):
    """Free inputs, nodes in order and free outputs of the pipelines that are named."""
    assert main(["registry", "describe", "first", "second"]) == 0
    first, second = capsys.readouterr().out.split("\n\n")
    assert first.splitlines()[0] == "first"
    assert "Nodes, in order (2):" in first
    assert "raw_orders" in first
    assert "fit" in second


def test_registry_describe_as_json(project, capsys):
    """The structure as JSON, for programs."""
    assert main(["registry", "describe", "--json"]) == 0
    assert [node["name"] for node in json.loads(capsys.readouterr().out)["nodes"]] == ["measure", "write", "fit"]


def test_catalog_list(project, capsys):
    """What catalog files declare by name, with type and place, then the patterns."""
    assert main(["catalog", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["DATASET", "TYPE", "LOCATION"],
        ["raw_orders", "text.TextDataset", "data/orders.txt", "(versioned)"],
        ["note", "text.TextDataset", "data/note.txt"],
    ]
    assert lines[-1] == "{name}_csv"


def test_catalog_list_of_an_environment_and_by_name(project, capsys):
    """An environment's own entries are shown, and a regular expression keeps names."""
    assert main(["catalog", "list", "--env", "prod", "NOT"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["note     json.JSONDataset  note.json"]
    assert main(["catalog", "list", "nobody"]) == 0
    assert "no matching dataset" in capsys.readouterr().out


def test_catalog_describe(project, capsys):
    """Each dataset of a pipeline with where it comes from, what it is, and who makes and takes it."""
    assert main(["catalog", "describe"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    origins = {row[0]: row[1] for row in rows}
    assert origins == {
        "raw_orders": "catalog",
        "size": "memory",
        "note": "catalog",
        "orders_csv": "pattern",
        "params:depth": "parameters",
        "model": "memory",
    }
    (pattern,) = [row for row in rows if row[0] == "orders_csv"]
    assert pattern[2:] == ["pandas.CSVDataset", "data/orders.csv", "(by", "{name}_csv)", "fit"]


def test_catalog_resolve(project, capsys):
    """The entries that patterns make for a pipeline, as YAML for a catalog file, with credentials by name only."""
    assert main(["catalog", "resolve"]) == 0
    output = capsys.readouterr().out
    assert yaml.safe_load(output) == {
        "orders_csv": {"type": "pandas.CSVDataset", "filepath": "data/orders.csv", "credentials": "store"}
    }
    assert "very-secret" not in output


def test_catalog_resolve_by_name(project, capsys):
    """Any name can be resolved, of a pipeline or not."""
    assert main(["catalog", "resolve", "anything_csv", "note", "params:depth"]) == 0
    output = capsys.readouterr().out
    assert list(yaml.safe_load(output)) == ["anything_csv", "note"]
    assert "# params:depth is not declared in a catalog file" in output


def test_resolved_entries_show_no_secrets(project, capsys):
    """Passwords in URLs and values of keys that look secret are masked; the section of the credentials is named."""
    catalog = project / "conf/base/catalog.yml"
    catalog.write_text(
        f"{catalog.read_text()}\nremote:\n  type: pandas.CSVDataset\n  filepath: s3://user:pa55word-1@bucket/x.csv\n"
        "  credentials: store\n  fs_args: {client: {api_token: t0ken-value, region: eu}}\n  load_args: {names: [a, b]}\n"
    )
    for words in (["catalog", "resolve", "remote"], ["catalog", "resolve", "remote", "--json"]):
        assert main(words) == 0
        output = capsys.readouterr().out
        assert "pa55word" not in output
        assert "t0ken" not in output
    assert json.loads(output)["entries"]["remote"] == {
        "type": "pandas.CSVDataset",
        "filepath": "s3://user:***@bucket/x.csv",
        "credentials": "store",
        "fs_args": {"client": {"api_token": "***", "region": "eu"}},
        "load_args": {"names": ["a", "b"]},
    }


def test_nothing_to_resolve(project, capsys):
    """A pipeline without datasets of patterns says so."""
    assert main(["catalog", "resolve", "-p", "first"]) == 0
    assert capsys.readouterr().out == "# No dataset of the pipeline matches a pattern.\n"


def test_looking_leaves_no_record(project):
    """None of these commands makes a session that is kept."""
    for words in (["registry", "list"], ["catalog", "list"], ["catalog", "describe"], ["catalog", "resolve"]):
        assert main(words) == 0
    assert not (project / ".treadle").exists()


@pytest.mark.parametrize("words", [["run"], ["check"], ["catalog", "list"]])
def test_a_misnamed_catalog_file(project, capsys, words):
    """A missing catalog file is reported, with the file that was probably meant as one."""
    for env in ("base", "prod"):
        (project / "conf" / env / "catalog.yml").rename(project / "conf" / env / "catlog.yml")
    assert main(words) == {"run": 2, "check": 1, "catalog": 0}[words[0]]
    said = "".join(capsys.readouterr())
    assert "No catalog file was found" in said
    assert "catlog.yml meant as the catalog file?" in said


def test_registry_snapshot(project, capsys):
    """The project in a few lines, or as one JSON object; credentials of the configuration are not read."""
    (project / "conf/local/credentials.yml").write_text("broken: [\n")
    assert main(["registry", "snapshot"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "  pipeline first: measure, write" in lines
    assert "  parameters: depth" in lines
    assert main(["registry", "snapshot", "--json", "--env", "prod", "-p", "second"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in found["pipelines"]] == ["second"]
    assert {each["name"]: each["location"] for each in found["datasets"]}["note"] == "note.json"
