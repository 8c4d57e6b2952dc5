"""The life of a session: its run, its hooks, its record."""

from __future__ import annotations

import json
import logging
import os
import pickle
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from treadle.errors import (
    ConfigError,
    NodeError,
    NotConfiguredError,
    PipelineError,
    ProjectNotFoundError,
    RunnerError,
    SessionError,
    StoreError,
    Terminated,
    UnknownNameError,
)
from treadle.events import NodeStarted, Outcome, RunFinished
from treadle.observe.store import SQLStore
from treadle.observe.store.diff import diff_sessions
from treadle.project import configure, configure_project
from treadle.session import Context, Session
from treadle.session.facts import GitProbe
from treadle.session.rerun import changes_since

HOOKS = """
from treadle.hooks import hook_impl

class Log:
    def __init__(self):
        self.calls = []
    @hook_impl
    def on_session_created(self, session_data):
        self.calls.append(("on_session_created", session_data))
    @hook_impl
    def after_context_created(self, context):
        self.calls.append(("after_context_created", context))
    @hook_impl
    def after_catalog_created(self, catalog, conf_catalog, conf_creds, parameters, save_version, load_versions):
        self.calls.append(("after_catalog_created", (conf_catalog, conf_creds, parameters, save_version, load_versions)))
        catalog["seen"] = 1
    @hook_impl
    def before_pipeline_run(self, run_params, pipeline, catalog):
        self.calls.append(("before_pipeline_run", run_params))
    @hook_impl
    def after_pipeline_run(self, run_params, run_result, pipeline, catalog):
        self.calls.append(("after_pipeline_run", dict(run_result)))
    @hook_impl
    def on_pipeline_error(self, error, run_params, pipeline, catalog):
        self.calls.append(("on_pipeline_error", error))

log = Log()
HOOKS = (log,)
"""


def stored(root: Path, session: Session):
    """Load the record of a session."""
    return SQLStore(project_path=root).load(session.session_id)


def calls_of() -> list:
    """What the project's hook log took."""
    return configure.configured_project().settings.HOOKS[0].calls


def test_a_run_and_its_record(make_project) -> None:
    """A session runs the default pipeline on its data, and its record tells how."""
    root = make_project()
    with Session.create(
        extra_params={"model": {"a": 5}, "password": "hunter2"}, command="treadle run --params=model.a=5"
    ) as session:
        result = session.run(runner="sequential")
        assert set(result) == {"scaled"}
        assert result["scaled"] == 8
    assert json.loads((root / "data" / "scaled.json").read_text()) == 8
    record = stored(root, session)
    assert record.session_id == session.session_id
    assert (record.project_path, record.conf_source) == (str(root), str(root / "conf"))
    assert (record.env, record.command, record.outcome, record.error) == (
        None, "treadle run --params=model.a=5", Outcome.SUCCEEDED, None,
    )  # fmt: skip
    assert record.extra_params == {"model": {"a": 5}, "password": "***"}
    assert record.pid == os.getpid()
    assert record.started <= record.runs[0].started <= record.runs[0].finished <= record.finished
    (run,) = record.runs
    assert (run.number, run.run_id, run.runner, run.pipelines) == (1, session.session_id, "sequential", ("__default__",))
    assert [(node.node, node.outcome) for node in run.nodes] == [("count", Outcome.SUCCEEDED), ("scale", Outcome.SUCCEEDED)]
    assert all(node.worker and node.started and node.finished for node in run.nodes)
    assert record.versions["treadle"]


@pytest.mark.parametrize("jump", [-86_400, 86_400])
def test_the_clock_is_set_during_a_run(make_project, monkeypatch, jump) -> None:
    """The record says how long the run took, which is what `auto` reads."""
    root = make_project()
    right = time.time

    def set_clock(event):
        if isinstance(event, NodeStarted):
            monkeypatch.setattr(time, "time", lambda: right() + jump)

    with Session.create() as session:
        session.run(runner="sequential", observers=[set_clock])
    record = stored(root, session)
    assert 0 <= record.runs[0].finished - record.runs[0].started < 600
    assert 0 <= record.finished - record.started < 600


