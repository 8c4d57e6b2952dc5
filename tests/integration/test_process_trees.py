"""The processes of a node end with its worker, and workers end with the parent, whatever the node does."""

from __future__ import annotations

import os
import signal

import psutil
import pytest

HELPERS = """
import atexit, os, re, signal, subprocess, sys, tempfile, time
from multiprocessing import get_context
from pathlib import Path
from treadle import Catalog, NodePolicy, ParallelRunner, Pipeline, node
from treadle.errors import NodeTimeoutError, WorkerLostError

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(1000)"]

def start_programs(daemon=True):
    "Start a program, one in a session of its own, one without the environment, a daemon, and a pool that is busy."
    subprocess.Popen(SLEEP)
    subprocess.Popen(SLEEP, start_new_session=True)
    subprocess.Popen(SLEEP, env={"TREADLE_TEST_MARK": os.environ["TREADLE_TEST_MARK"]})
    if daemon:
        mark = f"TREADLE_TEST_MARK={os.environ['TREADLE_TEST_MARK']}"
        command = f"setsid env -i {mark} {sys.executable} -S -c 'import time; time.sleep(1000)' &"
        subprocess.run(["sh", "-c", command], stdout=subprocess.DEVNULL)
    pool = get_context("fork").Pool(1)
    pool.apply_async(time.sleep, (1000,))
    return pool

def reach(name):
    Path(name).write_text(str(os.getpid()))
"""

KILLED = (
    HELPERS
    + """
def stay(how):
    pool = start_programs()
    reach(how)
    if how == "holding the GIL":
        re.match(r"(a+)+$", "a" * 64 + "b")
    if how == "stopped":
        os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(1000)

if __name__ == "__main__":
    catalog = Catalog({how: how for how in HOW})
    with ParallelRunner(len(HOW), start_method=METHOD) as runner:
        runner.run(Pipeline([node(stay, how, None, name=how) for how in HOW]), catalog)
"""
)
HOW = ["asleep", "holding the GIL", "stopped"]


@pytest.fixture
def begin(launch, tmp_path, wait_until):
    """`begin(script, how)`: launch a script and wait until its nodes run; returns it and the workers' process ids by node."""

    def start(script, how):
        launched = launch(script, tmp_path)

        def pids():
            if launched.process.poll() is not None:
                pytest.fail(f"it ended: {launched.output}")
            reached = {name: (tmp_path / name).read_text() for name in how if (tmp_path / name).exists()}
            return len(reached) == len(how) and all(reached.values()) and reached

        return launched, {name: int(pid) for name, pid in wait_until(pids, "every node runs", 60).items()}

    return start


def _script(text, **values):
    return "\n".join(f"{name} = {value!r}" for name, value in values.items()) + text


def test_nothing_outlives_the_parent(begin, leftovers, start_method):
    """After `kill -9` of the parent, no worker, program, socket or file is left, whatever the workers are doing."""
    launched, _pids = begin(_script(KILLED, METHOD=start_method, HOW=HOW), HOW)
    launched.process.kill()
    assert launched.wait() == -signal.SIGKILL
    leftovers.check()


def test_nothing_outlives_the_process_group(begin, leftovers):
    """A kill of the parent's process group does not reach the watchdog, which cleans up."""
    launched, _pids = begin(_script(KILLED, METHOD="spawn", HOW=HOW), HOW)
    os.killpg(launched.process.pid, signal.SIGKILL)
    launched.wait()
    leftovers.check()


