"""NodeStream: what nodes print, each line with its node, and of a progress bar only its states."""

from __future__ import annotations

import io
import sys
import threading
from contextlib import contextmanager

import pytest

from treadle.observe.output import NodeStream, nodes_named
from treadle.project.logging import node_here


@contextmanager
def inside(node):
    """What is printed here is printed by a node of this process."""
    token = node_here.set((node, "main"))
    try:
        yield
    finally:
        node_here.reset(token)


@pytest.fixture
def shown():
    """The passing states that were shown."""
    return []


@pytest.fixture
def stream(shown):
    return NodeStream(io.StringIO(), show=lambda node, line: shown.append((node, line)))


def test_lines_of_nodes_have_their_name(stream):
    """Each line of a node begins with its name, empty ones too; what no node prints passes as it is."""
    stream.write("before\n")
    with inside("fit"):
        print("one", "two", file=stream)
        print("a\n\nb", file=stream)
    stream.write("after\n")
    assert stream.unlabelled.getvalue() == "before\nfit | one two\nfit | a\nfit | \nfit | b\nafter\n"


def test_a_line_in_pieces_has_one_name(stream):
    """What continues a line has no name of its own; another node's text begins a new line."""
    with inside("fit"):
        stream.write("working")
        stream.write("... done\n")
        stream.write("half")
    stream.write_from("score", "whole\n")
    assert stream.unlabelled.getvalue() == "fit | working... done\nfit | half\nscore | whole\n"


def test_a_progress_bar(stream, shown):
    """Each state is shown, the last one alone is written; one that blanks itself leaves nothing."""
    with inside("fit"):
        for step in range(4):
            stream.write(f"\r{step}/3")
            stream.flush()
        stream.write("\n")
        stream.write("\rgone")
        stream.write("\r    \r")
        stream.write("\n")
        stream.write("\rcut off")
    assert shown[:4] == [("fit", f"{step}/3") for step in range(4)]
    stream.finish()
    assert stream.unlabelled.getvalue() == "fit | 3/3\nfit | cut off\n"


def test_lines_of_windows_are_no_progress_bar(stream):
    """A carriage return at the end of a line stays: a CSV writer prints it."""
    with inside("fit"):
        stream.write("a,b\r\n1,2\r\n")
    assert stream.unlabelled.getvalue() == "fit | a,b\r\nfit | 1,2\r\n"


def test_what_workers_send(stream, shown):
    """A passing state is shown and not written; a line is written with its node, or without where no node ran."""
    stream.write_from("fit", "50 %", passing=True)
    stream.write_from("fit", "100 %\n")
    stream.write_from(None, "between\n")
    assert shown == [("fit", "50 %")]
    assert stream.unlabelled.getvalue() == "fit | 100 %\nbetween\n"
    assert NodeStream(io.StringIO()).write_from("fit", "x", passing=True) is None


def test_threads_have_bars_of_their_own(stream):
    """Two nodes in threads that draw at the same time do not mix their lines."""
    turn = threading.Barrier(2)

    def draw(node):
        with inside(node):
            for step in range(3):
                turn.wait()
                stream.write(f"\r{node} {step}")
            turn.wait()
            stream.write("\n")

    threads = [threading.Thread(target=draw, args=(node,)) for node in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(stream.unlabelled.getvalue().splitlines()) == ["a | a 2", "b | b 2"]


def test_a_terminal_that_cannot_show_a_letter():
    """Text that the stream's encoding lacks is escaped, and ends no run."""
    below = io.TextIOWrapper(io.BytesIO(), "ascii")
    stream = NodeStream(below)
    with inside("fit"):
        stream.write("grün\n")
    below.flush()
    assert below.buffer.getvalue() == b"fit | gr\\xfcn\n"


def test_streams_are_put_back(monkeypatch):
    """Standard streams are ours for the length of the block, also where one is missing, and a line's last state is not lost."""
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", None)
    with nodes_named():
        assert sys.stderr is None
        assert sys.stdout.rich_proxied_file is out
        with inside("fit"):
            print("\r1/2", end="", flush=True)
    assert sys.stdout is out
    assert out.getvalue() == "fit | 1/2\n"
