"""ServiceSession: one loaded project, many runs, from many threads."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from treadle import ParallelRunner, Session
from treadle.errors import NodeError, RunnerError, SessionError, UnknownNameError
from treadle.events import Outcome
from treadle.observe.store import SQLStore
from treadle.session import ServiceSession

HOOKS = """
import threading
from treadle import hook_impl

class Listening:
    seen = []
    lock = threading.Lock()
    @hook_impl
    def on_session_created(self, session_data):
        with self.lock:
            self.seen.append(("created", session_data["session_id"], session_data["extra_params"].get("factor")))
    @hook_impl
    def before_pipeline_run(self, run_params, pipeline, catalog):
        with self.lock:
            self.seen.append(("before", run_params["run_id"], catalog.load("params:factor")))

HOOKS = (Listening(),)
"""


@pytest.fixture
def project(make_project):
    """A project whose output lives in memory, so that runs at the same time do not write one file."""
    return make_project(HOOKS, {"conf/base/catalog.yml": "raw:\n  type: text.TextDataset\n  filepath: data/raw.txt\n"})


def records(project):
    """Return the whole record of each session in the store, oldest first."""
    with closing(SQLStore(project_path=project)) as store:
        return [store.load(each.session_id) for each in reversed(store.list(limit=1000))]


def test_many_runs_each_with_its_own_params_and_record(project):
    """Each run has an id, params and a record of its own; the service's params lie under the run's (failure 19)."""
    with ServiceSession.create(runner="sequential", extra_params={"model": {"a": 10}}, command="serve") as service:
        results = [service.run(extra_params={"factor": factor}) for factor in (3, 5)]
        plain = service.run()
    assert [result["scaled"] for result in results] == [12, 20]
    assert plain["scaled"] == 8
    kept = records(project)
    assert [each.session_id for each in kept] == [result.run_id for result in (*results, plain)]
    assert [each.extra_params for each in kept] == [
        {"model": {"a": 10}, "factor": 3},
        {"model": {"a": 10}, "factor": 5},
        {"model": {"a": 10}},
    ]
    assert {each.command for each in kept} == {"serve"}
    assert [len(each.runs) for each in kept] == [1, 1, 1]


def test_threads_never_see_one_anothers_params(project):
    """120 runs over 4 threads see each their own params, in results, hooks and records (failure 14)."""
    with ServiceSession.create(runner="sequential") as service, ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda factor: service.run(extra_params={"factor": factor}, runner="sequential"), range(120)))
    assert [result["scaled"] for result in results] == [4 * factor for factor in range(120)]
    assert {each.session_id: each.extra_params["factor"] for each in records(project)} == {
        result.run_id: factor for factor, result in enumerate(results)
    }
    from treadle.project import configured_project

    seen = configured_project().settings.HOOKS[0].seen
    told = {(result.run_id, factor) for factor, result in enumerate(results)}
    assert {(run, factor) for what, run, factor in seen if what == "created"} == told
    assert {(run, factor) for what, run, factor in seen if what == "before"} == told
    assert len(seen) == 240


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver", "loky"])
def test_shared_workers_stay_warm_and_runs_queue(project, method):
    """Runs from several threads share one runner's workers, one run at a time, under every start method."""
    pids, depth, most, lock = set(), [0], [0], threading.Lock()

    def watch(event):
        name = type(event).__name__
        with lock:
            if name == "WorkerStarted" and event.worker != "main":
                pids.add(event.pid)
            depth[0] += {"RunStarted": 1, "RunFinished": -1}.get(name, 0)
            most[0] = max(most[0], depth[0])

    with ServiceSession.create(runner_params={"max_workers": 2, "start_method": method}) as service:
        with ThreadPoolExecutor(4) as pool:
            runs = [pool.submit(service.run, extra_params={"factor": each}, observers=(watch,)) for each in range(12)]
        assert [run.result()["scaled"] for run in runs] == [4 * each for each in range(12)]
    assert len(pids) in {1, 2}  # the second one may come up when all is done
    assert most[0] == 1
    assert [each.runs[0].start_method for each in records(project)] == [method] * 12


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"runner": ParallelRunner}, r"Give an instance, ParallelRunner\(\)"),
        ({"runner": ParallelRunner(1), "runner_params": {"max_workers": 2}}, "already made"),
        ({"runner": "paralel"}, "Did you mean 'parallel'"),
    ],
)
def test_a_service_and_a_session_read_a_runner_the_same_way(project, arguments, words):
    """The same wrong arguments are the same error in a service and in a session."""
    with pytest.raises(RunnerError, match=words):
        ServiceSession.create(**arguments)
    with Session.create(save_on_close=False) as session, pytest.raises(RunnerError, match=words):
        session.run(**arguments)


