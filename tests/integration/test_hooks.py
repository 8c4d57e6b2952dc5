"""Hooks where nodes run, in each of the six ways: started once a process, in their order, and named when they fail."""

from __future__ import annotations

import os
from collections import defaultdict

import pytest

from treadle import HookError, NodeError, Session, WorkerLostError, WorkerSetupError

IN_PROCESS = ("sequential", "thread")
FILES = {
    "pyproject.toml": '[tool.treadle]\npackage_name = "hooked"\n',
    "src/hooked/__init__.py": "",
    "src/hooked/settings.py": (
        "from hooked.hooks import Client, Early, Late, Locked\n\nHOOKS = (Late(), Client(), Locked(), Early())\n"
    ),
    "src/hooked/hooks.py": '''
import os
import threading
from pathlib import Path

from treadle import hook_impl


def note(*words):
    with open(os.environ["HOOKED_NOTES"], "ab", buffering=0) as file:
        file.write(("\\t".join(map(str, (os.getpid(), *words))) + "\\n").encode())


def fail(plugin, hook):
    if Path(os.environ["HOOKED_NOTES"]).with_name("fail").read_text() == f"{plugin} {hook}":
        raise LookupError(f"no {hook}")


class Client:
    """Keeps something of each process in the instance, and learns in the parent which run it is."""

    def __init__(self):
        self.connection = self.run = None

    @hook_impl
    def before_pipeline_run(self, run_params):
        fail("Client", "before_pipeline_run")
        self.run = run_params["run_id"]

    @hook_impl
    def after_pipeline_run(self):
        fail("Client", "after_pipeline_run")

    @hook_impl
    def after_catalog_created(self):
        fail("Client", "after_catalog_created")

    @hook_impl
    def on_worker_start(self, spec):
        note("Client", "start", spec.label, spec.start_method, spec.package_name, spec.pid)
        fail("Client", "on_worker_start")
        self.connection = f"{os.getpid()} by {spec.label}"

    @hook_impl
    def before_dataset_loaded(self, dataset_name):
        note("Client", "load", dataset_name, self.connection, self.run)
        fail("Client", "before_dataset_loaded")

    @hook_impl
    def after_node_run(self, node):
        note("Client", "after", node.name, self.connection, self.run)
        fail("Client", "after_node_run")


class Locked:
    """Does not pickle: each worker makes its own from settings.py."""

    def __init__(self):
        self.lock = threading.Lock()

    @hook_impl
    def on_worker_start(self, spec):
        with self.lock:
            note("Locked", "start", spec.label)

    @hook_impl
    def after_node_run(self, node):
        with self.lock:
            note("Locked", "after", node.name)


class Early(Locked):
    @hook_impl(tryfirst=True)
    def on_worker_start(self, spec):
        note("Early", "start", spec.label)

    @hook_impl
    def after_node_run(self, node):
        note("Early", "after", node.name)
        fail("Early", "after_node_run")


class Late(Early):
    def __init__(self):
        pass

    @hook_impl(trylast=True)
    def on_worker_start(self, spec):
        note("Late", "start", spec.label)

    @hook_impl(trylast=True)
    def after_node_run(self, node):
        note("Late", "after", node.name)
''',
    "src/hooked/pipeline_registry.py": """
import os
import signal

from treadle import Pipeline, node


def same(value):
    return value


def end(value):
    os.kill(os.getpid(), signal.SIGKILL)


def register_pipelines():
    return {
        "__default__": Pipeline([node(same, "params:value", f"out_{n}", name=f"node_{n}") for n in range(6)]),
        "end": Pipeline([node(end, "params:value", None, name="end")]),
    }
""",
    "conf/base/parameters.yml": "value: 5\n",
    "fail": "",
}
ORDER = ["Early", "Locked", "Client", "Late"]


def make(folder):
    """Write the project; where its files are is part of what makes a plugin new to a process."""
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


@pytest.fixture(scope="module")
def root(way, tmp_path_factory):
    """The project on disk, one for each way and all its tests, so that warm workers stay warm."""
    return make(tmp_path_factory.mktemp(way))


