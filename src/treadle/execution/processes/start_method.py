"""Choose the multiprocessing start method of a pool.

The first of these decides: the caller's argument, `TREADLE_START_METHOD`, the method that the application set with
`multiprocessing.set_start_method`. If none of them is set, workers are forked where that is certain to be safe (`against_fork`),
because a fork starts them several times faster than any other method; otherwise the platform's safe default is used.

If the application's method is fork, it is replaced by forkserver while other threads are alive, because a forked child inherits
the locks that those threads hold. (Any library that creates a `multiprocessing.Lock()` sets the platform's default, often fork,
without the application's knowledge.) Runs in the parent. State: none. Neighbour: `open_descriptors.py`.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING, cast

from treadle.errors import RunnerError
from treadle.execution.processes.open_descriptors import find_descriptor_at_risk
from treadle.execution.processes.system_file import read_text
from treadle.execution.processes.thread_pools import find_thread_pools
from treadle.forks import fork_safe_threads, is_worker, ready_to_fork
from treadle.named_tuple import NamedTuple
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.context import BaseContext

ENVIRONMENT_VARIABLE = "TREADLE_START_METHOD"

_FORK_SAFE_THREADS = frozenset({"jemalloc_bg_thd"})
"""Names of threads that their library stops before a fork and restarts after it. jemalloc comes with pyarrow."""


_LONGEST_BASE = 60
"""Maximum length of the temporary directory's path in bytes.

