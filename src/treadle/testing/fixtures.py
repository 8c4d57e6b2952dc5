"""The fixtures of the contract: an executor that tests share, executors of their own, and a node that waits.

State: the shared executor, which belongs to the test class.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from treadle.testing.bench import Bench

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from treadle.execution.executors.executor import Executor

WORKERS = 2
"""The number of workers that executors under test have."""

_SHARED: pytest.StashKey[Executor] = pytest.StashKey()


class Gate:
    """A node's function that waits, and the way to let it go on.

    Args:
        path: where the named pipe is made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        os.mkfifo(path)

    @property
    def waiting(self) -> Callable[..., str]:
        """A function that waits until the gate is opened."""
        path = str(self._path)

        def waits(*_inputs: object) -> str:
            with Path(path).open(encoding="utf-8") as pipe:
                return pipe.read() or "through"

        return waits

    def open(self) -> None:
        """Let the node go on; blocks until it waits."""
        with self._path.open("w"):
            pass


class ContractFixtures:
    """What every part of the contract has."""

    def make_executor(self, max_workers: int) -> Executor:
        """Make an executor of the backend under test.

        Args:
            max_workers: number of workers; a backend that has one worker only, which is the main process, ignores it.
        """
        raise NotImplementedError

    def _shared_executor(self, request: pytest.FixtureRequest) -> Executor:
        owner = request.node.getparent(pytest.Class)
        executor: Executor | None = owner.stash.get(_SHARED, None)
        if executor is None:
            executor = owner.stash[_SHARED] = self.make_executor(WORKERS)
            owner.addfinalizer(executor.close)
        return executor

    @pytest.fixture(autouse=True)
    def check_capabilities(self, request: pytest.FixtureRequest) -> None:
        """Skip a test that needs a capability which the pool does not have."""
        needed = getattr(request.function, "needed_capabilities", ())
        capabilities = self._shared_executor(request).capabilities if needed else None
        missing = [name for name in needed if not getattr(capabilities, name)]
        if missing:
            pytest.skip(f"the pool does not declare the capability '{missing[0]}'")

    @pytest.fixture
    def bench(self, request: pytest.FixtureRequest) -> Iterator[Bench]:
        """A bench on the executor that all tests share which leave it whole."""
        made = Bench(self._shared_executor(request), WORKERS)
        yield made
        made.end()

    @pytest.fixture
    def own_bench(self) -> Iterator[Bench]:
        """A bench on an executor of the test's own, which is killed after it."""
        executor = self.make_executor(WORKERS)
        yield Bench(executor, WORKERS)
        executor.close(kill=True)

    @pytest.fixture
    def gate(self, tmp_path: Path) -> Gate:
        """A node that waits."""
        return Gate(tmp_path / "gate")
