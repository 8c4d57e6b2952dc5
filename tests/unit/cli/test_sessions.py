"""`treadle sessions`: earlier sessions, read from a real store."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from treadle.cli.main import main
from treadle.events import ContentRecord, Outcome
from treadle.io.contents import unverifiable
from treadle.observe.report.report import Report
from treadle.observe.store import ErrorRecord, NodeRecord, RunRecord, SessionRecord, SQLStore
from treadle.observe.store.liveness import this_process
from treadle.observe.store.log_lines import LogBatch, LogLine

NODES = (
    NodeRecord("split", 1, Outcome.SUCCEEDED, "worker-1", 10.0, 11.5, 0.25, 1.0, 0.25, (("table", 2_000_000),)),
    NodeRecord("fit", 2, Outcome.FAILED, "worker-2", 11.5, 12.0, error=ErrorRecord("ValueError", "bad", "Traceback\nbad", "fit")),
    NodeRecord("plot", 0, Outcome.SKIPPED),
)
FAILED = RunRecord(
    1,
    "id",
    ("train",),
    "parallel",
    "spawn",
    2,
    10.0,
    13.25,
    Outcome.FAILED,
    {"tags": ["fast"]},
    NODES,
    (),
    ErrorRecord("treadle.errors.NodeError", "Node 'fit' failed: ValueError: bad", "Traceback of fit\nValueError: bad\n", "fit"),
)
SUCCEEDED = RunRecord(1, "id", ("__default__",), "sequential", None, 1, 10.0, 11.0, Outcome.SUCCEEDED, {}, NODES[:1])


PACKAGE = "cli_project_of_sessions"


def session(session_id, *runs, **changes):
    facts = {
        "session_id": session_id,
        "project_path": "/somewhere/shop",
        "package_name": PACKAGE,
        "env": "prod",
        "conf_source": "/somewhere/shop/conf",
        "extra_params": {"depth": 5},
        "command": "treadle run --runner parallel",
        "started": 0.0,
        "finished": 14.0,
        "outcome": runs[-1].outcome if runs else None,
        "user": "ada",
        "host": "loom",
        "pid": 42,
        "git_commit": "abc123",
        "git_dirty": True,
        "environment": {"TREADLE_START_METHOD": "spawn"},
        "versions": {"python": "3.11.7", "treadle": "0.1.0", "numpy": "2.0"},
        "runs": runs,
    }
    return SessionRecord(**{**facts, **changes})


@pytest.fixture
def store(make_project):
    """The store of a project that the test stands in."""
    root = make_project()
    (package,) = (root / "src").iterdir()
    package.rename(package.with_name(PACKAGE))
    (root / "pyproject.toml").write_text(f'[tool.treadle]\npackage_name = "{PACKAGE}"\n')
    kept = SQLStore(project_path=root)
    yield kept
    kept.close()


def test_no_sessions_yet(store, capsys):
    """A project without sessions says how to make one, and no file is made by looking."""
    assert main(["sessions", "list"]) == 0
    assert "No session is recorded yet" in capsys.readouterr().out


def test_list_is_newest_first(store, capsys):
    """One line a session: id, outcome, counts, seconds, runner, command; the newest first, as many as asked for."""
    store.save(session("2026-01-01T00.00.00.000Z", SUCCEEDED))
    store.save(session("2026-01-02T00.00.00.000Z", FAILED))
    store.save(session("2026-01-03T00.00.00.000Z", command=None))
    assert main(["sessions", "list", "--limit", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ["SESSION", "OUTCOME", "NODES", "SECONDS", "RUNNER", "COMMAND"],
        ["2026-01-03T00.00.00.000Z", "–", "0", "14.0", "–", "(a", "program)"],
        [
            "2026-01-02T00.00.00.000Z",
            "failed",
            "1",
            "✔",
            "1",
            "✘",
            "14.0",
            "parallel",
            "(spawn)",
            "treadle",
            "run",
            "--runner",
            "parallel",
        ],
    ]
    columns = {line.rindex(word) for line, word in zip(lines, ("RUNNER", "–", "parallel (spawn)"), strict=True)}
    assert len(columns) == 1


def test_other_projects_in_the_same_store(store, capsys):
    """Their sessions are neither listed nor removed nor counted, except with `--store`."""
    for day in range(1, 4):
        store.save(session(f"2026-01-0{day}T00.00.00.000Z", SUCCEEDED))
        store.save(session(f"2026-01-0{day}T12.00.00.000Z", SUCCEEDED, package_name="other"))
    store.close()

    file = str(Path.cwd().parent / ".treadle" / "sessions.db")

    def listed(*arguments):
        capsys.readouterr()
        assert main([*arguments]) == 0
        return [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]

    assert listed("sessions", "list", "--limit", "2") == ["2026-01-03T00.00.00.000Z", "2026-01-02T00.00.00.000Z"]
    assert main(["sessions", "prune", "--keep", "2"]) == 0
    assert listed("sessions", "--store", file, "list") == [
        "2026-01-03T12.00.00.000Z",
        "2026-01-03T00.00.00.000Z",
        "2026-01-02T12.00.00.000Z",
        "2026-01-02T00.00.00.000Z",
        "2026-01-01T12.00.00.000Z",
    ]
    assert main(["sessions", "--store", file, "prune", "--keep", "2"]) == 0
    assert listed("sessions", "list") == ["2026-01-03T00.00.00.000Z"]


def test_show_says_that_git_was_too_slow(store, capsys):
    """The commit is shown, and does not look as if no file was changed."""
    store.save(session("2026-01-02T00.00.00.000Z", FAILED, git_dirty=None))
    assert main(["sessions", "show", "2026-01-02"]) == 0
    assert "git            abc123; git did not say in time whether files were changed\n" in capsys.readouterr().out


def test_show_tells_everything(store, capsys):
    """All facts of the session, its runs with every attempt at every node, and the error with the user's traceback."""
    store.save(session("2026-01-02T00.00.00.000Z", FAILED))
    assert main(["sessions", "show", "2026-01-02"]) == 0
    output = capsys.readouterr().out
    for said in (
        "session        2026-01-02T00.00.00.000Z",
        "outcome        failed",
        "command        treadle run --runner parallel",
        f"project        /somewhere/shop (package {PACKAGE})",
        "configuration  /somewhere/shop/conf, environment prod",
        "params         depth=5",
        "started        1970-01-01 00:00:00 UTC",
        "finished       1970-01-01 00:00:14 UTC, 14.00 s later",
        "by             ada on loom, pid 42",
        "git            abc123, with uncommitted changes",
        "versions       python 3.11.7, treadle 0.1.0",
        "  TREADLE_START_METHOD=spawn",
        "Run 1: failed after 3.25 s",
        "  pipelines  train",
        "  runner     parallel, 2 workers, spawn",
        "  arguments  tags=['fast']",
        "Traceback of fit\nValueError: bad\nNode 'fit' failed.",
    ):
        assert said in output
    table = [line.split() for line in output.splitlines() if line.startswith(("  NODE", "  split", "  fit", "  plot"))]
    assert table == [
        ["NODE", "OUTCOME", "SECONDS", "LOAD", "RUN", "SAVE", "BYTES", "WORKER"],
        ["split", "✔", "succeeded", "1.500", "0.250", "1.000", "0.250", "2,000,000", "worker-1"],
        ["fit", "(attempt", "2)", "✘", "failed", "0.500", "worker-2"],
        ["plot", "·", "skipped"],
    ]


