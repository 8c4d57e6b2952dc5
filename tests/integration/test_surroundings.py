"""What surrounds a run: standard streams that are closed, a locale without Unicode, a path with a space and an umlaut."""

from __future__ import annotations

import contextlib
import shlex
import sys
from pathlib import Path

import pytest

from treadle.cli.scaffold import create_project
from treadle.events import Outcome
from treadle.observe.store import SQLStore

PRINTING = 'rows = list(csv.DictReader(raw_orders.splitlines()))\n    print("öffnen", len(rows), flush=True)'
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}


@pytest.fixture
def shop(tmp_path):
    """A project in a folder with a space and an umlaut in its name; one of its nodes prints."""
    root = create_project("starter", tmp_path / "wöllner laden", project_name="Wöllner", package_name="shop")
    nodes = root / "src/shop/pipelines/cleaning/nodes.py"
    nodes.write_text(nodes.read_text("utf-8").replace("rows = list(csv.DictReader(raw_orders.splitlines()))", PRINTING), "utf-8")
    return root


def _run(launch, root, then, **environment):
    command = f"exec {shlex.quote(sys.executable)} -m treadle run {then}"
    return launch(["sh", "-c", command], root, **environment)


def _record(root):
    with contextlib.closing(SQLStore(project_path=root)) as store:
        (summary,) = store.list()
        return store.load(summary.session_id)


@pytest.mark.parametrize("method", ["fork", "spawn", "loky"])
def test_closed_streams(launch, shop, leftovers, method):
    """A run without standard input, output and error succeeds, under every start method."""
    flags = f"--runner=parallel --runner-params=max_workers=1,start_method={method}"
    assert _run(launch, shop, f"{flags} <&- >&- 2>&-").wait() == 0
    assert _record(shop).outcome is Outcome.SUCCEEDED
    leftovers.check()


PRINTING_SCRIPT = """
import sys
from pathlib import Path
from treadle import Catalog, ParallelRunner, Pipeline, node

def shout():
    print("out")
    print("err", file=sys.stderr)
    return 1

Path("made").write_text(str(ParallelRunner(1, start_method={method!r}).run(Pipeline([node(shout, None, "a")]), Catalog())["a"]))
"""


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver", "loky"])
def test_a_script_without_standard_streams(launch, tmp_path, leftovers, method, closed):
    """Workers start, and what they print goes where it can, in a script whose standard streams are closed."""
    (tmp_path / "a_script.py").write_text(PRINTING_SCRIPT.format(method=method))
    launched = launch(["sh", "-c", f"exec {shlex.quote(sys.executable)} a_script.py {closed}"], tmp_path)
    assert launched.wait() == 0, launched.output
    assert (tmp_path / "made").read_text() == "1"
    assert launched.output == ("out\n" if closed == "2>&-" else "")
    leftovers.check()


UNREADABLE_SCRIPT = """
import contextlib, os, sys
from pathlib import Path
from treadle import Catalog, ParallelRunner, Pipeline, node

def shout():
    print("out", flush=True)
    return 1

reading, writing = os.pipe()
os.dup2(writing, 2)
os.close(writing)
os.close(reading)
with contextlib.suppress(BrokenPipeError):
    sys.stderr.write("lost\\n")
assert ParallelRunner(1, start_method={method!r}).run(Pipeline([node(shout, None, "a")]), Catalog())["a"] == 1
os.dup2(1, 2)  # what is in the buffer is written at exit
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver", "loky"])
def test_a_stream_that_cannot_be_flushed(launch, tmp_path, leftovers, method):
    """Workers start while standard error has a line that its reader, which has ended, did not take; it is written once."""
    launched = launch(UNREADABLE_SCRIPT.format(method=method), tmp_path, PYTHONUNBUFFERED="")
    assert launched.wait() == 0, launched.output
    assert launched.output == "out\nlost\n"
    leftovers.check()


@pytest.mark.parametrize("flags", ["", "--runner=parallel --runner-params=max_workers=1,start_method=fork"])
@pytest.mark.parametrize(("arguments", "code"), [("", 0), ("--params=cleaning.largest_quantity=many", 1), ("--nodes=unknown", 2)])
def test_standard_error_without_a_reader(launch, shop, leftovers, flags, arguments, code):
    """Log lines and errors that cannot be written do not change the exit code."""
    command = f"{shlex.quote(sys.executable)} -m treadle run {flags} {arguments}; echo code $?"
    script = "import os, subprocess\nreading, writing = os.pipe()\nos.close(reading)\n"
    script += f"subprocess.run({command!r}, shell=True, stderr=writing)"
    launched = launch(script, shop, PYTHONUNBUFFERED="")
    assert launched.wait() == 0, launched.output
    assert launched.output.splitlines()[-1] == f"code {code}"
    leftovers.check()


DAEMON = """
import multiprocessing
from treadle import Catalog, ParallelRunner, Pipeline, node

