"""The command line on a terminal and in a pipe: questions of nodes, their progress bars, and whose line is whose."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time

import pytest

from treadle import Catalog, Pipeline, node
from treadle.errors import NodeError

DEADLINE = 60
FILES = {
    "pyproject.toml": '[tool.treadle]\npackage_name = "asking"\n',
    "src/asking/__init__.py": "",
    "src/asking/pipeline_registry.py": """
import sys
from treadle import Pipeline, node


def ask():
    return input("name? ")


def greet(name):
    for step in range(3):
        sys.stderr.write(f"\\r{step + 1}/3")
        sys.stderr.flush()
    sys.stderr.write("\\n")
    print("hello", name)
    return name


def register_pipelines():
    return {
        "asking": Pipeline([node(ask, None, "name", name="ask"), node(greet, "name", "greeted", name="greet")]),
        "greeting": Pipeline([node(greet, "params:name", "greeted", name="greet")]),
    }
""",
    "conf/base/parameters.yml": "name: Ann\n",
}


@pytest.fixture
def project(tmp_path):
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def read_until(terminal, wanted, so_far=""):
    """Read from a terminal until a text is there."""
    deadline = time.monotonic() + DEADLINE
    while wanted not in so_far:
        ready, _, _ = select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"{wanted!r} never came: {so_far}"
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # the other end is closed
            piece = b""
        assert piece, f"{wanted!r} never came: {so_far}"
        so_far += piece.decode()
    return so_far


def plain(text):
    """Take the terminal's control sequences out."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_a_question_on_a_terminal(project):
    """The display goes before the question, stays away while the answer is typed, and comes back after the node."""
    terminal, other = pty.openpty()
    command = [sys.executable, "-m", "treadle", "run", "--pipelines", "asking"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "30"}
    process = subprocess.Popen(command, cwd=project, env=environment, stdin=other, stdout=other, stderr=other, close_fds=True)
    os.close(other)
    try:
        read_until(terminal, "name? ")
        # Were the display there, it would be drawn eight times a second.
        assert select.select([terminal], [], [], 0.5)[0] == []
        os.write(terminal, b"Bob\n")
        said = plain(read_until(terminal, "2 nodes in"))
        assert process.wait(DEADLINE) == 0
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    assert "greet | 3/3" in said
    assert "greet | 1/3" not in said
    assert "greet | hello Bob" in said


@pytest.mark.parametrize("runner", ["sequential", "thread", "parallel"])
def test_lines_of_nodes_in_a_pipe(project, treadle, runner):
    """Each line that a node prints begins with its name, and of a progress bar the last state is printed."""
    ran = treadle(project, "run", "--pipelines", "greeting", "--runner", runner)
    assert ran.wait() == 0, ran.output
    lines = [line for line in ran.output.splitlines() if line.startswith("greet | ")]
    assert sorted(lines) == ["greet | 3/3", "greet | hello Ann"]
    assert "\r" not in ran.output


@pytest.mark.parametrize("ask", [lambda: input("name? "), lambda: breakpoint()])  # noqa: T100, PLW0108 - they are refused
def test_questions_in_workers(start_method, runner_for, ask):
    """A node in a worker process that asks fails with the runner under which it could."""
    with runner_for(start_method, 1) as runner, pytest.raises(NodeError, match="--runner sequential"):
        runner.run(Pipeline([node(ask, None, "answer", name="ask")]), Catalog())
