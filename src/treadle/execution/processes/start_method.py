"""Which multiprocessing start method a pool uses, and why.

The order: what the caller asks for, then `TREADLE_START_METHOD`, then what the application fixed with
`multiprocessing.set_start_method`, then the platform's safe default. An inferred fork becomes forkserver while other
threads are alive, because a forked child inherits the locks those threads hold (and any `multiprocessing.Lock()` made by
any library fixes the platform's default, fork, without anyone having asked for it). The caller may say that fork is
preferred where it is safe: it starts workers some times faster than anything else.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, cast

from treadle.errors import RunnerError
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.context import BaseContext

ENVIRONMENT_VARIABLE = "TREADLE_START_METHOD"

_READY_FOR_FORK = frozenset({"jemalloc_bg_thd"})
"""Names of threads of libraries that stop them before a fork and start them again after it: jemalloc's, which pyarrow brings."""


_LONGEST_BASE = 60
"""Bytes of the 104 (macOS) to 108 (Linux) of a local socket's path (unix(7)), less what multiprocessing puts behind it."""


class StartMethod(Enum):
    """A way to start a worker process."""

    FORK = "fork"
    SPAWN = "spawn"
    FORKSERVER = "forkserver"
    LOKY = "loky"

    @property
    def child_inherits(self) -> bool:
        """Whether a child has the parent's memory, and so the configured project.

        This, and never `== "spawn"`, is what to ask: forkserver and loky children inherit nothing either.
        """
        return self is StartMethod.FORK

    def folder(self) -> str | None:
        """Return the directory that this method keeps for the life of this process, None where there is none.

        It is multiprocessing's, holds the forkserver's socket, and is removed when the process ends. Where the process is killed,
        a later pool removes it, if `adopt_multiprocessing_folder` made it.
        """
        if self is not StartMethod.FORKSERVER or multiprocessing.parent_process() is not None:
            return None  # a child shares the directory of its parent, whose it stays
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
    """Return the directory in which multiprocessing makes its sockets in this process.

    It is below the temporary directory; below /tmp, where the path of a socket there would be longer than the system allows.
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


@dataclass(frozen=True, slots=True)
class StartMethodChoice:
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
        prefer_fork: where it is inferred, take fork while `may_fork` says that it is safe.

    Returns:
        The method and why it was chosen. Choosing fixes nothing: the process-wide default stays as it was.

    Raises:
        RunnerError: an unknown method, or one that the platform does not offer.
    """
    nested = _is_nested()
    if requested is not None:
        return _requested(requested, nested=nested)
    from_environment = os.environ.get(ENVIRONMENT_VARIABLE)
    if from_environment:
        method = _parse(from_environment, ENVIRONMENT_VARIABLE)
        if nested and method is StartMethod.FORK:
            method, reason = _without_fork(), f"{ENVIRONMENT_VARIABLE} is fork, which loky does not do in a worker"
        else:
            reason = f"set by {ENVIRONMENT_VARIABLE}"
        return StartMethodChoice(method, reason)
    fixed = cast("str | None", multiprocessing.get_start_method(allow_none=True))
    if prefer_fork and fixed in (None, "fork") and may_fork():
        return StartMethodChoice(StartMethod.FORK, "the fastest to start, and no thread is alive that would be torn apart")
    if fixed is not None:
        if fixed == "fork" and (nested or _has_threads()):
            return StartMethodChoice(
                _without_fork(), "the application's default is fork, which is not safe while other threads are alive"
            )
        return StartMethodChoice(StartMethod(fixed), "set by the application with multiprocessing.set_start_method")
    default = StartMethod.SPAWN if platform.system() == "Darwin" else _without_fork()
    return StartMethodChoice(default, "the safe default of this platform")


def _requested(requested: str | StartMethod, *, nested: bool) -> StartMethodChoice:
    method = _parse(requested, "the start_method argument")
    if nested and method is StartMethod.FORK:
        msg = (
            "This process is a worker itself, and loky, which starts the workers, does not fork others from one. "
            f"Leave start_method out, or give '{_without_fork().value}'."
        )
        raise RunnerError(msg, name=method.value)
    return StartMethodChoice(method, "asked for by the start_method argument")


@contextmanager
def default_left_open() -> Iterator[None]:
    """Leave the default start method of this process as undecided as it is.

    multiprocessing tells each process that it starts, and its forkserver, what that default is (`spawn.get_preparation_data`),
    and the first to ask for it decides it for good: for the application, and for the next pool too.
    """
    undecided = multiprocessing.get_start_method(allow_none=True) is None
    try:
        yield
    finally:
        if undecided:
            multiprocessing.set_start_method(None, force=True)


def may_fork() -> bool:
    """Say whether a fork is safe now: on Linux, with no thread alive but those of libraries that are prepared for it.

    Those are the idle threads of OpenBLAS, which numpy starts when it is imported and which are ended before a fork and
    started again after it, and jemalloc's. Any other may hold a lock that nobody in the child would ever open.
    """
    if platform.system() != "Linux" or threading.active_count() > 1:
        return False
    try:
        tasks = os.listdir("/proc/self/task")
        names = [Path(f"/proc/self/task/{task}/comm").read_text(encoding="utf-8").strip() for task in tasks]
    except OSError:  # one ended meanwhile, or there is no /proc: nobody knows
        return False
    others = sum(name not in _READY_FOR_FORK for name in names) - 1
    return others <= 0 or others <= _openblas_threads()


def _openblas_threads() -> int:
    """Return how many threads OpenBLAS has beside the caller's, in its builds that keep threads of their own."""
    from threadpoolctl import threadpool_info

    libraries = [each for each in threadpool_info() if each.get("internal_api") == "openblas"]
    return sum(each["num_threads"] - 1 for each in libraries if each.get("threading_layer") == "pthreads")


def _is_nested() -> bool:
    """Say whether this process is a worker of loky's, ours among them: there loky refuses to fork."""
    return getattr(sys.modules.get("loky.process_executor"), "_CURRENT_DEPTH", 0) > 0


def _has_threads() -> bool:
    """True where this process has more than one thread: those of numeric libraries, which Python does not count, too."""
    try:
        return len(os.listdir("/proc/self/task")) > 1
    except OSError:  # no /proc: Python's own count must do
        return threading.active_count() > 1


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
