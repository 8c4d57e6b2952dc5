"""Scratch: a pool's scratch directory, its locks, and its removal."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from treadle.execution.processes.scratch import Scratch, sweep

HOLD = """
import sys
from treadle.execution.processes.scratch import Scratch
scratch = Scratch(sys.argv[1])
print("held", flush=True)
for line in sys.stdin:
    if line.strip() == "remove_if_last":
        scratch.remove_if_last()
        print("done", flush=True)
"""


@pytest.fixture
def base(tmp_path, monkeypatch):
    """Make scratch directories under the test's own directory, by a name short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="s", dir="/tmp") as short:
        monkeypatch.setattr(tempfile, "tempdir", short)
        yield Path(short)


@pytest.fixture
def holder():
    """Start processes that hold a scratch directory; each is told what to do in a line."""
    made = []

    def start(path):
        process = subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        made.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in made:
        process.kill()
        process.communicate()


def tell(process, word):
    process.stdin.write(f"{word}\n")
    process.stdin.flush()
    assert process.stdout.readline() == "done\n"


def test_it_is_private_and_short(base):
    """Only the user can enter the directory, and the socket's path is short enough."""
    scratch = Scratch.create()
    path = Path(scratch.path)
    assert path.parent == base
    assert path.stat().st_mode & 0o777 == 0o700
    assert path.name.startswith(f"treadle-{os.getuid()}-")
    assert len(os.fsencode(scratch.path)) < 100
    assert Path(scratch.blackboard).parent == path
    scratch.remove()
    assert not path.exists()


def test_a_long_temporary_directory_is_not_used(monkeypatch, tmp_path):
    """If the temporary directory's path is too long for a socket, the directory is below /tmp."""
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    scratch = Scratch.create()
    assert Path(scratch.path).parent == Path("/tmp")
    scratch.remove()


def test_removing_twice_is_no_error(base):
    """Removing and unlocking may happen in any order, any number of times."""
    scratch = Scratch.create()
    scratch.remove()
    scratch.remove()
    scratch.unlock()
    assert list(base.iterdir()) == []


def test_a_sweep_removes_only_unlocked_directories(base):
    """Directories of living pools stay; those without a lock are removed."""
    held, left = Scratch.create(), Scratch.create()
    left.unlock()
    assert sweep(str(base)) == [left.path]
    assert Path(held.path).is_dir()
    held.remove()


def test_a_sweep_follows_no_links_and_touches_nothing_else(base):
    """Links, other users' files and directories without a lock file are left alone."""
    prefix = f"treadle-{os.getuid()}-"
    target = base / "precious"
    target.mkdir()
    (target / "lock").touch()
    (base / f"{prefix}link").symlink_to(target)
    (base / f"{prefix}unlocked").mkdir()
    (base / f"{prefix}file").touch()
    assert sweep(str(base)) == []
    assert target.is_dir()
    assert (base / f"{prefix}unlocked").is_dir()


def test_creating_one_removes_leftovers_of_killed_pools(base, holder):
    """The directory of a killed process is removed when the next pool is created."""
    left = Scratch.create()
    process = holder(left.path)
    left.unlock()
    fresh = Scratch.create()
    assert Path(left.path).is_dir()
    process.kill()
    process.wait()
    fresh.remove()
    Scratch.create().remove()
    assert not Path(left.path).exists()


def test_the_last_holder_removes_it(base, holder):
    """Of several workers whose parent was killed, the last one to end removes the directory."""
    parent = Scratch.create()
    first, second = holder(parent.path), holder(parent.path)
    parent.unlock()
    tell(first, "remove_if_last")
    assert Path(parent.path).is_dir()
    tell(second, "remove_if_last")
    assert not Path(parent.path).exists()


def test_a_living_parent_keeps_it(base, holder):
    """A worker that ends while the parent lives does not remove the directory."""
    parent = Scratch.create()
    worker = holder(parent.path)
    tell(worker, "remove_if_last")
    assert Path(parent.path).is_dir()
    parent.remove()


