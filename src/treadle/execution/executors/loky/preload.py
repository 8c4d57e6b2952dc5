"""What the forkserver imports before it forks workers, so that each of them has it at once; and its start ahead of need.

Only Treadle, loky and the large numeric libraries that this process has loaded already: they do not change while a batch
job lasts, and importing them starts no threads. A project's own modules are left to the workers, which import them anew
when they changed. The forkserver is the process's own and is started once; what an application has set for it stays.

::

    session: imports the pipelines, reads conf/, compiles …       make the pool
    start_early(files) ─► server imports what the files import ──► is it what this process has loaded by now? else a new one

State: the server that was started early, until a pool has taken it; multiprocessing's forkserver is one for the process too.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from typing import TYPE_CHECKING, Any

from treadle.execution.executors.loky.slot import ensure_forkserver
from treadle.forks import fork_safe

if TYPE_CHECKING:
    from collections.abc import Iterable

LIBRARIES = frozenset({"numpy", "pandas", "pyarrow", "scipy", "sklearn", "matplotlib"})
"""Slow to import, known to be safe to fork after they were imported."""

_BRINGS = {
    "pandas": {"numpy", "pyarrow"},
    "sklearn": {"numpy", "scipy"},
    "scipy": {"numpy"},
    "matplotlib": {"numpy"},
    "pyarrow": {"numpy"},
}
"""Which of them import which others."""

_ENGINE = ("loky.process_executor", "treadle.execution.worker.bootstrap", "treadle.execution.worker.server")

_IMPORT = re.compile(
    rf"^(?:import|from)[ \t]+((?:{'|'.join(sorted(LIBRARIES))})(?:\.\w+)*)(?![\w.])(?:[ \t]+import[ \t]+\(?([\w \t,]*))?",
    re.MULTILINE,
)
"""An import of one of them, not indented: one that happens when the module is imported."""

_SET_BY_LIBRARIES = frozenset({"KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK"})
"""Environment variables that scikit-learn sets when it is imported, here and in the server alike."""


@dataclass(frozen=True, slots=True, eq=False)
class EarlyServer:
    """A server that no pool has taken yet."""

    pid: int
    roots: frozenset[str]
    """The libraries that it imports."""
    surroundings: tuple[Any, ...]
    preload_before: tuple[str, ...]


_waiting: list[EarlyServer] = []
"""The early server of this process, at most one."""

_changing = fork_safe(threading.Lock())
"""Held while it is started, taken or stopped: sessions of several threads have one server."""


def preload_forkserver(*others: str) -> tuple[str, ...]:
    """Tell the forkserver what to import when it starts; without effect once it runs, unless an early one does not fit.

    Args:
        *others: more modules that do not change while a batch job lasts.

    Returns:
        The names of the modules.
    """
    with _changing:
        if _waiting:
            early = _waiting.pop()
            if not _fits(early):
                _stop(early)
        return _set_preload(others)


def start_early(files: Iterable[str]) -> EarlyServer | None:
    """Start the forkserver while this process is still about to import a project's code.

    Args:
        files: paths of the source files that will be imported; what libraries they import is read from their text.

    Returns:
        The server, for `stop_unused`; None where one runs already.
    """
    with _changing:
        if _server("_forkserver_pid") is not None:
            return None
        before = tuple(_server("_preload_modules") or ())
        modules = imported_libraries(files)
        _set_preload(modules)
        ensure_forkserver()
        pid = _server("_forkserver_pid")
        if pid is None:
            return None  # this child process uses its parent's
        early = EarlyServer(pid, frozenset(name.partition(".")[0] for name in modules), _surroundings(), before)
        _waiting.append(early)
        return early


def stop_unused(early: EarlyServer | None) -> None:
    """End an early server that no pool has taken.

    Args:
        early: what `start_early` returned.
    """
    with _changing:
        if early is not None and early in _waiting:
            _waiting.remove(early)
            _stop(early)


def imported_libraries(files: Iterable[str]) -> tuple[str, ...]:
    """Find which modules of the large libraries some source files import when they are imported themselves.

    Args:
        files: their paths; what cannot be read is passed over.

    Returns:
        The modules, sorted; what follows `from … import` may be names that are none.
    """
    found = set()
    for file in files:
        with suppress(OSError, UnicodeDecodeError), open(file, encoding="utf-8") as source:
            for module, names in _IMPORT.findall(source.read()):
                found.add(module)
                found.update(f"{module}.{name}" for name in re.findall(r"\w+", names) if name.islower())
    return tuple(sorted(found))


def _set_preload(others: Iterable[str]) -> tuple[str, ...]:
    loaded = [name for name in sorted(sys.modules) if name.partition(".")[0] in LIBRARIES and "._" not in name]
    # The application's own list cannot be asked for in a public way; `__main__` on it is what Treadle hides.
    kept = [name for name in _server("_preload_modules") or () if name != "__main__"]
    wanted = tuple(dict.fromkeys([*kept, *_ENGINE, *others, *loaded]))
    multiprocessing.set_forkserver_preload(list(wanted))
    return wanted


def _fits(early: EarlyServer) -> bool:
    """Say whether a server has what this process has, in the same surroundings: no less, and nothing that costs time."""
    loaded = {name for name in LIBRARIES if name in sys.modules}
    brought = early.roots.union(*(_BRINGS.get(name, ()) for name in early.roots))
    return early.roots <= loaded <= brought and early.surroundings == _surroundings()


def _surroundings() -> tuple[Any, ...]:
    environment = {name: value for name, value in os.environ.items() if name not in _SET_BY_LIBRARIES}
    return environment, list(sys.path)


def _stop(early: EarlyServer) -> None:
    """End a server at once, in the middle of an import too, so that another can be started."""
    if _server("_forkserver_pid") == early.pid:
        with suppress(ProcessLookupError):
            os.kill(early.pid, signal.SIGKILL)
        forkserver._forkserver._stop()  # type: ignore[attr-defined]  # noqa: SLF001 - no public way
    multiprocessing.set_forkserver_preload(list(early.preload_before))


def _server(attribute: str) -> Any:
    """Return what multiprocessing knows of its forkserver, which offers no public way to ask."""
    return getattr(forkserver._forkserver, attribute, None)  # noqa: SLF001 - see above