LOST = (
    HELPERS
    + """
def take_too_long():
    pool = start_programs()
    time.sleep(1000)

def be_killed():
    # Not the daemon: in a session of its own, with an empty environment, it has lost every tie when its worker is gone.
    pool = start_programs(daemon=False)
    os.kill(os.getpid(), signal.SIGKILL)

def count():
    import psutil
    mark, count = os.environ["TREADLE_TEST_MARK"], 0
    for process in psutil.process_iter():
        try:
            asleep = "time.sleep(1000)" in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE
            count += asleep and process.environ().get("TREADLE_TEST_MARK") == mark
        except psutil.Error:
            pass
    return count

if __name__ == "__main__":
    nodes = [
        node(take_too_long, None, None, name="slow", policy=NodePolicy(timeout=2)),
        node(be_killed, None, None, name="killed"),
    ]
    with ParallelRunner(2, start_method=METHOD) as runner:
        for each in nodes:
            try:
                runner.run(Pipeline([each]), Catalog())
            except (NodeTimeoutError, WorkerLostError) as exc:
                print(type(exc).__name__, count())
"""
)


def test_the_programs_of_a_lost_worker_end_with_it(launch, leftovers, start_method, tmp_path):
    """When the error of a timeout or a killed worker is raised, no program of the node is running."""
    launched = launch(_script(LOST, METHOD=start_method), tmp_path)
    assert launched.wait() == 0, launched.output
    assert launched.output == "NodeTimeoutError 0\nWorkerLostError 0\n"
    leftovers.check()


PEACE = (
    HELPERS
    + """
import weakref

KEPT = []

def use_joblib(numbers):
    from joblib import Parallel, delayed
    return sum(Parallel(n_jobs=2)(delayed(abs)(number) for number in numbers))

def use_pool(numbers):
    start_programs()
    return sum(get_context().Pool(2).map(abs, numbers))

def use_executor(numbers):
    from concurrent.futures import ProcessPoolExecutor
    KEPT.append(ProcessPoolExecutor(1))
    return KEPT[0].submit(sum, numbers).result()

def leave_process(numbers):
    get_context().Process(target=time.sleep, args=(1000,)).start()
    return 6

if __name__ == "__main__":
    nodes = [node(each, "numbers", each.__name__) for each in (use_joblib, use_pool, use_executor, leave_process)]
    with ParallelRunner(1, start_method=METHOD) as runner:
        result = runner.run(Pipeline(nodes), Catalog({"numbers": [1, 2, 3]}))
    print(*result.values())
"""
)


def test_a_run_that_ends_well_leaves_no_process(launch, leftovers, start_method, tmp_path):
    """Processes that a node left running end with the pool, without a wait, a warning or an open standard output."""
    launched = launch(_script(PEACE, METHOD=start_method), tmp_path)
    assert launched.wait() == 0, launched.output
    assert launched.output == "6 6 6 6\n"
    leftovers.check()


HANDLERS = (
    HELPERS
    + """
KEPT = []

def register(log):
    atexit.register(lambda: Path(log).write_text("ran"))
    KEPT.append(tempfile.TemporaryDirectory())
    return KEPT[0].name

if __name__ == "__main__":
    parents = tempfile.TemporaryDirectory()
    atexit.register(print, "the parent's handler ran")
    with ParallelRunner(1, start_method=METHOD) as runner:
        made = runner.run(Pipeline([node(register, "log", "made")]), Catalog({"log": LOG}))["made"]
    print("temporary directories:", Path(made).exists(), Path(parents.name).exists())
"""
)


def test_exit_handlers_run_in_a_worker_that_ends_in_peace(launch, leftovers, start_method, tmp_path):
    """Exit handlers of a node's code run once in the worker; those of the parent only in the parent."""
    log = tmp_path / "log.txt"
    launched = launch(_script(HANDLERS, METHOD=start_method, LOG=str(log)), tmp_path)
    assert launched.wait() == 0, launched.output
    assert log.read_text() == "ran"
    assert launched.output == "temporary directories: False True\nthe parent's handler ran\n"
    leftovers.check()


OPEN_FILES = (
    HELPERS
    + """
class Log:
    def __init__(self, path):
        self.file, self.own = open(path, "w"), self

    def __del__(self):
        self.file.close()

def write(path):
    Log(path).file.write("whole")

if __name__ == "__main__":
    with ParallelRunner(1, start_method=METHOD) as runner:
        runner.run(Pipeline([node(write, "path", None)]), Catalog({"path": PATH}))
"""
)