def test_the_hooks_of_a_good_run(make_project, inline) -> None:
    """Session and pipeline hooks come in order, each with what it is promised."""
    make_project(settings=HOOKS)
    with Session.create(env="prod", extra_params={"x": 1}) as session:
        context = session.load_context()
        session.run(runner=inline, tags="first")
        assert session.load_context() is context
        assert context.catalog.load("seen") == 1
    calls = calls_of()
    assert [name for name, _ in calls] == [
        "on_session_created", "after_context_created", "after_catalog_created", "before_pipeline_run", "after_pipeline_run",
    ]  # fmt: skip
    facts = dict(calls)
    assert facts["on_session_created"]["session_id"] == session.session_id
    assert facts["on_session_created"]["extra_params"] == {"x": 1}
    assert facts["after_context_created"] is context
    conf_catalog, conf_creds, parameters, save_version, load_versions = facts["after_catalog_created"]
    assert set(conf_catalog) == {"raw", "scaled"}
    assert (conf_creds, save_version, load_versions) == ({}, session.session_id, {})
    assert (parameters["x"], parameters["factor"]) == (1, 7)
    run_params = facts["before_pipeline_run"]
    assert run_params["run_id"] == run_params["session_id"] == session.session_id
    assert (run_params["tags"], run_params["env"], run_params["pipeline_names"]) == (["first"], "prod", [])
    assert run_params["runner"].endswith("InlineRunner")
    assert facts["after_pipeline_run"] == {"n": 4}


def test_a_failed_run(make_project, inline) -> None:
    """The error hook is told, the error says how to go on, and the record has the node's traceback without secrets."""
    root = make_project(settings=HOOKS)
    params = {"note": "a b", "api_key": "the loom"}
    session = Session.create(env="prod", extra_params=params)
    with pytest.raises(NodeError, match="broken") as caught, session:
        session.run("bad", runner="sequential")
    assert [name for name, _ in calls_of()][-1] == "on_pipeline_error"
    assert dict(calls_of())["on_pipeline_error"] is caught.value
    assert caught.value.resume is not None
    assert shlex.split(caught.value.resume) == ["treadle", "run", f"--resume={session.session_id}", "--params=api_key=***"]
    assert caught.value.resume in str(caught.value)
    record = stored(root, session)
    assert record.outcome is Outcome.FAILED
    assert record.error is not None
    assert (record.error.type_name, record.error.node) == ("treadle.errors.NodeError", "broken")
    nodes = {node.node: node for node in record.runs[0].nodes}
    assert [nodes[name].outcome for name in ("count", "broken", "last")] == [Outcome.SUCCEEDED, Outcome.FAILED, Outcome.SKIPPED]
    assert nodes["broken"].error is not None
    assert nodes["broken"].error.message == "*** is broken"
    assert "in broken" in nodes["broken"].error.traceback
    assert "the loom" not in repr(record)


def test_a_second_run_after_a_failed_one(make_project, inline) -> None:
    """A session may try again until a run succeeds; its record has every run."""
    root = make_project()
    with Session.create() as session:
        with pytest.raises(NodeError):
            session.run("bad", runner=inline)
        (root / "repaired").touch()
        session.run("bad", runner=inline)
        with pytest.raises(SessionError, match=r"has run already.*ServiceSession") as caught:
            session.run("bad", runner=inline)
    assert caught.value.session_id == session.session_id
    record = stored(root, session)
    assert [(run.number, run.outcome) for run in record.runs] == [(1, Outcome.FAILED), (2, Outcome.SUCCEEDED)]
    assert (record.outcome, record.error) == (Outcome.SUCCEEDED, None)
    with pytest.raises(SessionError, match="is closed"):
        session.run()


