"""The state of a process beside its memory: what a worker has like the process that started it, whatever the start method.

A forked child inherits all of it, a spawned one some; a forkserver's children inherit what it was when the server was started.
So it is described once a run, and a worker that has another state takes it over. What is not here (values that modules keep in
globals, callables such as `warnings.showwarning`, pandas' options) is the matter of a plugin's `on_worker_start`;
docs/runners.md lists both.

State: none. Neighbours: `spec.py` and `material.py` describe the parent's, `bootstrap.py` and `worker_run.py` apply it.
"""

from __future__ import annotations

import contextlib
import functools
import locale
import logging
import multiprocessing
import os
import pickle
import re
import resource
import socket
import sys
import time
import warnings
from typing import Any, NamedTuple

from treadle.execution.protocol.handles import CannotLeaveError
from treadle.execution.values.importable import is_found_by_name
from treadle.execution.values.in_band import pickle_in_band

_logger = logging.getLogger(__name__)

_LIMITS = tuple(sorted({value for name, value in vars(resource).items() if name.startswith("RLIMIT_")}))
_NUMPY_DEFAULTS = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
_PASSED_ON = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")


class ProcessState(NamedTuple):
    """What `describe` found."""

    umask: int
    nice: int
    affinity: frozenset[int] | None
    """The cores that it may use; None where the system does not say."""
    limits: tuple[tuple[int, int], ...]
    """(soft, hard) of each limit of resources."""
    locale: str
    recursion_limit: int
    switch_interval: float
    int_digits: int | None
    """`sys.get_int_max_str_digits`, where this Python has it."""
    socket_timeout: float | None
    start_method: str | None
    """What `multiprocessing` uses by default, None where that is undecided."""
    level_names: tuple[tuple[int, str], ...]
    numpy_errors: tuple[tuple[str, str], ...]
    """`numpy.geterr()`; empty where it is as numpy has it from the start."""
    decimal: tuple[Any, ...]
    """The decimal context of the thread that describes it; empty where it is as Python has it from the start."""
    warn_options: tuple[str, ...]
    filters: tuple[tuple[Any, ...], ...]
    """The filters of warnings; the name of a category, or the pickle of one, in place of the class."""


def describe() -> bytes:
    """Describe this process.

    Returns:
        A pickled ProcessState; the same bytes for the same state.
    """
    state = ProcessState(
        umask=_umask(),
        nice=os.getpriority(os.PRIO_PROCESS, 0),
        affinity=frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        limits=tuple(resource.getrlimit(limit) for limit in _LIMITS),
        locale=locale.setlocale(locale.LC_ALL),
        recursion_limit=sys.getrecursionlimit(),
        switch_interval=sys.getswitchinterval(),
        int_digits=sys.get_int_max_str_digits() if hasattr(sys, "get_int_max_str_digits") else None,
        socket_timeout=socket.getdefaulttimeout(),
        start_method=multiprocessing.get_start_method(allow_none=True),
        level_names=tuple(logging._levelToName.items()),  # noqa: SLF001 - no public way before Python 3.11
        numpy_errors=_numpy_errors(),
        decimal=_decimal_context(),
        warn_options=tuple(sys.warnoptions),
        filters=_describe_filters(tuple(warnings.filters)),
    )
    return pickle.dumps(state, protocol=5)


def apply(described: bytes, *, filters: bool = True) -> None:
    """Give this process the state of another one; what the system does not allow is logged as a warning.

    Args:
        described: what `describe` returned there.
        filters: take over the filters of warnings too.
    """
    state: ProcessState = pickle.loads(described)  # noqa: S301 - the parent sent it
    os.umask(state.umask)
    _apply_to_the_system(state)
    time.tzset()
    if locale.setlocale(locale.LC_ALL) != state.locale:
        with _told("the locale"):
            locale.setlocale(locale.LC_ALL, state.locale)
    sys.setrecursionlimit(state.recursion_limit)
    sys.setswitchinterval(state.switch_interval)
    if state.int_digits is not None:
        sys.set_int_max_str_digits(state.int_digits)
    socket.setdefaulttimeout(state.socket_timeout)
    known = (None, *multiprocessing.get_all_start_methods())
    multiprocessing.set_start_method(state.start_method if state.start_method in known else None, force=True)
    for level, name in state.level_names:
        logging.addLevelName(level, name)
    if state.numpy_errors != _numpy_errors():
        import numpy as np

        np.seterr(**(dict(state.numpy_errors) or _NUMPY_DEFAULTS))  # type: ignore[arg-type]  # as numpy said them itself
    if state.decimal != _decimal_context():
        _apply_decimal(state.decimal)
    if filters:
        sys.warnoptions[:] = state.warn_options
        _apply_filters(state.filters)