def test_objects_in_reference_cycles_are_finalized(launch, start_method, tmp_path):
    """An object that a node leaves in a reference cycle closes its file when the pool is closed, as in a program that ends."""
    path = tmp_path / "log.txt"
    launched = launch(_script(OPEN_FILES, METHOD=start_method, PATH=str(path)), tmp_path)
    assert launched.wait() == 0, launched.output
    assert path.read_text() == "whole"


SIGNALS = (
    HELPERS
    + """
def ignored():
    "Which signals are ignored or blocked in a program."
    show = "from pathlib import Path; print(Path('/proc/self/status').read_text())"
    lines = subprocess.run([sys.executable, "-S", "-c", show], stdout=subprocess.PIPE, text=True).stdout.splitlines()
    masks = {line.split(":")[0]: int(line.split(":")[1], 16) for line in lines if line.startswith(("SigIgn", "SigBlk"))}
    both = masks["SigIgn"] | masks["SigBlk"]
    return [name for name in ("SIGHUP", "SIGINT", "SIGTERM") if both >> getattr(signal, name) - 1 & 1]

def in_a_child():
    receiver, sender = get_context("fork").Pipe(duplex=False)
    process = get_context("fork").Process(target=lambda: sender.send(ignored()))
    process.start()
    process.join()
    return receiver.recv()

if __name__ == "__main__":
    with ParallelRunner(1, start_method=METHOD) as runner:
        result = runner.run(Pipeline([node(ignored, None, "program"), node(in_a_child, None, "child")]), Catalog())
    print(result["program"], result["child"])
"""
)


def test_programs_of_a_node_hear_signals(launch, start_method, tmp_path):
    """A program that a node starts has the system's default handling of SIGINT, SIGHUP and SIGTERM."""
    launched = launch(_script(SIGNALS, METHOD=start_method), tmp_path)
    assert launched.wait() == 0, launched.output
    assert launched.output == "[] []\n"


SUSPENDED = KILLED.replace(
    'if __name__ == "__main__":',
    """if __name__ == "__main__":
    if os.fork():  # a shell with job control: only a process group with one around it can be suspended by SIGTSTP
        sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
    os.setpgid(0, 0)""",
)


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_ctrl_z_stops_the_workers(begin, leftovers, method, wait_until):
    """Suspending the run, as Ctrl-Z does, suspends its workers; continuing it continues them."""
    launched, pids = begin(_script(SUSPENDED, METHOD=method, HOW=["asleep"]), ["asleep"])
    worker = psutil.Process(pids["asleep"])
    (parent,) = psutil.Process(launched.process.pid).children()
    parent.send_signal(signal.SIGTSTP)
    wait_until(lambda: {parent.status(), worker.status()} == {psutil.STATUS_STOPPED}, "both are stopped")
    parent.send_signal(signal.SIGCONT)
    wait_until(lambda: psutil.STATUS_STOPPED not in (parent.status(), worker.status()), "both go on")
    parent.kill()
    launched.wait()
    leftovers.check()


STACKS = (
    HELPERS
    + """
def look_stuck():
    reach("stuck")
    os.kill(os.getpid(), signal.SIGUSR1)
    return "done"

if __name__ == "__main__":
    with ParallelRunner(1, start_method=METHOD) as runner:
        print(runner.run(Pipeline([node(look_stuck, None, "end")]), Catalog())["end"])
"""
)


def test_sigusr1_shows_what_a_worker_does(launch, leftovers, start_method, tmp_path):
    """SIGUSR1 prints the stacks of a worker's threads, and the worker continues."""
    launched = launch(_script(STACKS, METHOD=start_method), tmp_path)
    assert launched.wait() == 0, launched.output
    assert "in look_stuck" in launched.output
    assert launched.output.endswith("done\n")
    leftovers.check()
