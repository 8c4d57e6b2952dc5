"""Forwarding: a worker's logs and prints reach the parent."""

from __future__ import annotations

import io
import logging
import pickle
import sys

import pytest

from treadle.execution.forwarding import (
    ForwardHandler,
    ForwardStream,
    flush_forwarded,
    hand_to_loggers,
    take_over_logging,
    write_output,
)
from treadle.execution.job import Output


@pytest.fixture
def logger():
    """A logger whose records go to a list, as they come out of the other process."""
    sent = []
    log = logging.getLogger("test_forwarding")
    handler = ForwardHandler(lambda fact: sent.append(pickle.loads(pickle.dumps(fact)).record()), "worker-3", lambda: "clean")
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    log.sent = sent
    yield log
    log.removeHandler(handler)
    del log.sent


def test_records_are_tagged_and_formatted(logger):
    """Each record says worker and node, and its message is text."""
    logger.info("%s of %d", ["a"], 3)
    (record,) = logger.sent
    assert (record.worker, record.node, record.getMessage(), record.levelname) == ("worker-3", "clean", "['a'] of 3", "INFO")


def test_exceptions_travel_as_text(logger):
    """The traceback of a logged exception is in the record that arrives."""
    try:
        _ = int("no good")
    except ValueError:
        logger.exception("it failed", stack_info=True)
    (record,) = logger.sent
    assert "ValueError: invalid literal" in record.exc_text
    assert record.stack_info.startswith("Stack")
    assert "ValueError: invalid literal" in logging.Formatter().format(record)


def test_unpicklable_extras_become_their_repr(logger):
    """What a caller adds to a record does not have to pickle."""
    logger.info("x", extra={"socket": lambda: None, "number": 3})
    (record,) = logger.sent
    assert record.socket.startswith("<function")
    assert record.number == 3


def test_a_parent_that_is_gone_is_nobodys_error(capsys):
    """Where the parent is gone, logging and printing go on in silence."""

    def gone(_fact):
        raise BrokenPipeError

    ForwardHandler(gone, "worker-1", lambda: None).handle(logging.makeLogRecord({"msg": "x"}))
    ForwardStream("stdout", gone, None).write("line\n")
    assert capsys.readouterr() == ("", "")


def test_a_record_that_cannot_be_formatted_is_reported(capsys):
    """Wrong arguments of a log call are told on stderr, as logging does, and the node goes on."""
    sent = []
    handler = ForwardHandler(sent.append, "worker-1", lambda: None)
    handler.handle(logging.LogRecord("name", logging.INFO, __file__, 1, "%d", ("no number",), None))
    assert sent == []
    assert "no number" in capsys.readouterr().err


def test_lines_go_out_whole():
    """Text is sent at the ends of lines; a flush sends the rest."""
    sent = []
    stream = ForwardStream("stdout", sent.append, None)
    print("one", 2, file=stream)
    stream.write("begun ")
    stream.write("ended\nnext\nrest")
    assert sent == [Output("stdout", "one 2\n"), Output("stdout", "begun ended\nnext\n")]
    stream.flush()
    stream.flush()
    assert sent[2:] == [Output("stdout", "rest")]


def test_the_stream_is_a_text_stream(capfd):
    """It looks like one to libraries: writable, no terminal, with the process's own descriptor."""
    stream = ForwardStream("stderr", lambda _fact: None, sys.__stderr__)
    assert stream.writable()
    assert not stream.isatty()
    assert stream.encoding == "utf-8"
    assert stream.fileno() == sys.__stderr__.fileno()
    with pytest.raises(io.UnsupportedOperation, match="no such stream"):
        ForwardStream("stdout", lambda _fact: None, None).fileno()


def test_what_a_node_left_of_a_line_is_sent_with_its_end(monkeypatch):
    """A line that was begun and not ended does not wait for the next node."""
    sent = []
    monkeypatch.setattr(sys, "stdout", ForwardStream("stdout", sent.append, None))
    print("no newline", end="")
    flush_forwarded()
    assert sent == [Output("stdout", "no newline")]


def test_output_is_written_to_the_streams_of_now(capsys):
    """The parent writes to what its sys.stdout and sys.stderr are at that moment."""
    write_output(Output("stdout", "out\n"))
    write_output(Output("stderr", "err\n"))
    assert capsys.readouterr() == ("out\n", "err\n")


def test_inherited_handlers_are_dropped():
    """A worker logs through one handler alone, whatever was set up before."""
    root, child = logging.getLogger(), logging.getLogger("test_forwarding.child")
    before = list(root.handlers)
    others = {name: list(log.handlers) for name, log in root.manager.loggerDict.items() if isinstance(log, logging.Logger)}
    child.addHandler(logging.NullHandler())
    mine = logging.NullHandler()
    try:
        take_over_logging(mine)
        assert root.handlers == [mine]
        assert child.handlers == []
    finally:
        root.handlers[:] = before
        for name, handlers in others.items():
            logging.getLogger(name).handlers[:] = handlers


def test_records_reach_the_parents_loggers(logger, caplog):
    """A record is handled by the logger of its name, if that logger takes its level."""
    caplog.set_level(logging.WARNING, logger="elsewhere")
    logger.name = "elsewhere"
    try:
        logger.info("below the level")
        logger.warning("above it")
    finally:
        logger.name = "test_forwarding"
    from treadle.execution.job import Logged

    caplog.clear()
    for record in logger.sent:
        hand_to_loggers(Logged(record.__dict__))
    assert [(record.name, record.getMessage()) for record in caplog.records] == [("elsewhere", "above it")]
