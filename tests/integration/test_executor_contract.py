"""The executor contract (`treadle.testing`) for each of Treadle's own backends: serial, threads, and loky by start method."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from treadle.execution.executors.executor import Executor
from treadle.execution.executors.inline_store import InlineStore
from treadle.execution.executors.loky.pool import loky_executor
from treadle.execution.executors.serial import serial_executor
from treadle.execution.executors.threads import thread_executor
from treadle.execution.packing.worker_spec import fingerprint, make_worker_spec
from treadle.execution.processes.start_method import StartMethod
from treadle.testing import ExecutorContract, needs
from treadle.testing.process_contract import assert_frees_resources

sys.path.insert(0, str(Path(__file__).parent))
from subprocess_pool import SubprocessPool


class TestSerial(ExecutorContract):
    def make_executor(self, max_workers):
        return serial_executor()


class TestThreads(ExecutorContract):
    def make_executor(self, max_workers):
        return thread_executor(max_workers)


class _LokyContract(ExecutorContract):
    method = StartMethod.FORK

    def make_executor(self, max_workers):
        return loky_executor(
            max_workers, self.method, lambda scratch: make_worker_spec(self.method, max_workers, scratch, fingerprint([]))
        )


class TestLokyUnderFork(_LokyContract):
    method = StartMethod.FORK


class TestLokyUnderSpawn(_LokyContract):
    method = StartMethod.SPAWN


class TestLokyUnderForkserver(_LokyContract):
    method = StartMethod.FORKSERVER


class TestLokyUnderLoky(_LokyContract):
    method = StartMethod.LOKY


def test_an_unknown_capability_is_an_error():
    """`needs` raises if there is no such capability."""
    with pytest.raises(ValueError, match="there is no capability 'flight'"):
        needs("flight")


def test_a_missing_capability_skips_by_its_name(tmp_path):
    """A test that needs a capability which the pool does not declare is skipped; the reason names it."""
    (tmp_path / "test_mine.py").write_text(
        """
        from treadle.execution.executors.serial import serial_executor
        from treadle.testing import ExecutorContract

        class TestMine(ExecutorContract):
            def make_executor(self, max_workers):
                return serial_executor()
        """.replace("\n        ", "\n")
    )
    words = [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", "-k", "cancelled", "--rootdir", ".", "test_mine.py"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert "1 passed, 4 skipped" in done.stdout, done.stdout
    assert "the pool does not declare the capability 'concurrent'" in done.stdout
    assert "the pool does not declare the capability 'processes'" in done.stdout


def test_what_is_not_freed_is_found():
    """A function that leaves one descriptor open at each call fails; one that frees some more only at first does not."""
    kept = []
    with pytest.raises(AssertionError):
        assert_frees_resources(lambda: kept.append(os.open(os.devnull, os.O_RDONLY)))
    assert_frees_resources(lambda: os.close(kept.pop()) if len(kept) > 4 else None)
    for descriptor in kept:
        os.close(descriptor)


class TestSubprocesses(ExecutorContract):
    """The backend of `subprocess_pool.py`, which uses only the public protocols."""

    def make_executor(self, max_workers):
        return Executor(SubprocessPool(max_workers), InlineStore())
