"""`treadle run --resume`: only what is not done runs, after a failure, after `kill -9`, and after another resumed run."""

from __future__ import annotations

import os
import platform
import signal
from contextlib import ExitStack, closing

import pytest

from treadle.events import Outcome
from treadle.observe.store import SQLStore

pytestmark = pytest.mark.timeout(600)  # each test starts many processes, one after the other

NODES = """
import os
import signal
from pathlib import Path


def first(source):
    return source + "1"


def second(text):
    return text + "2"


def third(text):
    if Path("broken").exists():
        raise ValueError("it is broken")
    if Path("deadly").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    if "GATE_REACHED" in os.environ:
        with open(os.environ["GATE_REACHED"], "w") as reached:
            reached.write(str(os.getpid()))
        open(os.environ["GATE_OPEN"]).read()
    return text + "3"


def fourth(text, value, suffix):
    return text + value + suffix


def beside(source):
    return source.upper()
"""
PIPELINES = """
from treadle import Pipeline, node

from relay.nodes import beside, first, fourth, second, third


def register_pipelines():
    pipeline = Pipeline(
        [
            node(first, "source", "one", name="first"),
            node(second, "one", "two", name="second"),
            node(beside, "source", "loud", name="beside"),
            node(third, ["two"], "three", name="third"),
            node(fourth, ["three", "loud", "params:suffix"], "four", name="fourth"),
        ]
    )
    return {"__default__": pipeline, "other": Pipeline([node(first, "source", "one", name="only")])}
"""
FILES = {
    "pyproject.toml": '[tool.treadle]\npackage_name = "relay"\nproject_name = "Relay"\n',
    "src/relay/__init__.py": "",
    "src/relay/settings.py": "",
    "src/relay/nodes.py": NODES,
    "src/relay/pipeline_registry.py": PIPELINES,
    "conf/base/catalog.yml": "".join(
        f"{name}: {{type: text.TextDataset, filepath: data/{name}.txt}}\n" for name in ("source", "one", "three", "four")
    ),
    "conf/base/parameters.yml": "suffix: x\n",
    "conf/local/.gitkeep": "",
    "data/source.txt": "a",
}
"""`two` and `loud` are kept in memory."""


@pytest.fixture
def relay(tmp_path):
    root = tmp_path / "relay"
    for name, text in FILES.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def flags(way):
    if way in ("fork", "spawn"):
        return ("--runner=parallel", f"--runner-params=max_workers=2,start_method={way}")
    return (f"--runner={way}",)


def sessions(root, url=None):
    with closing(SQLStore(url, project_path=root)) as store:
        return [store.load(summary.session_id) for summary in reversed(store.list())]


def ran(record):
    return sorted(node.node for node in record.runs[-1].nodes if node.outcome is Outcome.SUCCEEDED)


@pytest.mark.parametrize("way", ["thread", "spawn"])
def test_a_failed_run_is_resumed_again_and_again(relay, treadle, way):
    """Values in memory are made again for the nodes that need them; what is in a whole file is not."""
    (relay / "broken").touch()
    failed = treadle(relay, "run", "--params=suffix=y", *flags(way))
    assert failed.wait() == 1
    origin = sessions(relay)[0]
    assert f"treadle run --resume={origin.session_id}" in failed.output
    again = treadle(relay, "run", "--resume")
    assert again.wait() == 1
    (relay / "broken").unlink()
    done = treadle(relay, "run", "--resume")
    assert done.wait() == 0, done.output
    first, second, third = sessions(relay)
    assert (second.resumed_from, third.resumed_from) == (first.session_id, second.session_id)
    shown = treadle(relay, "sessions", "show", third.session_id)
    assert shown.wait() == 0
    assert f"{second.session_id}, resumed from {first.session_id}\n" in shown.output
    assert third.extra_params == {"suffix": "y"}
    assert third.runs[-1].runner == first.runs[-1].runner
    assert ran(third) == ["beside", "fourth", "second", "third"]
    assert {node.node: node.outcome for node in third.runs[-1].nodes}["first"] is Outcome.REUSED
    assert (relay / "data/four.txt").read_text() == "a123Ay"
    nothing = treadle(relay, "run", "--resume")
    assert nothing.wait() == 2
    assert "No session of relay is left to resume" in nothing.output


@pytest.mark.parametrize("way", ["sequential", "fork", "spawn"])
def test_a_killed_run_is_resumed(relay, treadle, gate, way, wait_until):
    """The whole process is killed while a node runs; the recorded node with a file does not run again (failure 19)."""
    launched = treadle(relay, "run", *flags(way), **gate.environment)
    gate.wait_reached(launched)
    wait_until(lambda: "first" in ran(sessions(relay)[0]), "the first node is not recorded")
    launched.process.send_signal(signal.SIGKILL)
    launched.process.wait()
    resumed = treadle(relay, "run", "--resume")
    assert resumed.wait() == 0, resumed.output
    lost, finished = sessions(relay)
    assert lost.outcome is None
    assert finished.resumed_from == lost.session_id
    assert "first" not in ran(finished)
    assert (relay / "data/four.txt").read_text() == "a123Ax"


