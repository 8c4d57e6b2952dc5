"""`treadle sessions export`: files, standard output, errors; a real run with a secret."""

from __future__ import annotations

import importlib
import json
import time
from contextlib import closing

import pytest

from treadle.cli.main import main
from treadle.observe.export import formats
from treadle.observe.store import SQLStore

PIPELINE = """
from treadle import Pipeline, node
def use(token): return len(token)
def register_pipelines():
    return {"__default__": Pipeline([node(use, "params:api_token", "length", name="use")])}
"""
FORMATS = tuple(formats.FORMATS)


@pytest.fixture
def project(make_project, monkeypatch):
    """A project with a session whose param is a secret."""
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    root = make_project(pipeline_registry=PIPELINE)
    (root / "conf" / "base").mkdir(parents=True)
    assert main(["run", "--params", "api_token=hunter2hunter2"]) == 0
    return root


def test_each_format_is_written(project, capsys):
    """Each format has a file by default, whose path is printed; none of them contains the secret."""
    capsys.readouterr()
    for name in FORMATS:
        assert main(["sessions", "export", "2", "--format", name]) == 0
        (path,) = capsys.readouterr().out.splitlines()
        content = (project / ".treadle" / "exports").joinpath(path).read_bytes()
        assert b"use" in content
        assert b"hunter2" not in content
    assert len(list((project / ".treadle" / "exports").iterdir())) == len(FORMATS)


def test_standard_output_is_what_show_prints(project, capsysbinary):
    """`--output -` writes to standard output; JSON is that of `sessions show --json`."""
    capsysbinary.readouterr()
    assert main(["sessions", "export", "2", "--format", "json", "--output", "-"]) == 0
    content = capsysbinary.readouterr().out
    assert main(["sessions", "show", "2", "--json"]) == 0
    assert json.loads(capsysbinary.readouterr().out) == json.loads(content)


def test_errors(project, tmp_path, capsys):
    """An unknown id, an unknown format and a file that cannot be written end with code 2 and say so."""
    assert main(["sessions", "export", "1999", "--format", "json"]) == 2
    assert "has no session '1999'" in capsys.readouterr().err
    assert main(["sessions", "export", "2", "--format", "yaml"]) == 2
    assert "'yaml' is not one of" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert main(["sessions", "export", "2", "--format", "json", "--output", str(tmp_path / "file" / "x.json")]) == 2
    assert "cannot be written to" in " ".join(capsys.readouterr().err.split())


def test_a_missing_library_names_the_extra(project, monkeypatch, capsys):
    """Without the libraries of the extra, the error says what to install."""

    def missing(name):
        if name.startswith("perfetto"):
            raise ModuleNotFoundError("No module named 'perfetto'")
        return importlib.import_module(name)

    monkeypatch.setattr(formats, "import_module", missing)
    assert main(["sessions", "export", "2", "--format", "perfetto"]) == 2
    assert "pip install 'treadle[export]'" in " ".join(capsys.readouterr().err.split())


def test_a_running_session_says_so(project, capsys):
    """The record of a session that runs is exported as it is, with a line on standard error."""
    with closing(SQLStore(project_path=project)) as store:
        record = store.load("2")
        store.save(record._replace(session_id="3", finished=None, outcome=None, host="elsewhere", heartbeat=time.time(), runs=()))
    capsys.readouterr()
    assert main(["sessions", "export", "3", "--format", "json", "--output", "-"]) == 0
    written = capsys.readouterr()
    assert "Session 3 is still running" in written.err
    assert json.loads(written.out)["state"] == "running"
