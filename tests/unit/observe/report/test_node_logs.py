"""The log lines on a page: of the nodes for which they matter most, and as many as fit."""

from __future__ import annotations

import pytest

from treadle.events import Outcome
from treadle.observe.report import node_logs
from treadle.observe.report.node_logs import logs_payload
from treadle.observe.report.report import Report
from treadle.observe.store.log_lines import LogBatch, LogLine


@pytest.fixture
def session(records):
    """A run in which `quiet` logs nothing, and `broken` fails at its second attempt."""
    nodes = [
        records.attempt("a", "w", 0, 1),
        records.attempt("careful", "w", 1, 2),
        records.attempt("broken", "w", 2, 3, outcome=Outcome.FAILED),
        records.attempt("broken", "w", 3, 4, number=2, outcome=Outcome.FAILED),
        records.attempt("quiet", "w", 4, 5),
    ]
    lines = [
        LogLine(1000.5, "INFO", "shop", "a " + "x" * 50, "a", 1, "w"),
        LogLine(1001.5, "WARNING", "shop", "look out", "careful", 1, "w"),
        LogLine(1002.5, "INFO", "shop", "<b>one</b>", "broken", 1, "w"),
        LogLine(1003.5, "", "", "", "broken", 2, "w", 12),
        LogLine(1003.6, "INFO", "shop", "two", "broken", 2, "w"),
        LogLine(1004.0, "INFO", "treadle", "of no node", None, None, None),
    ]
    made = records.session(
        records.graph(dict.fromkeys(("a", "careful", "broken", "quiet"), ())), nodes, wall=5.0, outcome=Outcome.FAILED
    )
    return made._replace(runs=(made.runs[0]._replace(log=(LogBatch.of(lines),)),))


def test_each_attempt_has_its_lines(session):
    """A line has its time after the start of the run; a gap says how many lines are missing."""
    payload = logs_payload(session.runs[0], ("a", "careful", "broken", "quiet"))
    assert payload["lines"][2] == [
        (1, "+2.500 s INFO shop: <b>one</b>"),
        (2, "… 12 more lines are not recorded"),
        (2, "+3.600 s INFO shop: two"),
    ]
    assert set(payload["lines"]) == {0, 1, 2}
    assert payload["missing"] == {}
    assert logs_payload(session.runs[0]._replace(log=()), ("a",)) is None


def test_room_is_for_failures_first(session, monkeypatch):
    """What does not fit is counted: first the lines of nodes that failed are shown, then those with warnings."""
    monkeypatch.setattr(node_logs, "_PAGE_CHARACTERS", 130)
    payload = logs_payload(session.runs[0], ("a", "careful", "broken", "quiet"))
    assert [len(payload["lines"][node]) for node in (2, 1, 0)] == [3, 1, 0]
    assert payload["missing"] == {0: 1}
    monkeypatch.setattr(node_logs, "_NODE_CHARACTERS", 62)
    payload = logs_payload(session.runs[0], ("a", "careful", "broken", "quiet"))
    assert [text for _attempt, text in payload["lines"][2]] == ["+2.500 s INFO shop: <b>one</b>", "+3.600 s INFO shop: two"]
    assert payload["missing"][2] == 1


def test_a_failure_is_shown_with_its_last_lines(session):
    """Without JavaScript too, what a failed node logged last is beside its traceback, as text."""
    page = Report(session).html()
    static = page[: page.index('<script type="application/json"')]
    assert "What it logged last" in static
    assert "shop: &lt;b&gt;one&lt;/b&gt;" in static
    assert "look out" not in static
