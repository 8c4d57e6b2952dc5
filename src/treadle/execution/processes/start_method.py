"""Choose the multiprocessing start method of a pool.

The first of these decides: the caller's argument, `TREADLE_START_METHOD`, the method that the application set with
`multiprocessing.set_start_method`, the platform's safe default.

If the application's method is fork, it is replaced by forkserver while other threads are alive, because a forked child inherits
the locks that those threads hold. (Any library that creates a `multiprocessing.Lock()` sets the platform's default, often fork,
without the application's knowledge.) A caller may prefer fork if it is safe: it starts workers several times faster than any
other method. Runs in the parent. State: none.
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
from treadle.execution.processes.system_file import read_text
from treadle.forks import fork_safe_threads, is_worker
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
    """A start method and the reason for it, in words for `treadle info` and the record of a session."""

    method: StartMethod
    reason: str


def available_start_methods() -> tuple[StartMethod, ...]:
    """Return the start methods that this platform offers, in the order of `StartMethod`."""
    offered = {*multiprocessing.get_all_start_methods(), "loky"}
    return tuple(method for method in StartMethod if method.value in offered)


def choose_start_method(requested: str | StartMethod | None = None, *, prefer_fork: bool = False) -> StartMethodChoice:
    """Choose the start method of a pool.

    Args:
        requested: `"fork"`, `"spawn"`, `"forkserver"`, `"loky"`, or None to infer it.
        prefer_fork: choose fork if the method is inferred and `may_fork` returns True.

    Returns:
        The method and the reason. The process-wide default does not change.

    Raises:
        RunnerError: the method is unknown, or the platform does not offer it.
    """
    nested = is_worker()
    if requested is not None:
        return _requested(requested, nested=nested)
    from_environment = os.environ.get(ENVIRONMENT_VARIABLE)
    if from_environment:
        method = _parse(from_environment, ENVIRONMENT_VARIABLE)
        if nested and method is StartMethod.FORK:
            method, reason = _without_fork(), f"{ENVIRONMENT_VARIABLE} is fork, which is not safe in a worker"
        else:
            reason = f"set by {ENVIRONMENT_VARIABLE}"
        return StartMethodChoice(method, reason)
    fixed = cast("str | None", multiprocessing.get_start_method(allow_none=True))
    if prefer_fork and fixed in (None, "fork") and may_fork():
        return StartMethodChoice(StartMethod.FORK, "the fastest method, and safe because no other thread is alive")
    if fixed is not None:
        if fixed == "fork" and (nested or _has_threads()):
            return StartMethodChoice(
                _without_fork(), "the application's default is fork, which is not safe while other threads are alive"
            )
        return StartMethodChoice(StartMethod(fixed), "set by the application with multiprocessing.set_start_method")
    default = StartMethod.SPAWN if sys.platform == "darwin" else _without_fork()
    return StartMethodChoice(default, "the safe default of this platform")


def _requested(requested: str | StartMethod, *, nested: bool) -> StartMethodChoice:
    method = _parse(requested, "the start_method argument")
    if nested and method is StartMethod.FORK:
        msg = (
            "This process is a worker itself, and its other threads may hold locks that a forked process would inherit. So a "
            f"runner cannot fork from a worker. Leave start_method out, or use '{_without_fork().value}'."
        )
        raise RunnerError(msg, name=method.value)
    return StartMethodChoice(method, "requested by the start_method argument")


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


def may_fork() -> bool:
    """Return whether a fork is safe now: on Linux, if all other threads belong to libraries that handle forks.

    Those are Treadle's own (`treadle.forks`), the idle threads of OpenBLAS, which numpy starts at import, and jemalloc's. All of
    them end before a fork and are started again after it. Any other thread may hold a lock that would never be released in the
    child.
    """
    own = fork_safe_threads()
    if sys.platform != "linux" or threading.active_count() - len(own) > 1:
        return False
    try:
        tasks = [task for task in os.listdir("/proc/self/task") if int(task) not in own]
        names = [read_text(f"/proc/self/task/{task}/comm").strip() for task in tasks]
    except OSError:  # a thread has just ended, or /proc is missing: assume that a fork is not safe
        return False
    others = sum(name not in _FORK_SAFE_THREADS for name in names) - 1
    return others <= 0 or others <= _openblas_threads()


def _openblas_threads() -> int:
    """Return the number of OpenBLAS threads besides the calling one, in builds that have a thread pool."""
    from threadpoolctl import threadpool_info

    libraries = [each for each in threadpool_info() if each.get("internal_api") == "openblas"]
    return sum(each["num_threads"] - 1 for each in libraries if each.get("threading_layer") == "pthreads")


def _has_threads() -> bool:
    """Return whether this process has other threads that a fork would meet, including native threads of numeric libraries."""
    own = len(fork_safe_threads())
    try:
        return len(os.listdir("/proc/self/task")) - own > 1
    except OSError:  # without /proc, only Python threads can be counted
        return threading.active_count() - own > 1


def _without_fork() -> StartMethod:
    return StartMethod.FORKSERVER if StartMethod.FORKSERVER in available_start_methods() else StartMethod.SPAWN


def _parse(value: str | StartMethod, source: str) -> StartMethod:
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