def test_one_run_at_a_time(make_project, inline) -> None:
    """A run from another thread while one is under way is refused."""
    make_project()
    session = Session.create(save_on_close=False)
    refused: list[str] = []

    def observe(event: object) -> None:
        def again() -> None:
            try:
                session.run(runner=inline)
            except SessionError as exc:
                refused.append(str(exc))

        if isinstance(event, RunFinished):
            thread = threading.Thread(target=again)
            thread.start()
            thread.join()

    session.run(runner=inline, observers=[observe])
    assert len(refused) == 1
    assert "is running" in refused[0]


def test_an_error_after_the_run_is_the_sessions(make_project, inline) -> None:
    """What leaves the with block makes the session fail, though its run succeeded; a plain exit does not."""
    root = make_project()
    session = Session.create()

    def run_and(then) -> None:
        with session:
            session.run(runner=inline)
            then()

    with pytest.raises(KeyError):
        run_and(lambda: {}["mine"])
    assert (stored(root, session).outcome, stored(root, session).error.type_name) == (Outcome.FAILED, "KeyError")
    session = Session.create()
    with pytest.raises(SystemExit):
        run_and(sys.exit)
    assert (stored(root, session).outcome, stored(root, session).error) == (Outcome.SUCCEEDED, None)


def test_an_error_before_the_first_node_is_recorded(make_project, inline) -> None:
    """An unknown pipeline suggests close ones, an empty selection is an error, and both are in the record."""
    root = make_project()
    with Session.create() as session:
        with pytest.raises(UnknownNameError, match="other"):
            session.run("othr", runner=inline)
        with pytest.raises(PipelineError):
            session.run(tags=["first"], node_names=["scale"], runner=inline)
    record = stored(root, session)
    assert [run.error.type_name for run in record.runs] == ["treadle.errors.UnknownNameError", "treadle.errors.PipelineError"]
    assert record.runs[1].params["node_names"] == ["scale"]
    assert record.outcome is Outcome.FAILED
    assert inline.calls == []


def test_pipelines_are_joined_and_filtered(make_project, inline) -> None:
    """Names may be one or several; a runner given as an object is not closed."""
    make_project()
    with Session.create(save_on_close=False) as session:
        assert session.run(["__default__", "other"], runner=inline, node_names=["count", "other"]) == {"n": 4, "other_n": 4}
    with Session.create(save_on_close=False) as session:
        assert session.run(pipeline_name="other", runner=inline) == {"other_n": 4}
    assert "closed" not in inline.calls


def test_only_missing_outputs(make_project, inline, caplog) -> None:
    """What exists is not made again; where all exists nothing runs, and that is fine."""
    root = make_project()
    (root / "data" / "scaled.json").write_text("1")
    with caplog.at_level(logging.INFO), Session.create() as session:
        session.run(runner="sequential", only_missing_outputs=True)
    assert "Nothing to run" in caplog.text
    assert (root / "data" / "scaled.json").read_text() == "1"
    assert stored(root, session).runs[0].nodes == ()
    (root / "data" / "scaled.json").unlink()
    with Session.create() as session:
        session.run(runner=inline, only_missing_outputs=True)
    assert [node.node for node in stored(root, session).runs[0].nodes] == ["count", "scale"]


def test_nothing_is_written_without_save_on_close(make_project, inline) -> None:
    """A session that is not kept leaves no file but its data."""
    root = make_project()
    before = {path for path in root.rglob("*") if "__pycache__" not in path.parts}
    with Session.create(save_on_close=False) as session:
        session.run(runner=inline)
    after = {path for path in root.rglob("*") if "__pycache__" not in path.parts}
    assert after - before == {root / "data" / "scaled.json"}
    assert session.store["save_on_close"] is False


def test_closing_twice_saves_once(make_project, inline) -> None:
    """A second close does nothing, and a session without a run has a record too."""
    root = make_project()
    session = Session.create()
    session.close()
    (root / ".treadle" / "sessions.db").unlink()
    session.close()
    assert not (root / ".treadle" / "sessions.db").exists()


