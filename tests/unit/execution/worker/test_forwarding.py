"""A worker's log records and printed output are forwarded to the parent."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import pickle
import socket
import sys
import threading
from collections import Counter
from enum import Enum, IntEnum

import pytest

from treadle.errors import RunError
from treadle.execution.processes.channel import Channel
from treadle.execution.protocol.messages import Output
from treadle.execution.worker.forwarding import (
    ForwardHandler,
    flush_forwarded,
    log_record,
    take_over_logging,
    write_output,
)
from treadle.execution.worker.streams import LONG_LINE, ForwardStream, unfinished_lines


@pytest.fixture
def logger():
    """A logger whose records go to a list, as the parent receives them."""
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
    """Each record has the worker and the node, and its message is formatted."""
    logger.info("%s of %d", ["a"], 3)
    (record,) = logger.sent
    assert (record.worker, record.node, record.getMessage(), record.levelname) == ("worker-3", "clean", "['a'] of 3", "INFO")


def test_exceptions_are_sent_as_text(logger):
    """The record that arrives contains the traceback of a logged exception."""
    try:
        _ = int("no good")
    except ValueError:
        logger.exception("it failed", stack_info=True)
    (record,) = logger.sent
    assert "ValueError: invalid literal" in record.exc_text
    assert record.stack_info.startswith("Stack")
    assert "ValueError: invalid literal" in logging.Formatter().format(record)


def test_unpicklable_extras_become_their_repr(logger):
    """Objects that a caller adds to a record need not be picklable."""
    logger.info("x", extra={"socket": lambda: None, "number": 3})
    (record,) = logger.sent
    assert record.socket.startswith("<function")
    assert record.number == 3


def test_numbers_and_strings_are_sent_without_their_classes(logger):
    """Members of an enum are sent as plain strings or numbers, because the parent may not find their class."""

    class Stage(str, Enum):
        FIRST = "first"

    class Level(IntEnum):
        HIGH = logging.WARNING

    logger.log(Level.HIGH, "x", extra={"stage": Stage.FIRST, "share": type("Share", (float,), {})(0.5)})
    (record,) = logger.sent
    assert (record.stage, record.share, record.levelno) == ("first", 0.5, logging.WARNING)
    assert {type(record.stage), type(record.share), type(record.levelno)} == {str, float, int}


def test_logging_without_a_parent_is_no_error(capsys):
    """If the parent has ended, logging and printing do nothing."""

    def gone(_fact):
        raise BrokenPipeError

    ForwardHandler(gone, "worker-1", lambda: None).handle(logging.makeLogRecord({"msg": "x"}))
    ForwardStream("stdout", gone, None).write("line\n")
    assert capsys.readouterr() == ("", "")


def test_a_record_that_cannot_be_formatted_is_reported(capsys):
    """Wrong arguments of a log call are reported on stderr, as logging does, and the node continues."""
    sent = []
    handler = ForwardHandler(sent.append, "worker-1", lambda: None)
    handler.handle(logging.LogRecord("name", logging.INFO, __file__, 1, "%d", ("no number",), None))
    assert sent == []
    assert "no number" in capsys.readouterr().err


def test_lines_are_sent_complete():
    """Text is sent at line ends; a flush sends the rest."""
    sent = []
    stream = ForwardStream("stdout", sent.append, None)
    print("one", 2, file=stream)
    stream.write("begun ")
    stream.write("ended\nnext\nrest")
    assert sent == [Output("stdout", "one 2\n"), Output("stdout", "begun ended\nnext\n")]
    stream.flush()
    stream.flush()
    assert sent[2:] == [Output("stdout", "rest")]


def test_threads_print_whole_lines():
    """Output that several threads print piece by piece arrives line by line; the end of a node sends the rest."""
    sent = []
    stream = ForwardStream("stdout", sent.append, None)
    at_once = threading.Barrier(4)

    def chatter(name):
        at_once.wait()
        for number in range(200):
            print(name, number, file=stream)
        stream.write(f"{name} rest")

    threads = [threading.Thread(target=chatter, args=(f"thread-{place}",)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = "".join(output.text for output in sent).splitlines()
    assert sorted(lines) == sorted(f"thread-{place} {number}" for place in range(4) for number in range(200))
    stream.flush()  # this thread has begun no line
    assert len(sent) == 800
    stream.flush_all()
    assert sorted(output.text for output in sent[800:]) == [f"thread-{place} rest" for place in range(4)]


def test_nothing_is_lost_of_lines_that_are_sent_while_threads_print_them():
    """The end of a node sends the unfinished lines of all threads, even of those that are printing."""
    sent = []
    stream = ForwardStream("stdout", sent.append, None)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def work(letter):
        for _ in range(20_000):
            stream.write(letter)
        stream.write("\n")

    threads = [threading.Thread(target=work, args=(letter,)) for letter in "ab"]
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            stream.flush_all()
    finally:
        sys.setswitchinterval(interval)
        for thread in threads:
            thread.join()
    assert Counter("".join(output.text for output in sent)) == {"a": 20_000, "b": 20_000, "\n": 2}


def test_a_line_without_end_does_not_pile_up():
    """A line without an end is sent in pieces, and no text is lost."""
    sent = []
    stream = ForwardStream("stderr", sent.append, None)
    for _ in range(LONG_LINE // 8):
        stream.write("123456789")
    assert len(sent) == 1
    stream.flush()
    assert "".join(output.text for output in sent) == "123456789" * (LONG_LINE // 8)


def test_bytes_arrive_unchanged(capfdbinary):
    """`sys.stdout.buffer` accepts any bytes, and their order with text is kept."""
    sent = []
    stream = ForwardStream("stdout", sent.append, sys.__stdout__)
    stream.write("before ")
    stream.buffer.write(memoryview(b"\xff\x00\nrest"))
    assert [output.text for output in sent] == ["before ", b"\xff\x00\n"]
    stream.flush_all()
    assert sent[-1] == Output("stdout", b"rest")
    assert stream.buffer.writable()
    assert stream.buffer.fileno() == sys.__stdout__.fileno()
    stream.reconfigure(encoding="utf-8", line_buffering=True)
    with contextlib.redirect_stdout(sys.__stdout__):
        for output in sent:
            write_output(output)
    assert capfdbinary.readouterr().out == b"before \xff\x00\nrest"
    with contextlib.redirect_stdout(io.StringIO()) as text:
        write_output(Output("stdout", "Weberei für 3 €".encode()))
    assert text.getvalue() == "Weberei für 3 €"


def test_text_that_a_terminal_cannot_show_is_no_error():
    """If the parent's stream is ASCII only, other characters are escaped; without a stream, nothing is shown."""
    raw = io.BytesIO()
    terminal = io.TextIOWrapper(raw, "ascii")
    with contextlib.redirect_stdout(terminal):
        write_output(Output("stdout", "grün\n"))
    assert raw.getvalue() == b"gr\\xfcn\n"
    with contextlib.redirect_stdout(None):
        write_output(Output("stdout", "nowhere\n"))


