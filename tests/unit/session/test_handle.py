"""RunHandle: runs that are submitted to a service, their states, their cancellation and their results."""

from __future__ import annotations

import gc
import os
import threading
import warnings
import weakref
from contextlib import closing

import pytest

from treadle.errors import NodeError, RunCancelledError, SessionError, UnknownNameError
from treadle.events import NodeStarted, Outcome
from treadle.observe.store import SQLStore
from treadle.session import RunHandle, ServiceSession
from treadle.session.run_queue import RunQueue

REGISTRY = """
import threading
from pathlib import Path
from treadle.pipeline import Pipeline, node

def scale(factor):
    return 4 * factor

def block(factor):
    tick = threading.Event()
    while not Path("gate").exists():
        tick.wait(0.01)
    return factor

def mend(factor):
    if not Path("repaired").exists():
        raise ValueError("not repaired yet")
    return factor

def add(given, factor):
    return given + factor

def register_pipelines():
    return {
        "__default__": Pipeline([node(scale, "params:factor", "scaled", name="scale")]),
        "blocked": Pipeline([node(block, "params:factor", "b", name="block"), node(scale, "b", "c", name="after")]),
        "mended": Pipeline([node(mend, "params:factor", "m", name="mend")]),
        "given": Pipeline([node(add, ["given", "params:factor"], "sum", name="add")]),
    }
"""


@pytest.fixture
def project(make_project):
    """A project whose pipelines can be blocked by the file `gate`."""
    root = make_project(files={"conf/base/catalog.yml": "{}"})
    (registry,) = root.glob("src/*/pipeline_registry.py")
    registry.write_text(REGISTRY)
    return root


@pytest.fixture
def service(project):
    """A service without workers and without records."""
    with ServiceSession.create(runner="sequential", save_on_close=False) as made:
        yield made
        (project / "gate").touch()


def record(project, session_id):
    """Return a recorded session."""
    with closing(SQLStore(project_path=project)) as store:
        return store.load(session_id)


