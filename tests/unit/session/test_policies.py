"""`execution.yml` in a project: environments, sessions, services, the record, the way to resume, the check, what is refused."""

from __future__ import annotations

import pytest

from treadle import ConfigError, NodeError, RunnerError, ServiceSession, Session, SessionError, configure_project
from treadle.cli.main import main
from treadle.events import NodeFailed, NodeFinished, NodeStarted, Outcome
from treadle.observe.store import SQLStore

NODES = """
import os
from pathlib import Path

def count(raw):
    return len(raw)

def stumble(raw):
    with Path("tries").open("a") as tries:
        tries.write("x")
    if len(Path("tries").read_text()) < 3:
        raise ValueError("not yet")
    return len(raw)

def fail(raw):
    raise ValueError(f"cannot weave {raw}")

def where(raw):
    return os.getpid()
"""
REGISTRY = """
from treadle.pipeline import Pipeline, node
from {package}.nodes import count, fail, stumble, where

def register_pipelines():
    return {{
        "__default__": Pipeline([node(stumble, "raw", "n", name="stumble", tags=["flaky"]),
                                 node(count, "raw", "m", name="count")]),
        "failing": Pipeline([node(fail, "raw", "a", name="fail"), node(fail, "raw", "b", name="fail_too"),
                             node(count, "raw", "scaled", name="count"), node(count, "a", "d", name="after")]),
        "here": Pipeline([node(where, "raw", "pid", name="where")]),
    }}
"""

HOOKS = """
from pathlib import Path
from treadle import hook_impl

class Hooks:
    @hook_impl
    def on_node_error(self, node):
        self._tell(node.name)

    @hook_impl
    def on_pipeline_error(self, error):
        self._tell(f"{len(error.failures)} failures")

    @staticmethod
    def _tell(text):
        with Path("told").open("a") as told:
            told.write(text + chr(10))

HOOKS = (Hooks(),)
"""


@pytest.fixture
def project(make_project):
    """Make the project with an `execution.yml`, and maybe one of the environment `prod`."""

    def make(execution="", prod=None):
        root = make_project(files={"conf/base/execution.yml": execution, **({"conf/prod/execution.yml": prod} if prod else {})})
        package = next((root / "src").iterdir()).name
        (root / "src" / package / "nodes.py").write_text(NODES)
        (root / "src" / package / "pipeline_registry.py").write_text(REGISTRY.format(package=package))
        return root

    return make


def test_configuration_wins_over_code(project):
    """A policy from `execution.yml` is kept, and the record tells of each attempt."""
    root = project("tags: {flaky: {retries: 2, retry_delay: 1ms}}")
    events = []
    with Session.create() as session:
        assert session.run(observers=[events.append])["n"] == 4
    tried = [(event.attempt, event.final) for event in events if isinstance(event, NodeFailed)]
    assert tried == [(1, False), (2, False)]
    store = SQLStore(project_path=root)
    (run,) = store.load(session.session_id).runs
    store.close()
    found = [(node.attempt, node.outcome) for node in run.nodes if node.node == "stumble"]
    assert found == [(1, Outcome.FAILED), (2, Outcome.FAILED), (3, Outcome.SUCCEEDED)]
    assert run.outcome is Outcome.SUCCEEDED


def test_an_environment_has_its_own(project):
    """The environment's file lies over the base's, as with other configuration."""
    project("nodes: {stumble: {retries: 2}}", prod="nodes: {stumble: {retries: 1}}")
    with Session.create(env="prod") as session, pytest.raises(NodeError) as caught:
        session.run()
    assert caught.value.attempt == 2


