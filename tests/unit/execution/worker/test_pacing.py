"""Printed output is sent at once and in order, but in few messages if there is much."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from treadle import Catalog, ParallelRunner, Pipeline, node
from treadle.execution.processes.channel import Channel
from treadle.execution.protocol.messages import Logged, Output
from treadle.execution.worker.pacing import PacedSender


@pytest.fixture
def ends():
    """A sender that is woken, the calls that wake it, and the other end of its channel."""
    ours, theirs = socket.socketpair()
    channel, other = Channel(ours, blocking=True), Channel(theirs, blocking=True)
    sender, woken = PacedSender(channel), []
    sender.wake = lambda: woken.append(True)
    yield sender, woken, other
    channel.close()
    other.close()


def test_the_first_lines_are_sent_at_once(ends):
    """A few lines reach the parent immediately, so that they are not lost if the process dies."""
    sender, woken, other = ends
    for text in ("a\n", "b\n", "c\n"):
        sender.send(Output("stdout", text))
        assert other.receive()[0] == Output("stdout", text)
    assert woken == []


def test_many_lines_are_few_messages(ends):
    """Lines in quick succession are sent together; the order of streams, nodes and log records is kept."""
    sender, woken, other = ends
    sent = [Output("stdout", f"{number}\n", node="x") for number in range(5000)]
    sent += [Output("stderr", "error\n", node="x"), Logged({"msg": "record"}), Output("stdout", "last\n", node="y")]
    for fact in sent:
        sender.send(fact)
    assert woken
    sender.flush()
    assert not sender.pending
    arrived = [message for message, _ in other.receive_ready()]
    assert len(arrived) < 1000
    assert "".join(fact.text for fact in arrived if isinstance(fact, Output)) == "".join(
        fact.text for fact in sent if isinstance(fact, Output)
    )
    assert [type(fact).__name__ for fact in arrived[-3:]] == ["Output", "Logged", "Output"]
    assert arrived[-3].stream == "stderr"


def test_nothing_is_pending_without_another_thread(ends):
    """Without another thread to flush the output, everything is sent at once."""
    sender, _woken, other = ends
    sender.wake = None
    for number in range(100):
        sender.send(Output("stdout", f"{number}\n"))
    assert len(other.receive_ready()) == 100


def print_and_wait(pipe):
    """Print much, then wait until the last line has been seen."""
    for number in range(3000):
        print("line", number)
    return Path(pipe).read_text()


def test_the_last_line_arrives_while_the_node_runs(tmp_path, monkeypatch):
    """The last of many lines arrives while the node that printed it still runs."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    class Stream:
        def __init__(self):
            self.text = ""

        def write(self, text):
            self.text += text
            if "line 2999\n" in text:
                pipe.write_text("seen")

        def flush(self):
            pass

    stream = Stream()
    monkeypatch.setattr("sys.stdout", stream)
    result = ParallelRunner(1, "fork").run(Pipeline([node(print_and_wait, "pipe", "said")]), Catalog({"pipe": str(pipe)}))
    assert result["said"] == "seen"
    assert stream.text == "".join(f"line {number}\n" for number in range(3000))