@pytest.fixture
def project(root, in_project):
    """Stand in the project: its notes are empty, and nothing fails."""
    (root / "notes").write_text("")
    (root / "fail").write_text("")
    with in_project(root, HOOKED_NOTES=str(root / "notes")):
        yield root


@pytest.fixture
def fresh(tmp_path, in_project):
    """Stand in a copy of the project that no other test has."""
    with in_project(make(tmp_path), HOOKED_NOTES=str(tmp_path / "notes")):
        yield tmp_path


def run(runner, *pipelines):
    with Session.create(save_on_close=False) as session:
        session.run(pipelines or None, runner=runner)
        return session.session_id


def notes(root):
    """The notes of each process, in their order."""
    found = defaultdict(list)
    for line in (root / "notes").read_text().splitlines():
        pid, *words = line.split("\t")
        found[int(pid)].append(words)
    return dict(found)


@pytest.mark.filterwarnings("ignore:The hooks")
def test_each_plugin_is_started_once_a_process(fresh, way, runner_for):
    """Warm workers and replaced ones: a start before anything else, once; the connection stays, what runs teach is new."""
    with runner_for(way) as runner:
        runs = [run(runner) for _ in range(2)]
        if way not in IN_PROCESS:
            with pytest.raises(WorkerLostError):
                run(runner, "end")
            runs.append(run(runner))
    found = notes(fresh)
    assert (set(found) == {os.getpid()}) == (way in IN_PROCESS)
    assert len(found) <= 3
    for pid, lines in found.items():
        starts = [words for words in lines if words[1] == "start"]
        assert lines[: len(starts)] == starts
        assert [plugin for plugin, *_ in starts] == ORDER
        label = "main" if way in IN_PROCESS else starts[0][2]
        method = "None" if way in IN_PROCESS else way
        assert starts[2] == ["Client", "start", label, method, "hooked", str(pid)]
        connected = {words[3] for words in lines if words[:2] in (["Client", "load"], ["Client", "after"])}
        assert connected == {f"{pid} by {label}"}
    learned = {words[4] for lines in found.values() for words in lines if words[:2] == ["Client", "after"]}
    assert learned == set(runs)


def test_the_order_is_that_of_the_parent(project, any_runner):
    """tryfirst, last in first out, trylast: for each node the plugins are called in one order, whatever runs it."""
    run(any_runner)
    called = defaultdict(list)
    for lines in notes(project).values():
        for plugin, when, name, *_rest in lines:
            if when == "after":
                called[name].append(plugin)
    assert called == {f"node_{n}": ["Early", "Locked", "Client", "Late"] for n in range(6)}


@pytest.mark.parametrize(
    ("plugin", "hook", "place"),
    [("Client", "before_dataset_loaded", 1), ("Client", "after_node_run", 1), ("Early", "after_node_run", 3)],
)
def test_a_hook_of_nodes_that_fails_is_named(project, any_runner, plugin, hook, place):
    """The node's error names hook and plugin, with the user's own exception and traceback."""
    (project / "fail").write_text(f"{plugin} {hook}")
    with pytest.raises(NodeError, match=rf"failed in the hook {hook} of hooked\.hooks\.{plugin} \(HOOKS\[{place}\]\)") as caught:
        run(any_runner)
    failure = caught.value.failure
    assert (failure.phase, failure.hook, failure.plugin) == ("hook", hook, f"hooked.hooks.{plugin} (HOOKS[{place}])")
    assert repr(caught.value.__cause__) == f"LookupError('no {hook}')"
    assert "pluggy" not in failure.traceback
    assert f"in {hook}" in failure.traceback