def test_the_store_property_is_a_copy(make_project) -> None:
    """Changing what `store` returned changes nothing."""
    make_project()
    session = Session.create(extra_params={"a": {"b": 1}}, save_on_close=False)
    session.store["extra_params"]["a"]["b"] = 2
    session.store["session_id"] = "x"
    assert session.store["extra_params"] == {"a": {"b": 1}}
    assert session.store["session_id"] == session.session_id


def test_the_environment_is_an_argument_then_a_variable(make_project, monkeypatch) -> None:
    """`env`, else TREADLE_ENV, else none; the params follow, and the record says it."""
    root = make_project()
    assert Session.create(save_on_close=False).load_context().params["factor"] == 2
    monkeypatch.setenv("TREADLE_ENV", "prod")
    with Session.create() as session:
        assert session.load_context().params["factor"] == 7
    assert (stored(root, session).env, stored(root, session).environment["TREADLE_ENV"]) == ("prod", "prod")
    monkeypatch.setenv("TREADLE_ENV", "nowhere")
    assert Session.create(env="prod", save_on_close=False).load_context().env == "prod"


def test_params_are_merged_by_either_name(make_project) -> None:
    """`runtime_params` is `extra_params`; both is an error; nested params keep what is not given; the caller's stay."""
    make_project()
    given = {"model": {"a": 5}}
    context = Session.create(runtime_params=given, save_on_close=False).load_context()
    assert context.params["model"] == {"a": 5, "b": 2}
    assert context.catalog.load("params:model.b") == 2
    assert given == {"model": {"a": 5}}
    with pytest.raises(SessionError, match="its alias runtime_params"):
        Session.create(extra_params=given, runtime_params=given)


def test_another_conf_source(make_project) -> None:
    """The configuration folder may be given, relative to the project, and is then part of the resume command."""
    make_project(files={"conf2/base/parameters.yml": "factor: 30\n", "conf2/base/catalog.yml": "raw:\n  type: MemoryDataset\n"})
    session = Session.create(conf_source="conf2", save_on_close=False)
    assert session.load_context().params == {"factor": 30}
    context = session.load_context()
    context.catalog["raw"] = "abc"
    with pytest.raises(NodeError) as caught:
        session.run("bad", runner="sequential")
    assert "--conf-source=conf2" in str(caught.value.resume)


def test_injected_data_reaches_the_run(make_project) -> None:
    """What a program puts into the context's catalog is what the run loads, with versions given or not."""
    files = {
        "conf/base/catalog.yml": "raw: {type: MemoryDataset}\nn: {type: json.JSONDataset, filepath: n.json, versioned: true}\n"
    }
    make_project(files={**files, "n.json/v1/n.json": "5"})
    with Session.create(save_on_close=False) as session:
        session.load_context().catalog["raw"] = "a longer text"
        assert session.run(runner="sequential")["scaled"] == 26
    with Session.create(save_on_close=False) as session:
        session.load_context().catalog["raw"] = "a longer text"
        assert session.run(runner="sequential", load_versions=["n:v1"])["scaled"] == 10


def test_without_a_configured_project(monkeypatch) -> None:
    """Library use before configuration is told what to call."""
    monkeypatch.setattr(configure._process, "project", None)
    with pytest.raises(NotConfiguredError, match=r"Package name not found\. Make sure you have configured the project"):
        Session.create()


def test_packaged_mode_works_in_the_working_directory(make_project, monkeypatch, tmp_path, inline) -> None:
    """Without a pyproject.toml the project is where the process stands."""
    root = make_project()
    package = configure.configured_project().package_name
    monkeypatch.setattr(configure._process, "project", None)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "data").mkdir(parents=True)
    (root / "conf").rename(elsewhere / "conf")
    (elsewhere / "data" / "raw.txt").write_text("sixsix")
    monkeypatch.chdir(elsewhere)
    configure_project(package)
    with Session.create() as session:
        assert session.run(runner=inline, node_names="count") == {"n": 6}
    assert stored(elsewhere, session).project_path == str(elsewhere)


