"""Which multiprocessing start method a pool uses, and why.

The order: what the caller asks for, then `TREADLE_START_METHOD`, then what the application fixed with
`multiprocessing.set_start_method`, then the platform's safe default. An inferred fork becomes forkserver while other
threads are alive, because a forked child inherits the locks those threads hold (and any `multiprocessing.Lock()` made by
any library fixes the platform's default, fork, without anyone having asked for it).
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import threading
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from typing import TYPE_CHECKING, cast

from treadle.errors import RunnerError

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext

ENVIRONMENT_VARIABLE = "TREADLE_START_METHOD"


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

        It is multiprocessing's, holds the forkserver's socket, and is removed when the process ends; not when it is killed.
        """
        if self is not StartMethod.FORKSERVER or multiprocessing.parent_process() is not None:
            return None  # a child shares the directory of its parent, whose it stays
        from multiprocessing.util import get_temp_dir

        return str(get_temp_dir())

    def context(self) -> BaseContext:
        """Return the multiprocessing context that starts processes this way."""
        if self is StartMethod.LOKY:
            from loky.backend.context import get_context

            context: BaseContext = get_context("loky")
            return context
        name: str = self.value
        return multiprocessing.get_context(name)


@dataclass(frozen=True, slots=True)
class StartMethodChoice:
    """A start method and the reason for it, in words for `treadle info` and the record of a session."""

    method: StartMethod
    reason: str


def available_start_methods() -> tuple[StartMethod, ...]:
    """Return the start methods that this platform offers, in the order of `StartMethod`."""
    offered = {*multiprocessing.get_all_start_methods(), "loky"}
    return tuple(method for method in StartMethod if method.value in offered)


def choose_start_method(requested: str | StartMethod | None = None) -> StartMethodChoice:
    """Choose the start method of a pool.

    Args:
        requested: `"fork"`, `"spawn"`, `"forkserver"`, `"loky"`, or None to infer it.

    Returns:
        The method and why it was chosen. Choosing fixes nothing: the process-wide default stays as it was.

    Raises:
        RunnerError: an unknown method, or one that the platform does not offer.
    """
    if requested is not None:
        return StartMethodChoice(_parse(requested, "the start_method argument"), "asked for by the start_method argument")
    from_environment = os.environ.get(ENVIRONMENT_VARIABLE)
    if from_environment:
        return StartMethodChoice(_parse(from_environment, ENVIRONMENT_VARIABLE), f"set by {ENVIRONMENT_VARIABLE}")
    fixed = cast("str | None", multiprocessing.get_start_method(allow_none=True))
    threaded = _has_threads()
    if fixed is not None:
        if fixed == "fork" and threaded:
            return StartMethodChoice(
                _without_fork(), "the application's default is fork, which is not safe while other threads are alive"
            )
        return StartMethodChoice(StartMethod(fixed), "set by the application with multiprocessing.set_start_method")
    default = StartMethod.SPAWN if platform.system() == "Darwin" else _without_fork()
    return StartMethodChoice(default, "the safe default of this platform")


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
        close = tuple(get_close_matches(str(value), [m.value for m in StartMethod], n=1))
        hint = f" Did you mean {close[0]!r}?" if close else ""
        msg = f"Unknown start method {value!r} in {source}.{hint} Use one of: {known}."
        raise RunnerError(msg, name=str(value), close=close) from None
    if method not in available_start_methods():
        msg = f"This platform has no start method {method.value!r} ({source}). Use loky or spawn."
        raise RunnerError(msg, name=method.value)
    return method
