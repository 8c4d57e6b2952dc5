"""The log of a run: what is kept of it, and what it says about the rest."""

from __future__ import annotations

import logging
import sys

from treadle.observe.store import log_lines
from treadle.observe.store.line_text import LINE_CHARACTERS
from treadle.observe.store.log_lines import FIRST_LINES, LAST_LINES, RunLog
from treadle.project.log_capture import logs_captured
from treadle.secrets import mask_text


class WithoutText:
    def __str__(self):
        raise RuntimeError("no text")


def add(log, *texts, node="a", name="shop", **attributes):
    for text in texts:
        log.add(logging.makeLogRecord({"msg": text, "name": name, **attributes}), node, "worker-1")


def kept(log):
    return log_lines.log_lines(log.finish())


def test_each_attempt_has_its_own_limit():
    """The first and the last lines of an attempt are kept, in order, and how many are missing in between."""
    log = RunLog(str)
    many = [str(number) for number in range(FIRST_LINES + LAST_LINES + 7)]
    add(log, *many)
    log.end_attempt("a", next_attempt=2)
    add(log, "after")
    add(log, "elsewhere", node=None)
    lines = kept(log)
    assert [line.text for line in lines if line.attempt == 1] == [*many[:FIRST_LINES], "", *many[-LAST_LINES:]]
    assert [(line.left_out, line.node, line.attempt) for line in lines if line.left_out] == [(7, "a", 1)]
    assert [(line.text, line.node, line.attempt) for line in lines[-2:]] == [("after", "a", 2), ("elsewhere", None, None)]


def test_long_lines_and_long_logs_are_cut(monkeypatch):
    """Of a long line both ends are kept; a log of few but long lines is cut as well, and so is that of a whole run."""
    log = RunLog(str)
    add(log, "x" * LINE_CHARACTERS * 2 + "end")
    (line,) = kept(log)
    assert len(line.text) < LINE_CHARACTERS + 50
    assert line.text.endswith("end")
    assert f"({LINE_CHARACTERS + 3:,} more characters)" in line.text
    log = RunLog(str)
    add(log, *("x" * 8000 for _ in range(30)))
    lines = kept(log)
    assert sum(line.left_out or 1 for line in lines) == 30
    assert sum(len(line.text) for line in lines) < 100_000
    monkeypatch.setattr(log_lines, "RUN_CHARACTERS", 20)
    log = RunLog(str)
    for name in "abc":
        add(log, "0123456789", node=name)
    last = kept(log)[-1]
    assert (last.left_out, last.node) == (1, None)


def test_levels_of_the_application_have_their_number():
    """The process that reads a record may not have the names of levels that the application added."""
    log = RunLog(str)
    add(log, "plain", levelname="WARNING", levelno=30)
    add(log, "unnamed", levelname="Level 35", levelno=35)
    add(log, "named", levelname="NOTICE", levelno=25)
    assert [line.level for line in kept(log)] == ["WARNING", "Level 35", "NOTICE (25)"]


def test_secrets_are_masked_and_odd_records_are_kept():
    """Each line is masked before it is stored; wrong arguments, a traceback and odd characters do not raise."""
    log = RunLog(lambda text: text.replace("sesame", "***"))
    add(log, "open sesame")
    add(log, "%d apples", args=("no number",))
    add(log, "bad \udc80 \0")
    try:
        int("sesame")
    except ValueError:
        add(log, "failed", exc_info=sys.exc_info())
    add(log, "received", exc_text="Traceback of another process")
    texts = [line.text for line in kept(log)]
    assert texts[:3] == ["open ***", "%d apples", "bad \\udc80 \\x00"]
    assert texts[3].endswith("with base 10: '***'")
    assert texts[4] == "received\nTraceback of another process"


def test_secrets_at_the_cut_of_a_long_line_are_masked():
    """A password is recognised by what is around it, so a line is masked before its middle is left out, however long it is."""
    secret = "hunter2-in-a-url"
    begin, end = "postgresql://admin:" + secret, "@db/x "
    half = LINE_CHARACTERS // 2
    before = "z" * (half - len(begin) - 1) + f" {begin}{end}"
    after = f" {begin}{end}" + "y" * (half - len(end) - 5)
    log = RunLog(mask_text)
    for middle in (0, 3_000, 20_000, 200_000):
        add(log, before + "- " * middle + after)
    key = "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkq\n" * 350 + "-----END PRIVATE KEY-----\n"
    add(log, "." * 30_000 + key + "e" * 3_000)
    texts = [line.text for line in kept(log)]
    assert not [text for text in texts if secret[:8] in text or "MIIE" in text]
    assert all("postgresql://admin:***@db/x" in text for text in texts[:4])
    assert texts[4].endswith("e" * 3_000)
    assert [len(text) < LINE_CHARACTERS + 50 for text in texts] == [True] * 5
    log = RunLog(mask_text)
    add(log, *([before + "- " * 20_000 + "end"] * (FIRST_LINES // 4)))
    lines = kept(log)
    assert sum(line.left_out or 1 for line in lines) == FIRST_LINES // 4
    assert not [line.text for line in lines if secret in line.text]


def test_logging_does_what_it_would_do_without_a_record(capfd):
    """What cannot be formatted is reported by the handler as always; it neither raises where it is logged, nor ends the log."""
    logger = logging.Logger("shop")  # noqa: LOG001 - not shared, so its handler ends with the test
    logger.addHandler(logging.StreamHandler())
    log = RunLog(str)
    with logs_captured(log):
        logger.warning(WithoutText())
        logger.warning("%s apples", WithoutText())
        logger.warning("odd", exc_info=("no", "traceback"))
        logger.warning("after")
    texts = [line.text for line in kept(log)]
    assert texts[0] == "(this line cannot be shown: the str() of its WithoutText raised RuntimeError)"
    assert texts[1] == "%s apples"
    assert texts[-1] == "after"
    assert "--- Logging error ---" in capfd.readouterr().err


def test_lines_about_each_event_are_not_kept():
    """The record has the end of each node in other columns, so the lines of the observer that logs them are left out."""
    log = RunLog(str)
    add(log, "[1/9] a: 0.1 s", name="treadle.run")
    assert kept(log) == []


def test_batches():
    """Lines are taken in batches, and a batch that was taken does not change."""
    log = RunLog(str)
    assert log.take() == 0
    add(log, "one")
    assert log.take() == log.take() == 1
    first = log.batches[0]
    add(log, "two", "three")
    assert log.take() == 2
    assert log.finish()[0] is first
    assert [line.text for line in log.batches[1].lines()] == ["two", "three"]