def _apply_to_the_system(state: ProcessState) -> None:
    if state.nice != os.getpriority(os.PRIO_PROCESS, 0):
        with _told("the priority"):
            os.setpriority(os.PRIO_PROCESS, 0, state.nice)
    if state.affinity is not None and state.affinity != os.sched_getaffinity(0):
        with _told("the cores that may be used"):
            os.sched_setaffinity(0, state.affinity)
    for limit, (soft, hard) in zip(_LIMITS, state.limits, strict=True):
        if resource.getrlimit(limit) != (soft, hard):
            with _told(f"the limit of resource {limit}"):
                resource.setrlimit(limit, (soft, hard))


@contextlib.contextmanager
def _told(what: str) -> Any:
    try:
        yield
    except (OSError, ValueError, locale.Error) as exc:
        _logger.warning(
            "This worker could not take over %s of the main process (%s). Probably the main process gained rights, or gave some "
            "up, after its forkserver had been started; start_method='spawn' passes everything on.",
            what,
            exc,
        )


def _umask() -> int:
    """Return the umask without changing it, where /proc says it: other threads may be making files."""
    with contextlib.suppress(OSError), open("/proc/self/status", "rb", buffering=0) as status:
        _, found, rest = status.read(200).partition(b"\nUmask:")
        if found:
            return int(rest.split(None, 1)[0], 8)
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _numpy_errors() -> tuple[tuple[str, str], ...]:
    numpy: Any = sys.modules.get("numpy")
    geterr = getattr(numpy, "geterr", None)  # absent while another thread imports it
    errors = geterr() if geterr is not None else _NUMPY_DEFAULTS
    return () if errors == _NUMPY_DEFAULTS else tuple(errors.items())


def _decimal_context() -> tuple[Any, ...]:
    decimal: Any = sys.modules.get("decimal")
    if getattr(decimal, "getcontext", None) is None:
        return ()
    context = _parts(decimal.getcontext())
    return () if context == _default_decimal() else context


@functools.cache
def _default_decimal() -> tuple[Any, ...]:
    import decimal

    return _parts(decimal.Context())


def _parts(context: Any) -> tuple[Any, ...]:
    """Return what a decimal context says, without the flags, which any computation raises."""
    return (
        *(getattr(context, name) for name in _PASSED_ON),
        tuple(signal.__name__ for signal, on in context.traps.items() if on),
    )


def _apply_decimal(parts: tuple[Any, ...]) -> None:
    import decimal

    *values, traps = parts or _default_decimal()
    context = decimal.Context(**dict(zip(_PASSED_ON, values, strict=True)), traps=[getattr(decimal, name) for name in traps])
    decimal.setcontext(context)


@functools.lru_cache(maxsize=1)
def _describe_filters(entries: tuple[Any, ...]) -> tuple[tuple[Any, ...], ...]:
    return tuple(_describe_filter(entry) for entry in entries)


def _describe_filter(entry: tuple[Any, ...]) -> tuple[Any, ...]:
    action, message, category, module, line = entry
    return (action, _pattern(message), _describe_category(category), _pattern(module), line)


def _describe_category(category: type[Warning]) -> bytes | tuple[str, str]:
    if is_found_by_name(category):
        return category.__module__, category.__qualname__
    try:
        return pickle_in_band(category)  # a class of the main script
    except CannotLeaveError:
        return category.__module__, category.__qualname__


def _pattern(given: Any) -> Any:
    return (given.pattern, given.flags) if isinstance(given, re.Pattern) else given


def _apply_filters(described: tuple[tuple[Any, ...], ...]) -> None:
    found = []
    for action, message, named, origin, line in described:
        category = pickle.loads(named) if isinstance(named, bytes) else _category(*named)  # noqa: S301 - the parent sent it
        if category is not None:
            found.append((action, _compiled(message), category, _compiled(origin), line))
    warnings.resetwarnings()  # makes the caches of what was shown already invalid
    warnings.filters[:] = found  # type: ignore[index]  # a list, whatever the stub says


def _compiled(given: Any) -> Any:
    return re.compile(*given) if isinstance(given, tuple) else given


def _category(module: str, name: str) -> Any:
    """Import a category of warnings; None where this process has no such class: it can show no warning of it either."""
    try:
        __import__(module)
    except ImportError:
        return None
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) else None