def daemonic():
    return multiprocessing.current_process().daemon

def serve(answers):
    with ParallelRunner(1, start_method={method!r}) as runner:
        results = [runner.run(Pipeline([node(daemonic, None, "daemonic")]), Catalog())["daemonic"] for _ in range(2)]
    answers.put((multiprocessing.current_process().daemon, results))

if __name__ == "__main__":
    context = multiprocessing.get_context({outer!r})
    answers = context.SimpleQueue()
    process = context.Process(target=serve, args=(answers,), daemon=True)
    process.start()
    print(answers.get())
    process.join()
    print(process.exitcode)
"""


@pytest.mark.parametrize("outer", ["fork", "spawn"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver", "loky"])
def test_in_a_daemonic_process(launch, tmp_path, leftovers, method, outer):
    """A worker of a queue, which is a daemonic process, runs pipelines in parallel and stays one; its own workers are none."""
    launched = launch(DAEMON.format(method=method, outer=outer), tmp_path)
    assert launched.wait() == 0, launched.output
    assert launched.output.splitlines() == ["(True, [False, False])", "0"]
    leftovers.check()


SMALL = """
import sys
from treadle import Catalog, {runner}, Pipeline, node
pipeline = Pipeline([node(len, "text", "length")])
def run():
    print("length", {runner}({arguments}).run(pipeline, Catalog({{"text": "abc"}}))["length"])
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver", "loky"])
def test_a_long_temporary_directory(launch, tmp_path, leftovers, method):
    """A temporary directory whose path is too long for a socket's is no obstacle, and nothing is left in another one."""
    folder = tmp_path / ("a" * 120)
    folder.mkdir()
    end = "\nimport multiprocessing\nrun()\nprint('folder', multiprocessing.current_process()._config.get('tempdir'))"
    launched = launch(SMALL.format(runner="ParallelRunner", arguments=f"1, {method!r}") + end, tmp_path, TMPDIR=str(folder))
    assert launched.wait() == 0, launched.output
    assert "length 3" in launched.output
    own = launched.output.split("folder ")[1].strip()
    assert own == "None" or not Path(own).exists()
    assert list(folder.iterdir()) == []
    leftovers.check()


NO_SEMAPHORES = """
import _multiprocessing
class SemLock(_multiprocessing.SemLock):
    def __new__(cls, *args):
        raise OSError(30, "Read-only file system")
_multiprocessing.SemLock = SemLock
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver", "loky"])
def test_no_semaphores(launch, tmp_path, leftovers, method):
    """A run works where no semaphore can be created, as with a read-only /dev/shm: workers need none."""
    script = NO_SEMAPHORES + SMALL.format(runner="ParallelRunner", arguments=f"1, {method!r}") + "\nrun()"
    launched = launch(script, tmp_path)
    assert launched.wait() == 0, launched.output
    leftovers.check()


@pytest.mark.parametrize(
    ("runner", "arguments"), [("ParallelRunner", "1, 'fork'"), ("ParallelRunner", "1, 'spawn'"), ("ThreadRunner", "2")]
)
def test_in_an_exit_handler(launch, tmp_path, leftovers, runner, arguments):
    """While Python ends no threads and processes can be started: one clear error; the sequential runner works."""
    end = "\nimport atexit\natexit.register(run)"
    launched = launch(SMALL.format(runner=runner, arguments=arguments) + end, tmp_path)
    launched.wait()
    assert "cannot run a pipeline while Python is exiting" in launched.output
    launched = launch(SMALL.format(runner="SequentialRunner", arguments="") + end, tmp_path)
    launched.wait()
    assert launched.output == "length 3\n"
    leftovers.check()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver", "loky"])
def test_a_deleted_working_directory(launch, tmp_path, leftovers, method):
    """In a working directory that was deleted no worker starts, and the error says so; the sequential runner works."""
    for runner, arguments in (("ParallelRunner", f"1, {method!r}"), ("SequentialRunner", "")):
        (tmp_path / "gone").mkdir()
        gone = "\nimport os\nos.chdir('gone')\nos.rmdir(os.getcwd())\nrun()"
        launched = launch(SMALL.format(runner=runner, arguments=arguments) + gone, tmp_path)
        if runner == "SequentialRunner":
            assert launched.wait() == 0, launched.output
        else:
            assert launched.wait() == 1
            assert "RunnerError: The working directory of this process was deleted" in launched.output
    leftovers.check()


def test_a_locale_without_unicode(launch, shop):
    """Where paths cannot be decoded the run succeeds, is recorded, and what the locale has no letters for is printed escaped."""
    launched = _run(launch, shop, "--runner=parallel", **ASCII)
    assert launched.wait() == 0, launched.output
    assert r"\xf6ffnen 30" in launched.output
    record = _record(shop)
    assert record.outcome is Outcome.SUCCEEDED
    assert "laden" in record.project_path
