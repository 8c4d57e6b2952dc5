"""The modules that the forkserver imports before it forks workers, and its early start while a run is prepared.

Only Treadle and the large numeric libraries that this process has loaded already are preloaded: they do not change during a
batch job, and importing them starts no threads. A project's own modules are imported by the workers, because they may change.
A process has one forkserver, which is started once; the preload list of the application is kept.

::

    session: imports the pipelines, reads conf/, compiles …            make the pool
    start_early(files) ─► server imports the libraries of the files ──► same libraries as this process? otherwise a new server

State: the early server until a pool uses it; multiprocessing's forkserver is global to the process, too. Runs in the parent.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sys
import threading
from contextlib import suppress
from multiprocessing import forkserver
from typing import TYPE_CHECKING, Any

from treadle.execution.executors.loky.slot import ensure_forkserver
from treadle.forks import fork_safe
from treadle.named_tuple import NamedTuple
from treadle.project.current import is_configured

if TYPE_CHECKING:
    from collections.abc import Iterable

LIBRARIES = frozenset({"numpy", "pandas", "pyarrow", "scipy", "sklearn", "matplotlib"})
"""Libraries that are slow to import, and known to be safe to fork after the import."""

_DEPENDENCIES = {
    "pandas": {"numpy", "pyarrow"},
    "sklearn": {"numpy", "scipy"},
    "scipy": {"numpy"},
    "matplotlib": {"numpy"},
    "pyarrow": {"numpy"},
}
"""Which of these libraries import which others."""

_ENGINE = ("treadle.execution.worker.start", "treadle.execution.worker.bootstrap", "treadle.execution.worker.server")

_FOR_PROJECTS = (
    "treadle.execution.attempt.plugins",
    "treadle.execution.values.by_value",
    "treadle.hooks.manager",
    "treadle.io.catalog",
    "treadle.io.datasets.file",
    "treadle.pipeline.pipeline_class",
    "treadle.project.configure",
)
"""The modules that workers import in addition if they have a project, with its catalog, its hooks and a record of its outputs."""

_AFTER_LIBRARIES = "treadle.execution.worker.find_thread_pools"
"""The module that is imported after the large libraries, if there are any."""

_FIRST, _LAST = "treadle.execution.worker.preload_begins", "treadle.execution.worker.preload_ends"
"""The modules that are imported before and after all others."""

_IMPORT = rf"^(?:import|from)[ \t]+((?:{'|'.join(sorted(LIBRARIES))})(?:\.\w+)*)(?![\w.])(?:[ \t]+import[ \t]+\(?([\w \t,]*))?"
"""An import of one of these libraries that is not indented, so that it is executed when the module is imported."""

_SET_BY_LIBRARIES = frozenset({"KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK"})
"""Environment variables that scikit-learn sets when it is imported, in this process and in the server alike."""


class EarlyServer(NamedTuple):
    """A server that no pool uses yet."""

    pid: int
    roots: frozenset[str]
    """The libraries that it imports."""
    environment: tuple[Any, ...]
    preload_before: tuple[str, ...]


_unused: list[EarlyServer] = []
"""The early server of this process, at most one."""

_lock = fork_safe(threading.Lock())
"""Held while the server is started, claimed or stopped: sessions in several threads share one server."""


def preload_forkserver(*others: str) -> tuple[str, ...]:
    """Set the modules that the forkserver imports when it starts; replace an early server that does not match this process.

    Has no effect on another server that runs already.

    Args:
        *others: additional modules that do not change during a batch job.

    Returns:
        The names of all modules.
    """
    with _lock:
        if _unused:
            early = _unused.pop()
            if not _matches(early):
                _stop(early)
        return _set_preload(others)


def start_forkserver() -> None:
    """Start the forkserver for a pool if it does not run; do not wait until it is ready."""
    preload_forkserver()
    ensure_forkserver()


def start_early(files: Iterable[str]) -> EarlyServer | None:
    """Start the forkserver before this process imports a project's code, so that both import at the same time.

    Args:
        files: paths of the source files that will be imported; the libraries that they import are read from their text.

    Returns:
        The server, for `stop_unused`; None if one runs already.
    """
    with _lock:
        if _forkserver_attribute("_forkserver_pid") is not None:
            return None
        before = tuple(_forkserver_attribute("_preload_modules") or ())
        modules = imported_libraries(files)
        _set_preload(modules)
        ensure_forkserver()
        pid = _forkserver_attribute("_forkserver_pid")
        if pid is None:
            return None  # this is a child process that uses its parent's forkserver
        early = EarlyServer(pid, frozenset(name.partition(".")[0] for name in modules), _environment(), before)
        _unused.append(early)
        return early


def stop_unused(early: EarlyServer | None) -> None:
    """Stop an early server that no pool uses.

    Args:
        early: the return value of `start_early`.
    """
    with _lock:
        if early is not None and early in _unused:
            _unused.remove(early)
            _stop(early)


def imported_libraries(files: Iterable[str]) -> tuple[str, ...]:
    """Find the modules of the large libraries that source files import at module level.

    Args:
        files: paths of the source files; those that cannot be read are skipped.

    Returns:
        The modules, sorted; names after `from … import` are included, though they may not be modules.
    """
    found = set()
    for file in files:
        with suppress(OSError, UnicodeDecodeError), open(file, encoding="utf-8") as source:
            for module, names in re.findall(_IMPORT, source.read(), re.MULTILINE):
                found.add(module)
                found.update(f"{module}.{name}" for name in re.findall(r"\w+", names) if name.islower())
    return tuple(sorted(found))


def _set_preload(others: Iterable[str]) -> tuple[str, ...]:
    loaded = [name for name in sorted(sys.modules) if name.partition(".")[0] in LIBRARIES and "._" not in name]
    # There is no public way to read the application's own list. `__main__` is removed: Treadle hides it from children.
    removed = {"__main__", _FIRST, _AFTER_LIBRARIES, _LAST}
    kept = [name for name in _forkserver_attribute("_preload_modules") or () if name not in removed]
    for_project = _FOR_PROJECTS if is_configured() else ()
    modules = dict.fromkeys([*kept, *_ENGINE, *for_project, *others, *loaded])
    has_libraries = any(name.partition(".")[0] in LIBRARIES for name in modules)
    wanted = (_FIRST, *modules, *([_AFTER_LIBRARIES] if has_libraries else []), _LAST)
    multiprocessing.set_forkserver_preload(list(wanted))
    return wanted


def _matches(early: EarlyServer) -> bool:
    """Return whether a server has exactly the libraries of this process, with the same environment and import path."""
    loaded = {name for name in LIBRARIES if name in sys.modules}
    available = early.roots.union(*(_DEPENDENCIES.get(name, ()) for name in early.roots))
    return early.roots <= loaded <= available and early.environment == _environment()


def _environment() -> tuple[Any, ...]:
    environment = {name: value for name, value in os.environ.items() if name not in _SET_BY_LIBRARIES}
    return environment, list(sys.path)


def _stop(early: EarlyServer) -> None:
    """Kill a server, even in the middle of an import, so that another can be started."""
    if _forkserver_attribute("_forkserver_pid") == early.pid:
        with suppress(ProcessLookupError):
            os.kill(early.pid, signal.SIGKILL)
        forkserver._forkserver._stop()  # type: ignore[attr-defined]  # noqa: SLF001 - no public way
    multiprocessing.set_forkserver_preload(list(early.preload_before))


def _forkserver_attribute(attribute: str) -> Any:
    """Return a private attribute of multiprocessing's forkserver; there is no public way."""
    return getattr(forkserver._forkserver, attribute, None)  # noqa: SLF001 - see above