def test_a_reader_that_has_ended_is_an_error():
    """Output that cannot be written ends the run with an error that names the stream."""

    class Gone(io.BytesIO):
        def write(self, _content):
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with contextlib.redirect_stdout(io.TextIOWrapper(Gone(), "utf-8", write_through=True)):
        for text in ("said\n", b"said"):
            with pytest.raises(RunError, match=r"cannot be written to standard output \(Broken pipe\)"):
                write_output(Output("stdout", text))


def test_the_stream_is_a_text_stream(capfd):
    """To libraries it looks like a text stream: writable, no terminal, with the process's descriptor."""
    stream = ForwardStream("stderr", lambda _fact: None, sys.__stderr__)
    assert stream.writable()
    assert not stream.isatty()
    assert stream.encoding == "utf-8"
    assert stream.fileno() == sys.__stderr__.fileno()
    assert ForwardStream("stdout", lambda _fact: None, None).fileno() == 1


def test_an_unfinished_line_is_sent_at_the_end_of_the_node(monkeypatch):
    """An unfinished line does not wait for the next node."""
    sent = []
    monkeypatch.setattr(sys, "stdout", ForwardStream("stdout", sent.append, None))
    print("no newline", end="")
    flush_forwarded()
    assert sent == [Output("stdout", "no newline")]


def test_a_stream_that_is_replaced_for_a_while_keeps_its_unfinished_line(monkeypatch):
    """The line is sent at the end of the first node after which the stream is in place again."""
    sent = []
    stream = ForwardStream("stdout", sent.append, None)
    monkeypatch.setattr(sys, "stdout", stream)
    print("no newline", end="")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    flush_forwarded()
    assert (sent, unfinished_lines.may_exist) == ([], True)
    monkeypatch.setattr(sys, "stdout", stream)
    flush_forwarded()
    assert sent == [Output("stdout", "no newline")]


@pytest.mark.parametrize("write", [lambda stream: stream.write("text"), lambda stream: stream.write("a line\nand more")])
def test_what_has_an_unfinished_line_is_known(monkeypatch, write):
    """After a node, the streams are flushed only if one may have such a line."""
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, ForwardStream(stream, lambda _fact: None, None))
    for written in (sys.stdout, sys.stderr):
        flush_forwarded()
        assert not unfinished_lines.may_exist
        write(written)
        assert unfinished_lines.may_exist
    flush_forwarded()
    sys.stdout.buffer.write(b"bytes")
    assert unfinished_lines.may_exist