def test_a_plugin_that_cannot_start_is_named(fresh, way, runner_for):
    """A failing on_worker_start is a failed set-up, not a node's failure; with its cause gone, the run goes through."""
    (fresh / "fail").write_text("Client on_worker_start")
    with runner_for(way) as runner:
        with pytest.raises(WorkerSetupError, match=r"set up: the hook on_worker_start of hooked\.hooks\.Client") as e:
            run(runner)
        assert e.value.worker == "main" if way in IN_PROCESS else e.value.worker.startswith("worker-")
        assert repr(e.value.__cause__) == "LookupError('no on_worker_start')"
        assert str(e.value).count("in on_worker_start") == 1
        (fresh / "fail").write_text("")
        run(runner)


@pytest.mark.parametrize("hook", ["before_pipeline_run", "after_pipeline_run", "after_catalog_created"])
def test_a_hook_of_the_parent_that_fails_is_named(fresh, hook):
    """Session, catalog and pipeline hooks fail by name too, with the user's exception as the cause."""
    (fresh / "fail").write_text(f"Client {hook}")
    with pytest.raises(HookError, match=rf"The hook {hook} of hooked\.hooks\.Client \(HOOKS\[1\]\) failed: LookupError: no") as e:
        run("sequential")
    assert (e.value.hook, e.value.failure.hook) == (hook, hook)
    assert isinstance(e.value.__cause__, LookupError)


def test_the_command_line_shows_it_once(fresh, treadle):
    """One traceback, the user's own; one paragraph; and the exit code of a failed run."""
    for hook, error in (("before_pipeline_run", "The hook "), ("on_worker_start", "worker-1 could not be set up: the hook ")):
        (fresh / "fail").write_text(f"Client {hook}")
        words = ["run", "--runner", "parallel", "--runner-params", "max_workers=1,start_method=spawn"]
        launched = treadle(fresh, *words, HOOKED_NOTES=str(fresh / "notes"))
        assert launched.wait() == 1
        assert f"Error: {error}{hook} of hooked.hooks.Client (HOOKS[1]) failed" in launched.output
        assert f"LookupError: no {hook}\n" in launched.output
        assert launched.output.count("Traceback (most recent call last)") == 1
        assert "site-packages" not in launched.output


def test_a_node_that_must_run_in_the_main_process_finds_its_plugins_started(fresh, parallel_runner):
    """Beside workers the main process is one that runs nodes: its plugins are started before the first of them."""
    from treadle import Catalog, Dataset, Pipeline, node
    from treadle.hooks import create_hook_manager, register_hooks
    from treadle.project import configured_project

    class Here(Dataset):
        main_process_only = True

        def load(self):
            return 1

        def save(self, data): ...

    manager = create_hook_manager()
    register_hooks(manager, configured_project().settings.HOOKS[1:2], source="HOOKS")
    pipeline = Pipeline([node(lambda here: here, "here", "there", name="stays"), node(abs, "there", "end", name="leaves")])
    assert parallel_runner.run(pipeline, Catalog({"here": Here()}), hooks=manager)["end"] == 1
    for pid, lines in notes(fresh).items():
        label = "main" if pid == os.getpid() else "worker-"
        assert all(f"{pid} by {label}" in words[3] for words in lines if words[1] in ("load", "after"))
        assert [words[1] for words in lines].count("start") <= 1
    assert ["Client", "after", "stays"] in [words[:3] for words in notes(fresh)[os.getpid()]]


def test_a_plugin_registered_by_hand_is_named_by_its_class_alone(any_runner):
    """The number by which a worker knows a plugin without a name is not shown: the error is the same under every runner."""
    from treadle import Catalog, Pipeline, hook_impl, node
    from treadle.hooks import create_hook_manager, register_hooks

    class Strict:
        @hook_impl
        def before_node_run(self, node):
            raise LookupError(node.name)

    manager = create_hook_manager()
    register_hooks(manager, [Strict()])
    with pytest.raises(NodeError, match=r"failed in the hook before_node_run of [\w.]+\.<locals>\.Strict( on |: )") as caught:
        any_runner.run(Pipeline([node(abs, "number", "size", name="one")]), Catalog({"number": -1}), hooks=manager)
    assert caught.value.failure.plugin.endswith("<locals>.Strict")