def test_the_project_is_found(make_project, monkeypatch, tmp_path) -> None:
    """The bootstrapped project counts wherever the process stands; a folder that is not there is an error."""
    root = make_project()
    monkeypatch.chdir(tmp_path)
    assert Session.create(save_on_close=False).store["project_path"] == root
    with pytest.raises(ProjectNotFoundError, match="not a folder"):
        Session.create(tmp_path / "nowhere")


def test_a_deleted_working_directory(make_project, monkeypatch, tmp_path) -> None:
    """A bootstrapped project does not need one; without it the project cannot be found, and the error says so."""
    root, gone = make_project(), tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert Session.create(save_on_close=False).store["project_path"] == root
    package = configure.configured_project().package_name
    monkeypatch.setattr(configure._process, "project", None)
    configure_project(package)
    with pytest.raises(ProjectNotFoundError, match=r"working directory .* was deleted.* Pass project_path"):
        Session.create(save_on_close=False)


SETTINGS = """
from treadle.errors import MissingConfigError
from treadle.io import Catalog
from treadle.session import Context

class MyStore:
    kept = []
    def __init__(self, project_path, color):
        self.made_with = (project_path, color)
    def save(self, record):
        self.kept.append((self.made_with, record))
    def load(self, session_id):
        raise KeyError(session_id)
    def list(self, limit=20):
        return []
    def close(self):
        self.kept.append("closed")

class MyContext(Context):
    pass

class MyLoader:
    def __init__(self, conf_source, env, runtime_params, extra):
        self.given = (conf_source, env, runtime_params, extra)
    def __getitem__(self, kind):
        if kind == "parameters":
            return {"model": {"b": 2}}
        raise MissingConfigError(kind)

class MyCatalog(Catalog):
    pass

SESSION_STORE_CLASS = MyStore
SESSION_STORE_ARGS = {"color": "red"}
CONTEXT_CLASS = MyContext
CONFIG_LOADER_CLASS = MyLoader
CONFIG_LOADER_ARGS = {"extra": 1}
DATA_CATALOG_CLASS = MyCatalog
"""


def test_the_classes_of_the_settings(make_project) -> None:
    """Store, context, loader and catalog are the project's own, made with its arguments."""
    root = make_project(settings=SETTINGS)
    with Session.create(extra_params={"model": {"a": 1}}) as session:
        context = session.load_context()
        assert type(context).__name__ == "MyContext"
        assert type(context.catalog).__name__ == "MyCatalog"
        assert context.config_loader.given == (root / "conf", None, {"model": {"a": 1}}, 1)
        assert context.params == {"model": {"a": 1, "b": 2}}
    store = configure.configured_project().settings.SESSION_STORE_CLASS
    (made_with, record), closed = store.kept
    assert made_with == (root, "red")
    assert (record.session_id, closed) == (session.session_id, "closed")
    assert not (root / ".treadle").exists()


def test_store_arguments_that_do_not_fit(make_project) -> None:
    """A store that cannot be created raises before the run; the error names the settings file."""
    make_project(settings="SESSION_STORE_ARGS = {'colour': 'red'}")
    with pytest.raises(StoreError, match=r"SQLStore cannot be created: .*colour.*settings\.py"):
        Session.create()


class FailingStore(SQLStore):
    """A store that cannot save."""

    def save(self, record: object) -> None:
        """Fail."""
        msg = "the disk is gone"
        raise StoreError(msg)