RACER = """
import os
from pathlib import Path

from treadle import Session, bootstrap_project

bootstrap_project(Path.cwd())
with Session.create(resume="last") as session:
    print(session.session_id, flush=True)
    open(os.environ["START"]).read()
    session.run()
"""


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_a_session_is_resumed_by_one_process_at_a_time(relay, treadle, launch, gate, database, request, tmp_path, wait_until):
    """Of two processes that have both found it, one runs; nothing has to be removed when that one is killed."""
    url = None
    if database == "postgres":
        url = request.getfixturevalue("postgres_url")
        (relay / "src/relay/settings.py").write_text(f"SESSION_STORE_ARGS = {{'url': {url!r}}}\n")
    (relay / "broken").touch()
    assert treadle(relay, "run").wait() == 1
    (relay / "broken").unlink()
    starts = [tmp_path / "start-1", tmp_path / "start-2"]
    for pipe in starts:
        os.mkfifo(pipe)
    racers = [launch(RACER, relay, START=str(pipe), **gate.environment) for pipe in starts]
    with ExitStack() as stack:
        for pipe in starts:
            stack.enter_context(pipe.open("w"))  # waits for the session of this process
    wait_until(lambda: any(each.process.poll() is not None for each in racers), "one is refused")
    winner, loser = sorted(racers, key=lambda each: each.process.poll() is not None)
    gate.wait_reached(winner)
    assert loser.process.poll() == 1, loser.output
    running = winner.output.split()[0]
    by = f"being resumed by session {running}, in process {winner.process.pid} on {platform.node()}"
    assert by in loser.output
    origin = next(each for each in sessions(relay, url) if each.resumed_from is None).session_id
    for session_id, message in ((origin, by), (running, "is still running")):
        late = treadle(relay, "run", f"--resume={session_id}")
        assert late.wait() != 0
        assert message in late.output
    winner.process.kill()
    winner.process.wait()
    last = treadle(relay, "run", f"--resume={origin}")
    assert last.wait() == 0, last.output
    assert (relay / "data/four.txt").read_text() == "a123Ax"


def test_nodes_that_the_failed_run_had_skipped_are_done(relay, treadle):
    """A run that skips unchanged nodes fails: its resumed run skips them as well."""
    assert treadle(relay, "run").wait() == 0
    (relay / "broken").touch()
    nodes = relay / "src/relay/nodes.py"
    nodes.write_text(nodes.read_text().replace('text + "3"', 'text + "three"'))
    assert treadle(relay, "run", "--skip-unchanged").wait() == 1
    (relay / "broken").unlink()
    assert treadle(relay, "run", "--resume").wait() == 0
    assert "first" not in ran(sessions(relay)[-1])
    assert (relay / "data/four.txt").read_text() == "a12threeAx"


def test_changes_since_the_failed_run_are_seen(relay, treadle):
    """Changed code and a changed file make the nodes that they touch run again, although they were done."""
    (relay / "broken").touch()
    assert treadle(relay, "run").wait() == 1
    (relay / "broken").unlink()
    nodes = relay / "src/relay/nodes.py"
    nodes.write_text(nodes.read_text().replace('source + "1"', 'source + "one"'))
    resumed = treadle(relay, "run", "--resume")
    assert resumed.wait() == 0, resumed.output
    assert "Node 'first' was done, but runs again: function relay.nodes.first changed." in resumed.output
    assert "Node 'second' was done" not in resumed.output  # its value is only made again
    assert "first" in ran(sessions(relay)[-1])
    assert (relay / "data/four.txt").read_text() == "aone23Ax"


def test_an_output_that_is_no_longer_whole_is_made_again(relay, treadle):
    (relay / "broken").touch()
    assert treadle(relay, "run").wait() == 1
    (relay / "broken").unlink()
    (relay / "data/one.txt").write_text("b")
    assert treadle(relay, "run", "--resume").wait() == 0
    assert "first" in ran(sessions(relay)[-1])
    assert (relay / "data/four.txt").read_text() == "a123Ax"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--resume=2031",), "no session '2031'"),
        (("--resume",), "No session of relay is left to resume"),
        (("--resume", "--no-record"), "can only be resumed if runs are recorded"),
        (("--skip-unchanged", "--no-record"), "can only be skipped if runs are recorded"),
    ],
)
def test_what_cannot_be_resumed_is_one_clear_error(relay, treadle, words, message):
    assert treadle(relay, "run", "--pipelines=other").wait() == 0
    launched = treadle(relay, "run", *words)
    assert launched.wait() != 0
    assert message in launched.output
    assert "Traceback" not in launched.output


def test_a_session_of_another_project_or_of_a_removed_pipeline_is_refused(relay, treadle):
    (relay / "broken").touch()
    assert treadle(relay, "run").wait() == 1
    (relay / "src/relay/pipeline_registry.py").write_text(PIPELINES.replace('"__default__": pipeline', '"new": pipeline'))
    removed = treadle(relay, "run", "--resume")
    assert removed.wait() != 0
    assert "__default__" in removed.output
    (relay / "src/relay").rename(relay / "src/baton")
    for file in (relay / "src/baton/pipeline_registry.py", relay / "pyproject.toml"):
        file.write_text(file.read_text().replace("relay", "baton"))
    origin = sessions(relay)[0].session_id
    other = treadle(relay, "run", f"--resume={origin}")
    assert other.wait() != 0
    assert "belongs to the project relay" in other.output


def test_from_python(relay, launch):
    """`Session.create(resume="last")` does what the command does."""
    (relay / "broken").touch()
    script = """
    from treadle import Session, bootstrap_project
    from pathlib import Path
    bootstrap_project(Path.cwd())
    with Session.create() as session:
        try:
            session.run(runner="thread")
        except Exception as exc:
            print(type(exc).__name__)
    Path("broken").unlink()
    with Session.create(resume="last") as session:
        result = session.run()
        print(sorted(result), result["four"])
    """
    launched = launch("\n".join(line[4:] for line in script.splitlines()), relay)
    assert launched.wait() == 0, launched.output
    assert launched.output.splitlines()[-1] == "['four'] a123Ax"
    assert ran(sessions(relay)[-1]) == ["beside", "fourth", "second", "third"]