A local socket's path may have 104 (macOS) to 108 bytes (Linux, unix(7)), and multiprocessing appends its own names.
"""


class StartMethod(Enum):
    """A way to start a worker process."""

    FORK = "fork"
    SPAWN = "spawn"
    FORKSERVER = "forkserver"
    LOKY = "loky"

    @property
    def child_inherits(self) -> bool:
        """Whether a child process has the parent's memory, and with it the configured project.

        Check this property and not `== "spawn"`: forkserver and loky children inherit nothing either.
        """
        return self is StartMethod.FORK

    def folder(self) -> str | None:
        """Return the directory that this method keeps until this process ends; None if it needs none.

        It is multiprocessing's temporary directory, which holds the forkserver's socket. It is removed when the process ends. If
        the process is killed, a later pool removes it, provided that `adopt_multiprocessing_folder` created it.
        """
        if self is not StartMethod.FORKSERVER or multiprocessing.parent_process() is not None:
            return None  # a child process uses the directory of its parent and must not remove it
        return multiprocessing_folder()

    def context(self) -> BaseContext:
        """Return the multiprocessing context that starts processes this way."""
        if self is StartMethod.LOKY:
            from loky.backend.context import get_context

            context: BaseContext = get_context("loky")
            return context
        name: str = self.value
        return multiprocessing.get_context(name)


def multiprocessing_folder() -> str:
    """Return the directory in which multiprocessing creates its sockets in this process.

    It is below the temporary directory, or below /tmp if a socket's path would otherwise be longer than the system allows.
    """
    import tempfile
    from multiprocessing.util import get_temp_dir

    base = tempfile.gettempdir()
    if len(os.fsencode(base)) <= _LONGEST_BASE:
        return str(get_temp_dir())
    tempfile.tempdir = "/tmp"  # noqa: S108 - the name is made unguessable and private by mkdtemp
    try:
        return str(get_temp_dir())
    finally:
        tempfile.tempdir = base


class StartMethodChoice(NamedTuple):
    """A start method, and why it was chosen.

    Attributes:
        method: the method.
        reason: why, in words for `treadle info`, the log and the record of a session.
        is_inferred: whether neither the caller nor the environment nor the application has set a method.
    """

    method: StartMethod
    reason: str
    is_inferred: bool = False


def available_start_methods() -> tuple[StartMethod, ...]:
    """Return the start methods that this platform offers, in the order of `StartMethod`."""
    offered = {*multiprocessing.get_all_start_methods(), "loky"}
    return tuple(method for method in StartMethod if method.value in offered)


def check_start_method(requested: str | StartMethod | None) -> None:
    """Check the name of a start method before it is needed.

    Args:
        requested: the caller's argument; None for the one that the environment sets, if any.

    Raises:
        RunnerError: the method is unknown, or the platform does not offer it, or this process may not use it.
    """
    _explicit(requested)


def choose_start_method(requested: str | StartMethod | None = None) -> StartMethodChoice:
    """Choose the start method of a pool.

    Args:
        requested: `"fork"`, `"spawn"`, `"forkserver"`, `"loky"`, or None to infer it.

    Returns:
        The method and the reason. The process-wide default does not change.

    Raises:
        RunnerError: the method is unknown, or the platform does not offer it.
    """
    if (explicit := _explicit(requested)) is not None:
        return explicit
    fixed = cast("str | None", multiprocessing.get_start_method(allow_none=True))
    if fixed == "fork" and (is_worker() or other_thread() is not None):
        return StartMethodChoice(
            safe_start_method(), "the application's default is fork, which is not safe while other threads are alive"
        )
    if fixed is not None:
        return StartMethodChoice(StartMethod(fixed), "set by the application with multiprocessing.set_start_method")
    if sys.platform != "linux":
        default = StartMethod.SPAWN if sys.platform == "darwin" else safe_start_method()
        return StartMethodChoice(default, "the safe default of this platform", is_inferred=True)
    if (found := against_fork()) is not None:
        return StartMethodChoice(safe_start_method(), f"the safe default, because {found}", is_inferred=True)
    reason = "the fastest method, and safe: no other thread, no open connection or file"
    return StartMethodChoice(StartMethod.FORK, reason, is_inferred=True)


def safe_start_method() -> StartMethod:
    """Return the fastest method that is safe in every process."""
    return StartMethod.FORKSERVER if StartMethod.FORKSERVER in available_start_methods() else StartMethod.SPAWN


def _explicit(requested: str | StartMethod | None) -> StartMethodChoice | None:
    """Return the method that the caller or the environment has set; None if neither has."""
    from_environment = os.environ.get(ENVIRONMENT_VARIABLE)
    if requested is not None:
        method = parse_start_method(requested, "the start_method argument")
        if method is StartMethod.FORK and is_worker():
            msg = (
                "This process is a worker itself, and its other threads may hold locks that a forked process would inherit. So a "
                f"runner cannot fork from a worker. Leave start_method out, or use '{safe_start_method().value}'."
            )
            raise RunnerError(msg, name=method.value)
        return StartMethodChoice(method, "requested by the start_method argument")
    if from_environment:
        method = parse_start_method(from_environment, ENVIRONMENT_VARIABLE)
        if method is StartMethod.FORK and is_worker():
            return StartMethodChoice(safe_start_method(), f"{ENVIRONMENT_VARIABLE} is fork, which is not safe in a worker")
        return StartMethodChoice(method, f"set by {ENVIRONMENT_VARIABLE}")
    return None


@contextmanager
def default_start_method_unchanged() -> Iterator[None]:
    """Keep the process's default start method unset inside the block if it is unset now.

    When multiprocessing starts a process or its forkserver, it reads the default to pass it on (`spawn.get_preparation_data`),
    and reading an unset default sets it permanently, for the application and for the next pool.
    """
    undecided = multiprocessing.get_start_method(allow_none=True) is None
    try:
        yield
    finally:
        if undecided:
            multiprocessing.set_start_method(None, force=True)


def against_fork() -> str | None:
    """Return what makes a fork of this process unsafe now, in words; None if it is certainly safe.

    A fork is certainly safe if there is no other thread whose locks would never be released in the child, and nothing is open
    that the child could damage.
    """
    if is_worker():
        return "this process is a worker itself"
    if (found := other_thread()) is not None:
        return found
    with ready_to_fork():
        return find_descriptor_at_risk()


def other_thread() -> str | None:
    """Return which other thread is alive that a forked child would not have, in words; None if there is none.

    Threads that end before a fork, and are started again after it, do not count: Treadle's own (`treadle.forks`), the idle
    threads of OpenBLAS, which numpy starts at import, and jemalloc's.
    """
    own = fork_safe_threads()
    others = [each for each in threading.enumerate() if each is not threading.current_thread() and each.native_id not in own]
    if others:
        return f"another thread is alive ({others[0].name!r})"
    if sys.platform != "linux":  # elsewhere only Python's threads are known
        return None
    try:
        tasks = [int(task) for task in os.listdir("/proc/self/task")]
    except OSError:  # /proc is missing
        return "another thread may be alive"
    names = [_name(task) for task in tasks if task not in own and task != threading.get_native_id()]
    natives = sorted(name for name in names if name is not None and name not in _FORK_SAFE_THREADS)
    if len(natives) <= _openblas_threads():
        return None
    # The system gives a thread that a library does not name the name of the process, which says nothing about it.
    named = next((f" ({name!r})" for name in natives if name != _name(os.getpid())), "")
    return f"a library has started another thread{named}"


def _name(task: int) -> str | None:
    """Return the name of a thread, None if it has ended."""
    try:
        return read_text(f"/proc/self/task/{task}/comm").strip()
    except OSError:
        return None


def _openblas_threads() -> int:
    """Return the number of OpenBLAS threads besides the calling one, in builds that have a thread pool."""
    libraries = [each for each in find_thread_pools() if each.internal_api == "openblas"]
    return sum(each.num_threads - 1 for each in libraries if each.threading_layer == "pthreads")


def parse_start_method(value: str | StartMethod, source: str) -> StartMethod:
    """Read the name of a start method.

    Args:
        value: the name.
        source: where it was set, for the error.

    Raises:
        RunnerError: the method is unknown, or the platform does not offer it.
    """
    try:
        method = StartMethod(value)
    except ValueError:
        known = ", ".join(method.value for method in available_start_methods())
        close = close_names(value, [each.value for each in StartMethod], most=1)
        msg = f"Unknown start method {value!r} in {source}.{did_you_mean(close)} Use one of: {known}."
        raise RunnerError(msg, name=str(value), close=close) from None
    if method not in available_start_methods():
        msg = f"This platform has no start method {method.value!r} ({source}). Use loky or spawn."
        raise RunnerError(msg, name=method.value)
    return method