def test_a_store_that_fails(make_project, inline, caplog) -> None:
    """After a good run the store's error is logged; after a failed one it is noted on the run's own error, too."""
    make_project(settings=f"from {__name__} import FailingStore as SESSION_STORE_CLASS\n")
    with Session.create() as session:
        session.run(runner=inline)
    assert (
        f"The record of session {session.session_id} could not be saved: the disk is gone The run itself succeeded" in caplog.text
    )
    caplog.clear()
    with pytest.raises(NodeError, match="broken") as caught, Session.create() as session:
        session.run("bad", runner=inline)
    assert "could not be saved either: the disk is gone" in caught.value.__notes__[0]
    assert f"The record of session {session.session_id} could not be saved" in caplog.text
    assert "Traceback" not in caplog.text
    session = Session.create()

    def run_and_close() -> None:
        try:
            session.run("bad", runner=inline)
        finally:
            session.close()

    with pytest.raises(NodeError, match="broken") as caught:
        run_and_close()
    assert "could not be saved either" in caught.value.__notes__[0]


def test_an_error_of_another_part_is_not_the_sessions(make_project, inline) -> None:
    """A session closed while a program deals with some other error succeeded all the same."""
    root = make_project()
    try:
        {}["other"]
    except KeyError:
        session = Session.create()
        session.run(runner=inline)
        session.close()
    assert (stored(root, session).outcome, stored(root, session).error) == (Outcome.SUCCEEDED, None)


def test_a_broken_error_hook_does_not_hide_the_error(make_project, inline, caplog) -> None:
    """The run's own error is raised; the hook's is logged and noted."""
    hook = (
        "from treadle.hooks import hook_impl\nclass H:\n    @hook_impl\n    def on_pipeline_error(self, error):\n        1 / 0\n"
    )
    make_project(settings=f"{hook}HOOKS = (H(),)\n")
    with pytest.raises(NodeError) as caught, Session.create(save_on_close=False) as session:
        session.run("bad", runner=inline)
    assert "ZeroDivisionError" in caught.value.__notes__[0]
    assert "The on_pipeline_error hook of session_project" in caplog.text
    assert "itself failed for the run, whose own error follows\nTraceback" in caplog.text


class Stopped:
    """A runner in which something happens."""

    name = "stopped"

    def __init__(self, happen):
        self.happen = happen

    def run(self, pipeline, catalog, *, hooks=None, run_id=None, observers=(), durations=None):
        """Let it happen."""
        self.happen()
        return {}


def ctrl_c() -> None:
    """Act like Ctrl-C."""
    raise KeyboardInterrupt


def sigterm() -> None:
    """Be terminated."""
    signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize(("happen", "error"), [(ctrl_c, KeyboardInterrupt), (sigterm, Terminated)])
def test_an_interrupted_run(make_project, happen, error) -> None:
    """Ctrl-C and SIGTERM end the run, are told to the hooks, are recorded, and leave the signal handlers as they were."""
    root = make_project(settings=HOOKS)
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(error), Session.create() as session:
        session.run(runner=Stopped(happen))
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
    assert isinstance(dict(calls_of())["on_pipeline_error"], error)
    record = stored(root, session)
    assert (record.outcome, record.runs[0].outcome) == (Outcome.INTERRUPTED, Outcome.INTERRUPTED)
    assert record.error.type_name.endswith(error.__name__)


def test_an_application_that_exits_at_sigterm(make_project) -> None:
    """Its handler raises SystemExit: the run is recorded as interrupted, and its hooks are called, as at any other signal."""
    root = make_project(settings=HOOKS)
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    try:
        with pytest.raises(SystemExit), Session.create() as session:
            session.run(runner=Stopped(sigterm))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert isinstance(dict(calls_of())["on_pipeline_error"], SystemExit)
    record = stored(root, session)
    assert (record.runs[0].outcome, record.runs[0].error.message) == (Outcome.INTERRUPTED, "3")
    assert record.outcome is Outcome.INTERRUPTED


@pytest.mark.parametrize("hook", ["after_catalog_created", "before_pipeline_run", "after_pipeline_run"])
@pytest.mark.parametrize("code", ["", "'no licence'"])
def test_a_hook_that_exits_fails_the_run(make_project, hook, code) -> None:
    """Only the handler of a signal interrupts a run by `sys.exit`."""
    hooks = "import sys\nfrom treadle import hook_impl\nclass Own:\n    @hook_impl\n"
    root = make_project(settings=f"{hooks}    def {hook}(self):\n        sys.exit({code})\nHOOKS = (Own(),)\n")
    with pytest.raises(SystemExit), Session.create() as session:
        session.run(runner="sequential")
    record = stored(root, session)
    assert (record.runs[0].outcome, record.outcome) == (Outcome.FAILED, Outcome.FAILED)


