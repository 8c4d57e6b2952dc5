"""`treadle report`, `treadle run --report` and the methods of sessions and results, in a project."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from treadle import Session, bootstrap_project
from treadle.cli import report as command
from treadle.cli.main import main
from treadle.errors import RunnerError
from treadle.execution.loop.result import RunResult
from treadle.io import Catalog
from treadle.observe.store import SQLStore

REGISTRY = """
from treadle import Pipeline, node


def use(limit, login):
    return limit


def broken(x):
    raise ValueError("no such column")


def register_pipelines():
    return {
        "__default__": Pipeline([node(lambda: 1, None, "one", name="make"), node(lambda one: one + 1, "one", "two", name="add")]),
        "params": Pipeline([node(use, ["params:limit", "params:login"], "used", name="use")]),
        "bad": Pipeline([node(lambda: 1, None, "one", name="make"), node(broken, "one", "two", name="add")]),
    }
"""


@pytest.fixture
def project(make_project):
    """A project with a pipeline that runs, and one that fails."""
    return make_project(pipeline_registry=REGISTRY)


def ids(project):
    store = SQLStore(project_path=project)
    found = [each.session_id for each in store.list()]
    store.close()
    return found


def test_a_report_is_written_of_the_newest_session_or_of_any(project, capsys, tmp_path, monkeypatch):
    """By default below the project, with the id in its name; two are compared; a browser opens it."""
    assert main(["report"]) == 2
    assert "No session is recorded yet" in capsys.readouterr().err
    for _ in range(2):
        assert main(["run", "--quiet"]) == 0
    newest, oldest = ids(project)
    capsys.readouterr()
    opened = []
    monkeypatch.setattr(command.click, "launch", opened.append)
    assert main(["report", "--open"]) == 0
    file = project / ".treadle" / "reports" / f"{newest}.html"
    assert capsys.readouterr().out.strip() == str(file)
    assert opened == [file.as_uri()]
    assert "Compared with 1 earlier run" in file.read_text(encoding="utf-8")
    assert main(["report", oldest, newest, "--output", str(tmp_path / "two.html")]) == 0
    assert f"Comparison with {oldest}" in (tmp_path / "two.html").read_text(encoding="utf-8")
    assert main(["report", oldest, "--store", str(project / ".treadle" / "sessions.db"), "-o", str(tmp_path / "other.html")]) == 0
    assert oldest in (tmp_path / "other.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("before", "after"), [([], ["--env", "local"]), (["--env", "local"], [])])
def test_the_default_environment_is_one_whether_it_is_named_or_not(project, tmp_path, before, after):
    """As in a session that resumes another one: the report of each compares with the other, and shows no difference."""
    for flags in (before, after):
        assert main(["run", "--quiet", *flags]) == 0
    newest, oldest = ids(project)
    assert main(["report", oldest, newest, "--output", str(tmp_path / "two.html")]) == 0
    page = (tmp_path / "two.html").read_text(encoding="utf-8")
    assert "Compared with 1 earlier run" in page
    assert ">env<" not in page


def test_a_run_of_no_nodes_says_why(project, tmp_path):
    """No output was missing, so there was nothing to run: the run did not end before its nodes were known."""
    (project / "conf/base").mkdir(parents=True, exist_ok=True)
    (project / "conf/base/catalog.yml").write_text("two: {type: json.JSONDataset, filepath: two.json}\n")
    (project / "two.json").write_text("2")
    assert main(["run", "--quiet", "--only-missing-outputs", "--report", str(tmp_path / "r.html")]) == 0
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "The run had no nodes, because no output was missing, for example, so nothing ran." in page


def test_a_report_is_written_to_standard_output(project, capsysbinary):
    """`--output -` writes the page and nothing else, as for exports; no file of that name is made."""
    assert main(["run", "--quiet"]) == 0
    capsysbinary.readouterr()
    assert main(["report", "--output", "-"]) == 0
    page = capsysbinary.readouterr().out
    assert page.startswith(b"<!doctype html>")
    assert page.rstrip().endswith(b"</html>")
    assert not (project / "-").exists()
    assert main(["report", "--output", "-", "--open"]) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("words", [["report"], ["sessions", "export", "2", "--format", "json"]])
def test_a_page_for_which_standard_output_has_no_room(project, monkeypatch, capsys, words):
    """One line and exit code 1, also for output that is longer than the buffer of the stream."""
    assert main(["run", "--quiet"]) == 0
    with Path("/dev/full").open("w", encoding="utf-8", buffering=16) as full:
        monkeypatch.setattr("sys.stdout", full)
        assert main([*words, "--output", "-"]) == 1
        monkeypatch.undo()
    assert capsys.readouterr().err == "Error: Standard output cannot be written: No space left on device.\n"


def test_errors_say_what_to_do(project, capsys, tmp_path):
    """An unknown id and a file that cannot be written end with code 2 and a sentence."""
    assert main(["run", "--quiet"]) == 0
    capsys.readouterr()
    assert main(["report", "1999"]) == 2
    assert "no session '1999'" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["report", "--output", str(tmp_path / "file" / "report.html")]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [[], ["--no-record"]])
def test_a_run_that_fails_leaves_its_report(project, capsys, tmp_path, flags):
    """`run --report` writes the report in any case, and the exit code stays that of the run."""
    file = tmp_path / "report.html"
    assert main(["run", "--quiet", "--pipelines", "bad", "--report", str(file), *flags]) == 1
    page = file.read_text(encoding="utf-8")
    assert "no such column" in page
    assert "What failed" in page
    (tmp_path / "plain").write_text("")
    assert main(["run", "--quiet", "--pipelines", "bad", "--report", str(tmp_path / "plain" / "x.html"), *flags]) == 1
    assert "cannot be written" in capsys.readouterr().err
    assert main(["run", "--quiet", "--report", str(tmp_path / "plain" / "x.html"), *flags]) == 2


def test_sessions_and_results_have_reports(project):
    """In an open and in a closed session, and of a result; a runner without a session has none."""
    bootstrap_project(project)
    with Session.create(project) as session:
        result = session.run()
        assert session.report().content.analysis.summary.outcome == "succeeded"
    report = result.report()
    assert report.content.analysis.session.session_id == session.session_id
    assert [node.name for node in report.content.analysis.timeline.graph.nodes] == ["make", "add"]
    with pytest.raises(RunnerError, match="without a session"):
        RunResult("id", Catalog(), (), {}).report()


def test_a_report_has_the_params_that_nodes_used(project, tmp_path, capsys):
    """Their values as the run had them, secrets masked; a later run with other values shows the difference."""
    conf = project / "conf" / "base"
    conf.mkdir(parents=True)
    (conf / "parameters.yml").write_text("limit: 41\nlogin: {password: open-sesame}\nunused: 1\n")
    for params in ([], ["--params", "limit=42"]):
        assert main(["run", "--quiet", "--pipelines", "params", *params]) == 0
    newest, oldest = ids(project)
    assert main(["report", oldest, newest, "--output", str(tmp_path / "report.html")]) == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert '<tr><th scope="row">params:limit</th><td>41</td><td>42</td></tr>' in page
    assert "open-sesame" not in page
    capsys.readouterr()
    assert main(["sessions", "show", newest, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["parameters"] == {
        "params:limit": 42,
        "params:login": {"password": "***"},
    }


def test_an_older_record_without_a_graph_has_a_report(project):
    """The record of a session from before graphs were recorded says so, and has its bars."""
    assert main(["run", "--quiet"]) == 0
    store = SQLStore(project_path=project)
    (session_id,) = ids(project)
    record = store.load(session_id)
    store.save(record._replace(runs=(record.runs[0]._replace(graph=None, memory=None),)))
    store.close()
    assert main(["report", "--output", "old.html"]) == 0


def test_the_newest_session_is_one_of_the_project(project, capsys):
    """Other projects may have newer ones in the same store; with `--store`, the newest of all is meant."""
    assert main(["run"]) == 0
    (own,) = ids(project)
    store = SQLStore(project_path=project)
    store.save(store.load(own)._replace(session_id=f"9{own}", package_name="other"))
    store.close()
    capsys.readouterr()
    assert main(["report"]) == 0
    assert capsys.readouterr().out.strip().endswith(f"{own}.html")
    assert (project / ".treadle" / "reports" / f"{own}.html").is_file()
    assert main(["report", "--store", str(project / ".treadle" / "sessions.db")]) == 0
    assert f"9{own}" in capsys.readouterr().out


def test_a_project_without_sessions_in_a_store_that_has_others(project, capsys):
    """No report of another project is written."""
    assert main(["run"]) == 0
    store = SQLStore(project_path=project)
    own = ids(project)[0]
    store.save(store.load(own)._replace(package_name="other"))
    store.close()
    capsys.readouterr()
    assert main(["report"]) != 0
    assert "No session is recorded yet" in capsys.readouterr().err