def test_show_as_json(store, capsys):
    """The record is one JSON object, with the contents of each node's outputs."""
    content = ContentRecord("table", "/data/table.csv", "v1", 5, 1_700_000_000_123_456_789, "xxh3:ab", 1_700_000_001_000_000_000)
    node = NODES[0]._replace(outputs=(content, unverifiable("log", "It has no file.")))
    store.save(session("2026-01-01", FAILED._replace(nodes=(node, *NODES[1:]))))
    assert store.load("2026-01-01").runs[0].nodes[0] == node
    assert main(["sessions", "show", "--json", "2026"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["session_id"], shown["outcome"], shown["runs"][0]["params"]) == ("2026-01-01", "failed", {"tags": ["fast"]})
    split, fit, _ = shown["runs"][0]["nodes"]
    assert split["outputs"][0] == content._asdict()
    assert split["outputs"][1]["problem"] == "It has no file."
    assert (fit["outputs"], fit["error"]["message"]) == ([], "bad")


def test_show_as_json_or_follow(store, capsys):
    """One of them can be asked for."""
    store.save(session("2026-01-01", FAILED))
    assert main(["sessions", "show", "--json", "--follow", "2026"]) == 2
    assert "cannot be combined" in capsys.readouterr().err


def test_show_a_session_that_never_ran(store, capsys):
    """A session that failed before any run shows why, in one paragraph; what is not known is left out."""
    trace = "Traceback of ours\ntreadle.errors.ConfigError: broken\n"
    error = ErrorRecord("treadle.errors.ConfigError", "broken", trace)
    store.save(session("2026-01-02T00.00.00.000Z", error=error, git_commit=None, env=None, user=None, environment={}))
    assert main(["sessions", "show", "2026"]) == 0
    output = capsys.readouterr().out
    assert "nothing ran" in output
    assert output.endswith("\nError\nbroken\n")
    assert "git " not in output
    assert "Environment" not in output


def test_show_an_unknown_session(store, capsys):
    """An id that no session has ends with code 2."""
    store.save(session("2026-01-02T00.00.00.000Z", SUCCEEDED))
    assert main(["sessions", "show", "1999"]) == 2
    assert "2026-01-02" in capsys.readouterr().err


def test_diff(store, capsys):
    """What changed is shown by kind with both values, then every node with outcomes, seconds and their difference."""
    before = session("2026-01-01T00.00.00.000Z", SUCCEEDED, extra_params={"depth": 5}, git_commit="abc")
    nodes = (NodeRecord("split", 1, Outcome.SUCCEEDED, "worker-1", 20.0, 24.0), NODES[2])
    run = RunRecord(1, "b", ("train",), "parallel", "fork", 2, 20.0, 21.0, Outcome.FAILED, {}, nodes)
    store.save(before)
    store.save(session("2026-01-02T00.00.00.000Z", run, extra_params={"depth": 6}, git_commit="def"))
    assert main(["sessions", "diff", "2026-01-01", "2026-01-02"]) == 0
    output = capsys.readouterr().out
    rows = [line.split() for line in output.splitlines()]
    assert ["depth", "5", "→", "6"] in rows
    assert ["commit", "abc", "→", "def"] in rows
    assert ["outcome", "succeeded", "→", "failed"] in rows
    assert ["start_method", "–", "→", "fork"] in rows
    assert ["split", "succeeded", "succeeded", "1.500", "4.000", "+2.500"] in rows
    assert ["plot", "–", "skipped"] in rows
    assert "Versions" not in output


def test_diff_of_equals(store, capsys):
    """Two sessions that were run with the same say so."""
    store.save(session("2026-01-01T00.00.00.000Z", SUCCEEDED))
    store.save(session("2026-01-02T00.00.00.000Z", SUCCEEDED))
    assert main(["sessions", "diff", "2026-01-01", "2026-01-02"]) == 0
    assert "Both sessions ran with the same settings." in capsys.readouterr().out


def test_show_an_interrupted_run(store, capsys):
    """Nobody wants to know where Treadle was when Ctrl-C came: the outcome says it all."""
    error = ErrorRecord("KeyboardInterrupt", "", "Traceback of ours\nKeyboardInterrupt\n")
    store.save(session("2026-01-02T00.00.00.000Z", SUCCEEDED._replace(outcome=Outcome.INTERRUPTED, error=error)))
    assert main(["sessions", "show", "2026"]) == 0
    output = capsys.readouterr().out
    assert "Run 1: interrupted after" in output
    assert "Traceback" not in output


def test_logs(store, capsys):
    """What nodes logged, by node and level, for people and for programs; and how many lines are missing."""
    lines = (
        LogLine(10.5, "INFO", "shop.nodes", "loaded", "split", 1, "worker-1"),
        LogLine(10.6, "WARNING", "shop.nodes", "odd\n\x1b[31mred", "fit", 2, "worker-2"),
        LogLine(10.7, "", "", "", "fit", 2, "worker-2", 1200),
        LogLine(10.8, "Level 35", "py", "library", None, None, "main"),
        LogLine(10.9, "NOTICE (25)", "py", "notice", None, None, "main"),
    )
    store.save(session("2026-01-01T00.00.00.000Z", FAILED._replace(log=(LogBatch.of(lines[:2]), LogBatch.of(lines[2:])))))
    store.save(session("2026-01-02T00.00.00.000Z", SUCCEEDED))

    def logs(*words):
        assert main(["sessions", "logs", *words]) == 0
        printed = capsys.readouterr()
        return printed.out.splitlines() or printed.err.splitlines()

    assert logs("2026-01-01") == [
        "1970-01-01 00:00:10.500 INFO     worker-1 split | shop.nodes: loaded",
        "1970-01-01 00:00:10.600 WARNING  worker-2 fit (attempt 2) | shop.nodes: odd",
        "    \\x1b[31mred",
        "… 1,200 more lines of fit are not recorded",
        "1970-01-01 00:00:10.800 Level 35 main | py: library",
        "1970-01-01 00:00:10.900 NOTICE (25) main | py: notice",
    ]
    assert len(logs("2026-01-01", "--node", "split")) == 1
    assert len(logs("2026-01-01", "--level", "warning", "--node", "fit")) == 2
    assert logs("2026-01-01", "--level", "warning")[-1].endswith("py: library")  # level 35, which has no name
    assert "library" not in str(logs("2026-01-01", "--level", "error"))
    assert logs("2026-01-01", "--level", "info")[-1].endswith("py: notice")  # level 25, whose name only the run's process knew
    printed = json.loads("\n".join(logs("2026-01-01", "--json")))
    assert [LogLine(**line) for line in printed["lines"]] == list(lines)
    assert logs("2026-01-01", "--node", "plot") == ["No line of this session's log matches."]
    assert "RECORD_LOGS" in logs("2026-01-02")[0]


def test_a_node_that_waits_for_a_retry(store, capsys):
    """While the run goes on, it is not a failed node; afterwards a failed attempt that was repeated is not one either."""
    attempts = (NODES[0], NODES[1]._replace(retried=True))
    here = this_process()
    own = {"finished": None, "host": here.host, "pid": here.pid, "process_started": here.started, "boot_id": here.boot_id}
    running = FAILED._replace(finished=None, outcome=None, error=None, node_count=3, nodes=attempts)
    store.save(session("2026-01-01T00.00.00.000Z", running, **own, heartbeat=time.time()))

    def sessions(*words):
        assert main(["sessions", *words]) == 0
        return capsys.readouterr().out

    (line,) = [each for each in sessions("show", "2026-01-01").splitlines() if each.startswith("  fit")]
    assert "↻ waiting for a retry" in line
    assert "not finished, 1 of 3 nodes have ended" in sessions("show", "2026-01-01")
    (_split, fit) = json.loads(sessions("show", "--json", "2026-01-01"))["runs"][0]["nodes"]
    assert (fit["outcome"], fit["retried"]) == ("failed", True)
    assert "✘" not in sessions("list")
    report = Report(store.load("2026-01-01"))
    assert report.content.analysis.summary.counts == {"succeeded": 1, "waiting for a retry": 1}
    assert "What failed" not in report.html()
    one, other = attempts[0], attempts[0]._replace(node="other", outcome=None, finished=None)
    lost = running._replace(nodes=(one, other, attempts[1]))
    store.save(session("2025-12-31T00.00.00.000Z", lost, **own | {"process_started": 1.0}, heartbeat=time.time()))
    (line,) = [each for each in sessions("show", "2025-12-31").splitlines() if each.startswith("  other")]
    assert "✘ lost" in line  # its process is gone, so it is not running
    assert "waiting" not in sessions("show", "2025-12-31")
    again = NODES[1]._replace(attempt=3, outcome=Outcome.SUCCEEDED, error=None)
    store.save(session("2026-01-01T00.00.00.000Z", FAILED._replace(outcome=Outcome.SUCCEEDED, nodes=(*attempts, again))))
    assert "2 " in sessions("list")
    assert "✘" not in sessions("list")
    assert "✘ failed" in sessions("show", "2026-01-01")