def test_an_application_keeps_its_sigterm_handler(make_project) -> None:
    """Where the application handles SIGTERM, its handler is called and the run goes on."""
    make_project()
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: heard.append(number))
    try:
        with Session.create(save_on_close=False) as session:
            assert session.run(runner=Stopped(sigterm)) == {}
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


def test_a_session_in_a_thread(make_project, inline) -> None:
    """Outside of the main thread a session runs and touches no signal."""
    make_project()
    results: list[object] = []

    def work() -> None:
        with Session.create() as session:
            results.append(session.run(runner=inline, node_names="count"))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert results == [{"n": 4}]


def test_git_is_in_the_record(make_project, inline, monkeypatch) -> None:
    """The commit is recorded, and whether code or configuration was changed; what runs write elsewhere does not count."""
    monkeypatch.setattr(GitProbe.facts, "__defaults__", (60.0,))  # on a machine that has other things to do
    root = make_project(files={".gitignore": "__pycache__/\n"})
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        subprocess.run(["git", *words], cwd=root, check=True, capture_output=True)

    def recorded():
        with Session.create() as session:
            session.run(runner=inline)
        return stored(root, session)

    first = recorded()
    assert re.fullmatch("[0-9a-f]{40}", str(first.git_commit))
    assert [first.git_dirty, recorded().git_dirty] == [False, False]
    (root / "conf" / "base" / "new.yml").touch()
    assert recorded().git_dirty is True
    (root / "conf" / "base" / "new.yml").unlink()
    (root / "pyproject.toml").write_text((root / "pyproject.toml").read_text() + "\n")
    assert (recorded().git_dirty, recorded().git_commit) == (True, first.git_commit)


def test_changed_sources_are_noticed(make_project, inline) -> None:
    """Code or configuration that differs is noticed, committed or not, and also where both sessions ran with changes."""
    root = make_project(files={"conf/local/credentials.yml": "a: {b: c}\n"})
    package = next((root / "src").iterdir())

    def recorded():
        with Session.create() as session:
            session.run(runner=inline)
        return stored(root, session)

    first = recorded()
    assert re.fullmatch("[0-9a-f]{32}", str(first.sources))
    assert changes_since(first) == ()
    assert recorded().sources == first.sources
    for file in (package / "nodes.py", package / "query.sql", root / "conf" / "base" / "parameters.yml", root / "pyproject.toml"):
        before = recorded()
        file.write_text((file.read_text() if file.exists() else "") + "\n# changed\n")
        assert [change.name for change in changes_since(before)] == ["files of code and configuration (digest)"]
        assert [change.name for change in diff_sessions(before, recorded()).code] == ["files of code and configuration (digest)"]
    last = recorded()
    (root / "conf" / "local" / "credentials.yml").write_text("a: {b: d}\n")
    (root / "data" / "raw.txt").write_text("other data")
    assert changes_since(last) == ()


def test_a_name_that_is_no_name(make_project, inline) -> None:
    """Arguments of the wrong kind are told apart from unknown names."""
    make_project()
    session = Session.create(save_on_close=False)
    with pytest.raises(SessionError, match="tags as a name"):
        session.run(tags=[1])
    with pytest.raises(SessionError, match="load_versions"):
        session.run(load_versions=["raw"])
    with pytest.raises(RunnerError, match="already made"):
        session.run(runner=inline, runner_params={"a": 1})
    with pytest.raises(RunnerError, match=r"Stopped\(\)"):
        session.run(runner=Stopped)


