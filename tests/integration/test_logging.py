"""Logs and prints of nodes, in each of the six ways: to the project's files and streams, whole, once, and tagged."""

from __future__ import annotations

import logging
import re

import pytest

from treadle import Session
from treadle.project.logging import configure_logging

IN_PROCESS = ("sequential", "thread")
LINES = 40
FILES = {
    "pyproject.toml": '[tool.treadle]\npackage_name = "talking"\n',
    "src/talking/__init__.py": "",
    "src/talking/pipeline_registry.py": f"""
import logging
import sys
import threading

from treadle import Pipeline, node

logger = logging.getLogger(__name__)


def talk(name):
    def chat(thread):
        for line in range({LINES}):
            logger.debug("%s %s %s %s", name, thread, line, "x" * 200)
            logger.info("%s %s", name, line)
            print("print", name, thread, line)

    threads = [threading.Thread(target=chat, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    logger.warning("spoken by %s", name)
    sys.stdout.buffer.write(b"bytes of " + name.encode() + b"\\n")
    print("the end of", name, end="")
    sys.stdout.flush()
    return name


def register_pipelines():
    names = [f"node_{{n}}" for n in range(4)]
    return {{"__default__": Pipeline([node(talk, f"params:{{name}}", f"said_{{name}}", name=name) for name in names])}}
""",
    "conf/base/parameters.yml": "".join(f"node_{n}: node_{n}\n" for n in range(4)),
    "conf/logging.yml": """
formatters:
  tagged: {format: "%(levelname)s|%(node)s|%(worker)s|%(message)s"}
handlers:
  rotating:
    class: logging.handlers.RotatingFileHandler
    filename: logs/talk.log
    formatter: tagged
    maxBytes: 20000
    backupCount: 50
  plain: {class: logging.FileHandler, filename: logs/all.log, formatter: tagged}
loggers:
  talking: {level: DEBUG, handlers: [rotating]}
root: {level: INFO, handlers: [plain]}
""",
    "conf/quiet.yml": """
formatters:
  short: {format: "%(levelname)s %(worker)s %(message)s"}
handlers:
  quiet: {class: logging.FileHandler, filename: logs/quiet.log, formatter: short}
root: {level: WARNING, handlers: [quiet]}
""",
}


@pytest.fixture(scope="module")
def root(way, tmp_path_factory):
    """The project on disk, one for each way."""
    folder = tmp_path_factory.mktemp(way)
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


@pytest.fixture
def logs(root, in_project):
    """Stand in the project, with logging as it was afterwards; gives the folder of its log files."""
    loggers = [logging.getLogger(name) for name in (None, "treadle", "talking")]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    with in_project(root):
        yield root / "logs"
    for logger, level, handlers in before:
        for handler in set(logger.handlers) - set(handlers):
            handler.close()
        logger.setLevel(level)
        logger.handlers[:] = handlers


def run(runner):
    with Session.create(save_on_close=False) as session:
        session.run(runner=runner)


def tags(way, node):
    """What stands for a node and its worker in a line."""
    worker = {"sequential": "main", "thread": r"thread-\d"}.get(way, r"worker-\d")
    return rf"{node}\|{worker}"


def test_files_get_every_line_whole_and_once(logs, way, any_runner, capfdbinary):
    """Rotating and plain files, from threads of several nodes at once; prints and bytes arrive as lines too."""
    configure_logging(project_path=logs.parent)
    run(any_runner)
    talk = [line for file in logs.glob("talk.log*") for line in file.read_text().splitlines()]
    spoken = [line for line in talk if line.startswith("DEBUG")]
    assert len(spoken) == len(set(spoken)) == 4 * 2 * LINES
    # What a thread of the node's own logs is known to be the node's where the process has one node at a time.
    theirs = r"(-\|main)" if way in IN_PROCESS else tags(way, r"(node_\d)")
    assert all(re.fullmatch(rf"DEBUG\|{theirs}\|node_\d \d \d+ x{{200}}", line) for line in spoken)
    if way not in IN_PROCESS:
        assert all(re.match(r"DEBUG\|(node_\d)\|worker-\d\|\1 ", line) for line in spoken)
    assert len(list(logs.glob("talk.log*"))) > 3
    everything = (logs / "all.log").read_text().splitlines()
    assert sorted(line for line in everything if "|node_" in line or "spoken" in line) == sorted(talk)
    for number in range(4):
        pattern = rf"WARNING\|{tags(way, f'node_{number}')}\|spoken by node_{number}"
        assert len([line for line in talk if re.fullmatch(pattern, line)]) == 1
    printed = capfdbinary.readouterr().out
    assert [printed.count(b"bytes of node_%d\n" % number) for number in range(4)] == [1] * 4
    if way not in IN_PROCESS:  # there it is Python's own stream, which does not keep the pieces of a print together
        assert [printed.count(b"the end of node_%d" % number) for number in range(4)] == [1] * 4
        lines = [line for line in printed.decode().splitlines() if "print" in line]
        assert all(re.fullmatch(r"(the end of node_\d)*print node_\d \d \d+", line) for line in lines)
        assert len({line[line.index("print") :] for line in lines}) == len(lines) == 4 * 2 * LINES


def test_the_variable_wins_over_the_file(logs, any_runner, monkeypatch):
    """TREADLE_LOGGING_CONFIG decides in workers too: its levels, its handlers, its format, and no others."""
    monkeypatch.setenv("TREADLE_LOGGING_CONFIG", "conf/quiet.yml")
    logging.getLogger("talking").setLevel(logging.NOTSET)
    configure_logging(project_path=logs.parent)
    run(any_runner)
    lines = (logs / "quiet.log").read_text().splitlines()
    assert sorted(line.split(" ", 2)[2] for line in lines) == [f"spoken by node_{number}" for number in range(4)]
    assert all(line.startswith("WARNING ") for line in lines)


def test_without_either_the_package_is_heard(logs, any_runner, capsys):
    """The default shows the project's own records from INFO on, on standard error, one a line."""
    file = logs.parent / "conf" / "logging.yml"
    file.unlink()
    configure_logging(project_path=logs.parent)
    run(any_runner)
    file.write_text(FILES["conf/logging.yml"])  # for the other tests
    lines = [line for line in capsys.readouterr().err.splitlines() if "talking" in line]
    assert sum("INFO" in line for line in lines) == 4 * 2 * LINES
    assert sum("WARNING" in line for line in lines) == 4
    assert not any("DEBUG" in line for line in lines)