def test_printing_changes_no_class(monkeypatch):
    """After a change of a class, Python looks up its methods anew: a program that prints words would take a third longer."""
    streams = [ForwardStream(name, lambda _fact: None, None) for name in ("stdout", "stderr")]
    for stream in streams:
        monkeypatch.setattr(sys, stream.name.strip("<>"), stream)
    classes = [ForwardStream, type(streams[0].buffer)]
    before = [dict(vars(each)) for each in classes]
    for stream in streams:
        print("some", "words", end="", file=stream)
        stream.buffer.write(b"bytes")
        assert [dict(vars(each)) for each in classes] == before
    flush_forwarded()
    assert [dict(vars(each)) for each in classes] == before


def test_output_is_written_to_the_current_streams(capsys):
    """The parent writes to its current sys.stdout and sys.stderr."""
    write_output(Output("stdout", "out\n"))
    write_output(Output("stderr", "err\n"))
    assert capsys.readouterr() == ("out\n", "err\n")


def test_inherited_handlers_are_removed():
    """A worker logs through one handler only."""
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
    """A record is handled by the logger of its name, if its level is enabled."""
    caplog.set_level(logging.WARNING, logger="elsewhere")
    logger.name = "elsewhere"
    try:
        logger.info("below the level")
        logger.warning("above it")
    finally:
        logger.name = "test_forwarding"
    from treadle.execution.protocol.messages import Logged

    caplog.clear()
    for record in logger.sent:
        log_record(Logged(record.__dict__))
    assert [(record.name, record.getMessage()) for record in caplog.records] == [("elsewhere", "above it")]


def test_printing_in_the_middle_of_a_send_does_not_deadlock():
    """A finalizer that prints while a fact is pickled, and a thread that prints meanwhile, both finish."""
    ours, theirs = socket.socketpair()
    channel, other = Channel(ours, blocking=True), Channel(theirs, blocking=True)
    stream = ForwardStream("stdout", channel.send, None, channel.lock)
    handler = ForwardHandler(channel.send, "worker-1", lambda: None, channel.lock)
    rounds = 300

    class Talks:
        def __reduce__(self):
            stream.write("from the middle\n")
            handler.handle(logging.makeLogRecord({"msg": "from the middle"}))
            return int, ()

    def talk():
        for _ in range(rounds):
            channel.send(Talks())

    def speak():
        for _ in range(rounds):
            stream.write("from a thread\n")
            handler.handle(logging.makeLogRecord({"msg": "from a thread"}))

    threads = [threading.Thread(target=each, daemon=True) for each in (talk, speak)]
    for thread in threads:
        thread.start()
    arrived = [other.receive()[0] for _ in range(5 * rounds)]
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert Counter(type(each).__name__ for each in arrived) == {"int": rounds, "Output": 2 * rounds, "Logged": 2 * rounds}
    channel.close()
    other.close()


def test_a_progress_bar_is_one_line():
    """Of a line rewritten with carriage returns, the last state is sent, and sometimes an intermediate one."""
    sent = []
    stream = ForwardStream("stderr", sent.append, None, node=lambda: "fit")
    for step in range(1000):
        stream.write(f"\r{step}/1000")
        stream.flush()
    stream.write("\r1000/1000\n")
    passing, final = [each for each in sent if each.passing], [each for each in sent if not each.passing]
    assert final == [Output("stderr", "1000/1000\n", "fit")]
    assert passing[0] == Output("stderr", "0/1000", "fit", passing=True)
    assert len(passing) < 100


def test_a_progress_bar_that_does_not_end():
    """At the end of a node the rest is sent as a line; an erased bar is not; Windows line ends are kept."""
    sent = []
    stream = ForwardStream("stderr", lambda output: output.passing or sent.append(output.text), None)
    stream.write("\r1/2")
    stream.write("\r2/2\r")
    stream.flush_all()
    stream.write("\r1/2")
    stream.write("\r   \r")
    stream.flush_all()
    stream.write("a\r\nb\r\n")
    assert sent == ["2/2\n", "a\r\nb\r\n"]


def test_a_passing_state_is_not_written(capsys):
    """If no display shows it, the intermediate state of a progress bar is left out."""
    write_output(Output("stdout", "1/2", "fit", passing=True))
    write_output(Output("stdout", "2/2\n", "fit"))
    assert capsys.readouterr().out == "2/2\n"
