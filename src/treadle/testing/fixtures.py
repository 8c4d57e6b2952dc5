"""The fixtures of the contract: a shared executor, an executor for one test, and nodes that wait for the test.

State: the shared executor of each test class.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from treadle.project import configure, current
from treadle.testing.bench import Bench

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from treadle.execution.executors.executor import Executor

WORKERS = 2
"""Number of workers of the executors under test."""

_SHARED: pytest.StashKey[Executor] = pytest.StashKey()


_PATIENCE = 60.0
"""Seconds after which a test fails if no node waits at its gate, or if a node does not continue."""


class Gate:
    """Make a node wait until the test continues it, on any machine: the node reads from a TCP connection to the test.

    Args:
        address: an address of this machine that the workers can reach.
    """

    def __init__(self, address: str) -> None:
        self._listener = socket.create_server((address, 0))
        self._listener.settimeout(_PATIENCE)
        self._held: socket.socket | None = None

    @property
    def waiting(self) -> Callable[..., str]:
        """A node's function that waits until the gate is opened."""
        address: tuple[str, int] = self._listener.getsockname()[:2]

        def waits(*_inputs: object) -> str:
            with socket.create_connection(address) as connection:
                connection.recv(1)
            return "through"

        return waits

    @property
    def killing(self) -> Callable[[], int]:
        """A node's function that returns at once. When the gate is opened, the node's process is killed."""
        waits = self.waiting

        def kill_later() -> int:
            def die() -> None:
                waits()
                os.kill(os.getpid(), signal.SIGKILL)

            threading.Thread(target=die, daemon=True).start()
            return 1

        return kill_later

    def open(self) -> None:
        """Wait until a node is waiting, let it continue, and return when it has continued."""
        with self._accept() as connection:
            connection.sendall(b".")
            with suppress(ConnectionError):
                connection.recv(1)  # ends when the node closes the connection

    def hold(self) -> None:
        """Block until a node waits."""
        self._held = self._accept()

    def wait_until_killed(self) -> None:
        """Block until the process of the node that `hold` waited for has ended."""
        assert self._held is not None, "hold a node first"
        with suppress(ConnectionError):
            assert self._held.recv(1) == b""

    def close(self) -> None:
        """Free the sockets; a thread that waits for a node gets an OSError."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self._held is not None:
            self._held.close()

    def _accept(self) -> socket.socket:
        connection, _ = self._listener.accept()
        connection.settimeout(_PATIENCE)
        return connection


class ContractFixtures:
    """The fixtures that all parts of the contract use.

    Attributes:
        address: an address of this machine that the workers can reach.
    """

    address = "127.0.0.1"

    def make_executor(self, max_workers: int) -> Executor:
        """Make an executor of the backend under test.

        Args:
            max_workers: number of workers; a backend whose only worker is the main process ignores it.
        """
        raise NotImplementedError

    def _shared_executor(self, request: pytest.FixtureRequest) -> Executor:
        owner = request.node.getparent(pytest.Class)
        executor: Executor | None = owner.stash.get(_SHARED, None)
        if executor is None:
            made = executor = owner.stash[_SHARED] = self.make_executor(WORKERS)

            def close() -> None:
                del owner.stash[_SHARED]  # pytest may come back to this class, if the tests of several classes are mixed
                made.close()

            owner.addfinalizer(close)
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
        """A bench with the shared executor, for tests that do not damage it."""
        made = Bench(self._shared_executor(request), WORKERS)
        yield made
        made.end()

    @pytest.fixture
    def own_bench(self) -> Iterator[Bench]:
        """A bench with a new executor, which is killed after the test."""
        executor = self.make_executor(WORKERS)
        yield Bench(executor, WORKERS)
        executor.close(kill=True)

    @pytest.fixture
    def gate(self) -> Iterator[Gate]:
        """A gate, which makes functions of nodes that wait."""
        made = Gate(self.address)
        yield made
        made.close()

    @pytest.fixture
    def failing_project(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        """Configure a project whose settings raise LookupError in any other process; return the message of the error."""
        package, message = tmp_path / f"project_{os.urandom(4).hex()}", "these settings are for the main process only"
        package.mkdir()
        (package / "__init__.py").touch()
        here = socket.gethostname(), os.getpid()
        (package / "settings.py").write_text(
            f"import os, socket\nif (socket.gethostname(), os.getpid()) != {here!r}:\n    raise LookupError({message!r})\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(current._process, "project", None)  # noqa: SLF001 - restored after the test
        configure.configure_project(package.name)
        return message