def test_a_conf_source_that_is_not_there(make_project) -> None:
    """A configuration folder that was asked for must exist; the default one may be missing."""
    root = make_project()
    with pytest.raises(ConfigError, match="nowhere does not exist"):
        Session.create(conf_source="nowhere", save_on_close=False).load_context()
    (root / "conf").rename(root / "elsewhere")
    assert Session.create(extra_params={"a": 1}, save_on_close=False).load_context().params == {"a": 1}


def test_importing_sessions_is_cheap() -> None:
    """Neither SQLAlchemy nor OmegaConf nor fsspec is imported with the session."""
    script = (
        "import sys, treadle.session;"
        "print([name for name in ('sqlalchemy', 'omegaconf', 'fsspec', 'pandas', 'loky', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_context_cannot_be_changed(make_project) -> None:
    """A context is immutable, and its params are copies."""
    make_project()
    context = Session.create(save_on_close=False).load_context()
    assert isinstance(context, Context)
    with pytest.raises(AttributeError):
        context.env = "other"
    context.params["factor"] = 100
    assert context.params["factor"] == 2


def test_a_context_travels(make_project):
    """A context that a plugin holds gives the same params and datasets in a worker; it calls no hooks there."""
    make_project()
    context = Session.create(save_on_close=False, extra_params={"factor": 7}).load_context()
    names = sorted(context.catalog)
    back = pickle.loads(pickle.dumps(context))
    assert type(back) is Context
    assert back.params == context.params
    assert back.params["factor"] == 7
    assert (back.project_path, back.env, back.session_id) == (context.project_path, context.env, context.session_id)
    assert sorted(back.catalog) == names
    assert not back.hook_manager.get_plugins()


def test_saving_before_closing(make_project):
    """A record can be kept before the session closes, and is kept again, whole, when it does."""
    root = make_project()
    with Session.create() as session:
        with pytest.raises(NodeError):
            session.run("bad", runner="sequential")
        session.save()
        assert stored(root, session).outcome is Outcome.FAILED
        (root / "repaired").touch()
        session.run("bad", runner="sequential")
    assert [run.outcome for run in stored(root, session).runs] == [Outcome.FAILED, Outcome.SUCCEEDED]
    assert Session.create(save_on_close=False).save() is None


@pytest.mark.parametrize("name", ["project_path", "env", "extra_params", "conf_source", "resume"])
def test_arguments_of_the_wrong_kind(make_project, name: str) -> None:
    """A session says which of its arguments is of the wrong kind, and what was given."""
    make_project()
    with pytest.raises(SessionError, match=rf"{name}=5, a int"):
        Session.create(**{name: 5})


def test_a_session_says_what_it_is(make_project):
    """Its repr has its id, its project and what became of it."""
    make_project()
    with Session.create(save_on_close=False, env="prod") as session:
        assert repr(session).endswith("env='prod': not run yet>")
        session.run()
        assert session.session_id in repr(session)
        assert repr(session).endswith(": succeeded>")


def test_a_second_run_in_a_notebook(make_project):
    """A session that a notebook loaded names the magic that makes the next one."""
    make_project()
    with Session.create(save_on_close=False, command="%reload_treadle --env prod") as session:
        session.run()
        with pytest.raises(SessionError, match=r"has run already.*`%reload_treadle`"):
            session.run()


def test_params_without_end(make_project) -> None:
    """Params that contain themselves raise an error that says so."""
    make_project()
    endless: dict[str, object] = {}
    endless["a"] = endless
    with pytest.raises(SessionError, match="contain themselves"):
        Session.create(extra_params=endless)


def test_a_runner_that_takes_any_options_gets_all_of_them(make_project):
    """`run(self, *args, **options)` forwards what a session passes, the times of earlier runs included."""
    from treadle import SequentialRunner

    seen = {}

    class Forwarding:
        name = "forwarding"

        def run(self, *args, **options):
            seen.update(options)
            return SequentialRunner().run(*args, **options)

    make_project()
    with Session.create() as session:
        session.run(runner=Forwarding())
    assert callable(seen["past_runs"])