START_FORKSERVER = """
import multiprocessing.util, os, signal, sys
from treadle.execution.executors.loky.slot import ensure_forkserver
ensure_forkserver()
print(multiprocessing.util.get_temp_dir(), flush=True)
if sys.argv[1] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("end", ["exit", "kill"])
def test_the_folder_of_a_forkserver_is_removed(base, end):
    """It is removed with its process or, if that was killed before it had a pool, by the next pool's sweep."""
    started = subprocess.run(
        [sys.executable, "-c", START_FORKSERVER, end],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(base)},
        check=False,
    )
    folder = Path(os.fsdecode(started.stdout.strip()))
    assert folder.parent == base
    assert list(base.glob("pymp-*")) == []
    if end == "kill":
        (socket,) = [path.name for path in folder.iterdir() if path.name != "lock"]
        assert socket.startswith(("listener-", "sock-"))  # the latter from Python 3.14 on
        assert sweep(str(base)) == [str(folder)]
    assert list(base.iterdir()) == []


FOLDERS = """
import sys
from treadle.execution.processes.scratch import Scratch
scratch = Scratch.create()
had_tempfile = "tempfile" in sys.modules
import os, tempfile
print(had_tempfile, os.path.dirname(scratch.path) == tempfile.gettempdir())
scratch.remove()
"""


@pytest.mark.parametrize(
    ("variables", "needs_tempfile"),
    [
        ({}, False),
        ({"TMPDIR": "{base}"}, False),
        ({"TMPDIR": "", "TEMP": "{base}/", "TMP": "/missing"}, False),
        ({"TMPDIR": "{base}/../{name}"}, False),
        ({"TMPDIR": "/missing"}, True),
        ({"TMPDIR": "."}, True),
    ],
)
def test_it_is_where_temporary_files_are(base, variables, needs_tempfile):
    """The directory is in that of `tempfile`, which is imported only if the answer is not plain."""
    clean = {name: value for name, value in os.environ.items() if name not in ("TMPDIR", "TEMP", "TMP")}
    given = {name: value.format(base=base, name=base.name) for name, value in variables.items()}
    done = subprocess.run(
        [sys.executable, "-c", FOLDERS], env={**clean, **given}, cwd=base, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(needs_tempfile), "True"], done.stderr
    assert list(base.iterdir()) == []


def test_folders_in_it_are_removed_too(base):
    """A node may have made a folder in the directory."""
    scratch = Scratch.create()
    (Path(scratch.path) / "folder").mkdir()
    (Path(scratch.path) / "folder" / "file").touch()
    scratch.remove()
    assert list(base.iterdir()) == []


@pytest.mark.parametrize("has_folder", [False, True])
def test_the_lock_file_is_removed_last(base, monkeypatch, has_folder):
    """A process that is killed while it removes the directory leaves one that a sweep recognises."""
    scratch = Scratch.create()
    for name in ("a", "z"):
        (Path(scratch.path) / name).touch()
    if has_folder:
        (Path(scratch.path) / "folder").mkdir()
        (Path(scratch.path) / "folder" / "file").touch()
    left_with_lock = []
    unlink = os.unlink

    def watched(path, **options):
        if Path(path).name == "lock":
            left_with_lock.append([each.name for each in Path(scratch.path).iterdir()])
        unlink(path, **options)

    monkeypatch.setattr(os, "unlink", watched)
    scratch.remove()
    assert left_with_lock == [["lock"]]
    assert list(base.iterdir()) == []


def test_where_files_cannot_be_locked_nothing_stays(base, monkeypatch):
    """The error is that of the file system."""

    def refuse(*_arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    before = len(list(Path("/dev/fd").iterdir()))
    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", refuse)
        with pytest.raises(OSError, match="No locks available"):
            Scratch.create()
    assert list(base.iterdir()) == []
    assert len(list(Path("/dev/fd").iterdir())) == before