def test_hundreds_of_submitted_runs_each_have_their_own_params(service):
    """Runs that are submitted at once from many threads run one after the other, and none sees another's params (failure 14)."""
    handles = {}

    def submit(first):
        for factor in range(first, 300, 4):
            handles[factor] = service.submit(extra_params={"factor": factor})

    threads = [threading.Thread(target=submit, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {factor: handle.result()["scaled"] for factor, handle in handles.items()} == {each: 4 * each for each in range(300)}
    assert len({handle.id for handle in handles.values()}) == 300
    assert {handle.result().run_id for handle in handles.values()} == {handle.id for handle in handles.values()}


def test_states_and_progress(service, project):
    """A handle says whether the run waits, runs or has ended, and how far it is."""
    started = threading.Event()
    first = service.submit("blocked", observers=[lambda event: started.set() if isinstance(event, NodeStarted) else None])
    second = service.submit()
    assert started.wait(60)
    assert (first.status, second.status) == ("running", "queued")
    assert (first.progress.nodes, first.progress.done, first.progress.running) == (2, 0, ("block",))
    assert second.progress.nodes == 0
    assert not first.is_done
    assert not second.wait(0)
    with pytest.raises(TimeoutError, match=rf"{second.id} is still queued after 0 s"):
        second.result(timeout=0)
    (project / "gate").touch()
    assert first.result()["c"] == 8
    assert second.result()["scaled"] == 8
    assert (first.status, first.progress.done, first.progress.running) == ("succeeded", 2, ())
    assert repr(first) == f"<RunHandle {first.id}: succeeded>"
    assert first.cancel() is False
    assert first.status == "succeeded"


def test_a_queued_run_is_cancelled_at_once(service, project):
    """A queued run ends without running, while another one runs; its callbacks are called."""
    blocked, ended = service.submit("blocked"), []
    queued = service.submit()
    queued.add_done_callback(ended.append)
    assert queued.cancel() is True
    assert queued.status == "cancelled"
    assert ended == [queued]
    with pytest.raises(RunCancelledError, match=queued.id):
        queued.result()
    (project / "gate").touch()
    assert blocked.result()["c"] == 8
    assert queued.progress.nodes == 0


@pytest.mark.parametrize("runner", ["thread", "parallel"])
def test_a_running_run_is_cancelled_and_recorded(project, runner):
    """A cancelled run is recorded as interrupted, and the next one uses the same runner."""
    with ServiceSession.create(runner=runner, runner_params={"max_workers": 1}) as service:
        started = threading.Event()
        handle = service.submit("blocked", observers=[lambda event: started.set() if isinstance(event, NodeStarted) else None])
        assert started.wait(60)
        assert handle.cancel() is True
        assert isinstance(handle.exception(60), RunCancelledError)
        assert handle.status == "cancelled"
        (project / "gate").touch()
        assert service.submit().result()["scaled"] == 8
    kept = record(project, handle.id)
    assert kept.outcome is Outcome.INTERRUPTED
    assert {node.node: node.outcome for node in kept.runs[0].nodes} == {"block": Outcome.INTERRUPTED, "after": Outcome.SKIPPED}
    assert "was cancelled" in kept.error.message


def test_errors_are_raised_by_the_result(service):
    """A run that fails, and one that cannot start, raise their error from `result`; callbacks that come later are called too."""
    failed, unknown = service.submit("mended"), service.submit("mendde")
    with pytest.raises(NodeError, match="not repaired yet"):
        failed.result()
    with pytest.raises(UnknownNameError, match="mended"):
        unknown.result()
    assert (failed.status, unknown.status) == ("failed", "failed")
    assert failed.progress.failed == ("mend",)
    late = []
    failed.add_done_callback(late.append)
    assert late == [failed]


def test_params_are_those_of_the_call(service, project):
    """Changing the mapping after `submit` does not change the run."""
    params = {"factor": 3}
    service.submit("blocked")
    handle = service.submit(extra_params=params)
    params["factor"] = 100
    (project / "gate").touch()
    assert handle.result()["scaled"] == 12


def test_closing_waits_and_an_error_cancels(project):
    """Closing waits for submitted runs, as an executor of concurrent.futures does; if the block fails, they are cancelled."""
    with ServiceSession.create(runner="sequential", save_on_close=False) as service:
        waited = service.submit()
    assert waited.status == "succeeded"
    with pytest.raises(SessionError, match="closed"):
        service.submit()
    with (  # noqa: PT012 - the error is that of the block
        pytest.raises(RuntimeError, match="the program fails"),
        ServiceSession.create(runner="thread", save_on_close=False) as service,
    ):
        running, queued = service.submit("blocked"), service.submit()
        raise RuntimeError("the program fails")
    assert (running.status, queued.status) == ("cancelled", "cancelled")
    (project / "gate").touch()


def test_a_service_resumes_a_run_with_its_params_and_inputs(project):
    """A failed run is continued by its id with its params; one with inputs gets them again; another environment is an error."""
    with ServiceSession.create(runner="sequential") as service:
        failed = service.submit("mended", extra_params={"factor": 5})
        assert failed.wait(60)
        (project / "repaired").touch()
        resumed = service.submit(resume=failed.id)
        assert resumed.result()["m"] == 5
        with pytest.raises(SessionError, match="succeeded"):
            service.run(resume=resumed.id)
        assert service.run("given", inputs={"given": 1})["sum"] == 3
    assert record(project, resumed.id).resumed_from == failed.id
    (project / "repaired").unlink()
    with ServiceSession.create(runner="sequential", env="prod") as service:
        failed = service.submit("mended")
        assert failed.wait(60)
    with ServiceSession.create(runner="sequential") as service, pytest.raises(SessionError, match="environment prod"):
        service.run(resume=failed.id)


def test_handles_do_not_keep_results_alive(service):
    """When the program forgets a handle, the result of its run is freed, although the queue's thread goes on."""
    handle = service.submit()
    result = weakref.ref(handle.result())
    service.submit().result()
    del handle
    gc.collect()
    assert result() is None


def test_a_callback_that_raises_stops_nothing(caplog):
    """Its exception is logged; the other callbacks are called, and the queued runs run, even if it asks the thread to exit."""
    queue, gate, called = RunQueue(), threading.Event(), []

    def fail(_handle):
        raise ValueError("the callback fails")

    def leave(_handle):
        raise SystemExit

    handles = [RunHandle(f"run {number}", lambda _handle: gate.wait(60)) for number in range(3)]
    for function in (fail, called.append):
        handles[0].add_done_callback(function)
    handles[1].add_done_callback(leave)
    for handle in handles:
        queue.put(handle)
    gate.set()
    assert handles[2].wait(60)
    queue.close()
    assert called == handles[:1]
    assert [handle.status for handle in handles] == ["succeeded"] * 3
    assert [each.exc_info[0] for each in caplog.records] == [ValueError, SystemExit]
    assert "done callback of the run run 0" in caplog.text


def test_a_callback_cannot_close_the_service(project, service, caplog):
    """It would wait for its own thread. The service stays open."""
    handle = service.submit("blocked", extra_params={"factor": 1})
    handle.add_done_callback(lambda _handle: service.close())
    (project / "gate").touch()
    assert service.submit(extra_params={"factor": 2}).result()["scaled"] == 8
    assert handle.status == "succeeded"
    assert "Close it in another thread" in caplog.text
    assert service.submit(extra_params={"factor": 3}).result()["scaled"] == 12


def test_a_forked_child_runs_what_it_submits_itself():
    """It has a thread of its own, and leaves the runs that it inherited to its parent: asking for their end is an error."""
    queue, gate, started, ran = RunQueue(), threading.Event(), threading.Event(), []

    def block(_handle):
        started.set()
        return gate.wait(60)

    inherited = [RunHandle("running", block), RunHandle("waiting", ran.append)]
    for handle in inherited:
        queue.put(handle)
    assert started.wait(60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the other thread is the point of the test
        child = os.fork()
    if child == 0:
        own = RunHandle("own", ran.append)
        queue.put(own)
        ended = own.wait(60)
        refused = []
        for ask in (inherited[0].result, inherited[1].wait, inherited[1].cancel):
            try:
                ask()
            except SessionError as exc:
                refused.append(exc.session_id)
        queue.close()
        os._exit(0 if ended and ran == [own] and refused == ["running", "waiting", "waiting"] else 1)
    status = os.waitpid(child, 0)[1]
    gate.set()
    queue.close()
    assert os.waitstatus_to_exitcode(status) == 0
    assert ran == inherited[1:]


def test_the_name_is_public():
    """The class can be imported from `treadle`."""
    import treadle

    assert treadle.RunHandle is RunHandle