@pytest.mark.parametrize(
    ("execution", "said"),
    [
        ("nodes: {stumbel: {retries: 1}}", "Did you mean 'stumble'"),
        ("tags: {flakey: {retries: 1}}", "Did you mean 'flaky'"),
        ("nodes:\n  stumble: {retires: 1}", "Did you mean 'retries'"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_runs(project, execution, said):
    """The error names file, line, key and a close match; no node began."""
    root = project(execution)
    with Session.create() as session, pytest.raises(ConfigError) as caught:
        session.run()
    assert said in str(caught.value)
    assert caught.value.file.endswith("conf/base/execution.yml")
    assert caught.value.line >= 1
    assert not (root / "tries").exists()


def test_a_node_of_another_pipeline_is_no_mistake(project):
    """A policy for a node that does not run now is fine, as long as some pipeline has it."""
    project("nodes: {where: {run_in: main}, fail: {retries: 0}}")
    with Session.create() as session:
        assert session.run(pipeline_names="here")["pid"]


def test_needs_without_limits(project):
    """A need that nobody limits is refused; a runner's limit is as good as the configuration's."""
    project("nodes: {count: {resources: {gpu: 1}}}")
    with (
        Session.create() as session,
        pytest.raises(RunnerError, match="'count' requests gpu: 1, but no limit of that resource is set"),
    ):
        session.run(node_names="count")
    with Session.create() as session:
        assert session.run(node_names="count", runner="thread", runner_params={"resources": {"gpu": 1}})["m"] == 4


def test_the_rest_goes_on(project, capsys):
    """With `on_failure="continue"` all failures are told, recorded, and resumed by one command, which goes on in the same way."""
    root = project()
    events = []
    with Session.create() as session, pytest.raises(NodeError) as caught:
        session.run(pipeline_names="failing", on_failure="continue", observers=[events.append])
    assert [event.node for event in events if isinstance(event, NodeFinished)] == ["count"]
    assert [error.node for error in caught.value.failures] == ["fail", "fail_too"]
    assert caught.value.resume == f"treadle run --resume={session.session_id}"
    assert caught.value.resume_from == ("fail", "fail_too")
    store = SQLStore(project_path=root)
    (run,) = store.load(session.session_id).runs
    store.close()
    assert run.params["on_failure"] == "continue"
    assert {node.node: node.outcome for node in run.nodes} == {
        "fail": Outcome.FAILED,
        "fail_too": Outcome.FAILED,
        "count": Outcome.SUCCEEDED,
        "after": Outcome.SKIPPED,
    }
    assert "'fail_too'" in run.error.message
    with pytest.raises(SessionError, match="on_failure='ignore'; give 'stop' or 'continue'"):
        Session.create().run(on_failure="ignore")
    assert main(["run", "--pipelines", "failing", "--on-failure", "continue"]) == 1
    shown = capsys.readouterr().err
    assert shown.count("Traceback") == 2
    assert "ValueError: cannot weave four\n\nError: Node 'fail' failed.\n" in shown
    assert "ValueError: cannot weave four\n\nError: Node 'fail_too' failed.\n" in shown
    assert "Another node failed too: 'fail_too'." in shown
    assert shown.count("Resume the run from here with:") == 1
    assert main(["sessions", "rerun", session.session_id]) == 1
    assert capsys.readouterr().err.count("Traceback") == 2


def test_hooks_of_a_run_with_several_failures(project):
    """Node hooks tell of each failure, and `on_pipeline_error` of all of them, once."""
    root = project("defaults: {on_failure: continue}")
    package = next((root / "src").iterdir()).name
    (root / "src" / package / "settings.py").write_text(HOOKS)
    configure_project(package)
    with Session.create() as session, pytest.raises(NodeError):
        session.run(pipeline_names="failing", runner="thread")
    told = (root / "told").read_text().splitlines()
    assert sorted(told[:-1]) == ["fail", "fail_too"]
    assert told[-1] == "2 failures"


def test_a_default_for_all_runs(project):
    """`defaults: {on_failure: continue}` is the run's default, and the command's word goes before it."""
    project("defaults: {on_failure: continue}")
    with Session.create() as session, pytest.raises(NodeError) as caught:
        session.run(pipeline_names="failing")
    assert len(caught.value.failures) == 2
    with Session.create() as session, pytest.raises(NodeError) as caught:
        session.run(pipeline_names="failing", on_failure="stop")
    assert len(caught.value.failures) == 1


def test_a_service_reads_it_too(project):
    """Each run of a service goes by the configuration."""
    root = project("nodes: {stumble: {retries: 2}}")
    with ServiceSession.create(runner="thread") as service:
        for _ in range(2):
            assert service.run()["n"] == 4
            (root / "tries").unlink()


def test_the_check_lists_it(project, capsys):
    """`treadle check` lists what is wrong beside its other findings, and who runs in the main process."""
    project("nodes: {stumbel: {retries: 1}}")
    assert main(["check"]) == 1
    assert "Did you mean 'stumble'" in capsys.readouterr().out
    project("nodes: {stumble: {run_in: main}}")
    assert main(["check"]) == 0
    assert "stumble" in capsys.readouterr().out


def test_what_if_goes_by_the_limits(project, capsys):
    """A simulated run has no more of what is scarce than the configuration says."""
    project("defaults: {resources: {gpu: 1}}\nresources: {gpu: 1}\nnodes: {stumble: {retries: 2}}")
    events = []
    with Session.create() as session:
        session.run(observers=[events.append])
    assert len([event for event in events if isinstance(event, NodeStarted)]) == 4
    assert main(["sessions", "what-if", session.session_id, "--workers", "1,2"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    first, second = ([word for word in row if word[:1].isdigit()] for row in rows if row[:1] in (["1"], ["2"]))
    assert first[1] == second[1]