def test_given_runner_stays_open(project):
    """A runner that was given is the caller's: the service leaves it open."""
    with ParallelRunner(1, start_method="loky") as runner:
        with ServiceSession.create(runner=runner) as service:
            service.run()
        with Session.create() as session:
            assert session.run(runner=runner)["scaled"] == 8


def test_failed_run_is_recorded_and_the_next_one_works(project):
    """A failed run raises as a session's does, is recorded as failed, and leaves the service as it was."""
    with ServiceSession.create(runner="sequential") as service:
        with pytest.raises(NodeError, match="the loom is broken") as caught:
            service.run("bad", extra_params={"factor": 3})
        with pytest.raises(UnknownNameError):
            service.run("bda")
        assert service.run()["scaled"] == 8
    assert re.fullmatch(r"treadle run --resume=[\w.T-]+", caught.value.resume)
    assert [each.outcome for each in records(project)] == [Outcome.FAILED, Outcome.FAILED, Outcome.SUCCEEDED]


def test_configuration_is_read_once(project):
    """The files of `conf/` are read with the first run; what changes in them counts from the next service on."""
    with ServiceSession.create(runner="sequential", env="prod", save_on_close=False) as service:
        before = service.run()["scaled"]
        (project / "conf/prod/parameters.yml").write_text("factor: 100\n")
        assert service.run()["scaled"] == before == 28
    with ServiceSession.create(runner="sequential", env="prod", save_on_close=False) as service:
        assert service.run()["scaled"] == 400
    assert records(project) == []


def test_inputs_of_one_run_are_gone_in_the_next(project):
    """Values given to a run are seen by that run alone."""
    with ServiceSession.create(runner="sequential") as service:
        assert service.run(inputs={"raw": "seven77"})["scaled"] == 14
        assert service.run()["scaled"] == 8
    assert [each.runs[0].params.get("inputs") for each in records(project)] == [["raw"], None]


def test_closing_waits_for_the_runs_under_way(project):
    """Closing waits for what runs; after it, a run is an error that says what to do."""
    begun, go_on, closed = threading.Event(), threading.Event(), threading.Event()

    def hold(event):
        if type(event).__name__ == "NodeStarted":
            begun.set()
            assert go_on.wait(30)

    service = ServiceSession.create(runner="sequential")
    with ThreadPoolExecutor(2) as pool:
        run = pool.submit(service.run, observers=(hold,))
        assert begun.wait(30)
        closing_it = pool.submit(lambda: (service.close(), closed.set()))
        assert not closed.is_set()
        go_on.set()
        assert run.result(30)["scaled"] == 8
        closing_it.result(30)
    with pytest.raises(SessionError, match=r"ServiceSession\.create"):
        service.run()
    service.close()


def test_second_run_of_a_session_names_the_service(project):
    """A second run of a session is an error that names ServiceSession."""
    with Session.create(save_on_close=False) as session:
        session.run(runner="sequential")
        with pytest.raises(SessionError, match="ServiceSession"):
            session.run(runner="sequential")
