"""Copy process-wide settings, such as umask, resource limits and warning filters, from the parent to its workers.

A forked child inherits all of them, a spawned child some, and a forkserver's child those of the time when the server was
started. So the parent describes its settings once per run, and a worker whose settings differ applies them. Module globals,
callables such as `warnings.showwarning` and pandas' options are not covered: a plugin sets these in `on_worker_start`.
docs/runners.md lists both kinds.

`packing` calls `describe` in the parent; `bootstrap.py` and `open_run.py` call `apply` in the worker. State: the pickle of the
last description.
"""

from __future__ import annotations

import contextlib
import functools
import locale
import logging
import multiprocessing
import operator
import os
import pickle
import re
import resource
import socket
import sys
import time
import warnings
from typing import Any

from treadle.execution.protocol.handles import UnpicklableValueError
from treadle.execution.values.importable import is_found_by_name
from treadle.execution.values.in_band import pickle_in_band
from treadle.named_tuple import NamedTuple

_logger = logging.getLogger(__name__)

_LIMITS = tuple(sorted({value for name, value in vars(resource).items() if name.startswith("RLIMIT_")}))
_NUMPY_DEFAULTS = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
_DECIMAL_FIELDS = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")
_decimal_fields = operator.attrgetter(*_DECIMAL_FIELDS)


class ProcessState(NamedTuple):
    """The settings that `describe` collects."""

    umask: int
    nice: int
    affinity: frozenset[int] | None
    """The cores that the process may use; None if the system does not report them."""
    limits: tuple[tuple[int, int], ...]
    """(soft, hard) of each resource limit."""
    locale: str
    recursion_limit: int
    switch_interval: float
    int_digits: int | None
    """`sys.get_int_max_str_digits()`; None if this Python does not have it."""
    socket_timeout: float | None
    start_method: str | None
    """The default start method of `multiprocessing`; None if it has not been set."""
    level_names: tuple[tuple[int, str], ...]
    numpy_errors: tuple[tuple[str, str], ...]
    """`numpy.geterr()`; empty if it is numpy's default."""
    decimal: tuple[Any, ...]
    """The decimal context of the calling thread; empty if it is Python's default."""
    warn_options: tuple[str, ...]
    filters: tuple[tuple[Any, ...], ...]
    """The warning filters; each category is replaced by its name or its pickle."""


_described: list[tuple[Any, bytes]] = [(None, b"")]
"""The settings found by the last `describe`, and their pickle; in one tuple, so that threads can replace both at once."""


def describe() -> bytes:
    """Describe the settings of this process.

    Returns:
        A pickled ProcessState; equal settings give equal bytes.
    """
    facts = (  # in the order of the fields
        _umask(),
        os.getpriority(os.PRIO_PROCESS, 0),
        frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        tuple(map(resource.getrlimit, _LIMITS)),
        locale.setlocale(locale.LC_ALL),
        sys.getrecursionlimit(),
        sys.getswitchinterval(),
        sys.get_int_max_str_digits() if hasattr(sys, "get_int_max_str_digits") else None,
        socket.getdefaulttimeout(),
        multiprocessing.get_start_method(allow_none=True),
        tuple(logging._levelToName.items()),  # noqa: SLF001 - no public way before Python 3.11
        _numpy_errors(),
        _decimal_context(),
        tuple(sys.warnoptions),
        _describe_filters(tuple(warnings.filters)),
    )
    before, described = _described[0]
    if before != facts:  # in most runs nothing has changed since the one before
        described = pickle.dumps(ProcessState(*facts), protocol=5)
        _described[0] = (facts, described)
    return described


def apply(described: bytes, *, filters: bool = True, system: bool = True) -> None:
    """Apply the settings of another process to this one; settings that the system refuses are logged as warnings.

    Args:
        described: the return value of `describe` in the other process.
        filters: whether to apply the warning filters too.
        system: whether to apply umask, priority, usable cores and resource limits too; False on another machine.
    """
    state: ProcessState = pickle.loads(described)  # noqa: S301 - the parent sent it
    if system:
        os.umask(state.umask)
        _apply_system_settings(state)
    time.tzset()
    if locale.setlocale(locale.LC_ALL) != state.locale:
        with _warn_on_error("the locale"):
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

        np.seterr(**(dict(state.numpy_errors) or _NUMPY_DEFAULTS))  # type: ignore[arg-type]  # values that geterr returned
    if state.decimal != _decimal_context():
        _apply_decimal(state.decimal)
    if filters:
        sys.warnoptions[:] = state.warn_options
        _apply_filters(state.filters)


def _apply_system_settings(state: ProcessState) -> None:
    if state.nice != os.getpriority(os.PRIO_PROCESS, 0):
        with _warn_on_error("the priority"):
            os.setpriority(os.PRIO_PROCESS, 0, state.nice)
    if state.affinity is not None and state.affinity != os.sched_getaffinity(0):
        with _warn_on_error("the CPU affinity"):
            os.sched_setaffinity(0, state.affinity)
    for limit, (soft, hard) in zip(_LIMITS, state.limits, strict=True):
        if resource.getrlimit(limit) != (soft, hard):
            with _warn_on_error(f"the limit of resource {limit}"):
                resource.setrlimit(limit, (soft, hard))


@contextlib.contextmanager
def _warn_on_error(setting: str) -> Any:
    try:
        yield
    except (OSError, ValueError, locale.Error) as exc:
        _logger.warning(
            "This worker could not apply %s of the main process (%s). The main process has probably gained or dropped privileges "
            "since its forkserver was started. Use start_method='spawn', where workers inherit from the main process itself.",
            setting,
            exc,
        )


def _umask() -> int:
    """Return the umask, if possible from /proc: reading it with `os.umask` changes it while other threads may create files."""
    with contextlib.suppress(OSError):
        status = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)  # cheaper than a file object, and this is done each run
        try:
            _, found, rest = os.read(status, 200).partition(b"\nUmask:")
        finally:
            os.close(status)
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
    context, default = decimal.getcontext(), _default_decimal()
    same = context.traps == default.traps and _decimal_fields(context) == _decimal_fields(default)
    return () if same else _parts(context)


@functools.cache
def _default_decimal() -> Any:
    import decimal

    return decimal.Context()


def _parts(context: Any) -> tuple[Any, ...]:
    """Return the settings of a decimal context, without its flags, which any computation may set."""
    return (
        *_decimal_fields(context),
        tuple(signal.__name__ for signal, on in context.traps.items() if on),
    )


def _apply_decimal(parts: tuple[Any, ...]) -> None:
    import decimal

    *values, traps = parts or _parts(_default_decimal())
    context = decimal.Context(**dict(zip(_DECIMAL_FIELDS, values, strict=True)), traps=[getattr(decimal, name) for name in traps])
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
    except UnpicklableValueError:
        return category.__module__, category.__qualname__


def _pattern(given: Any) -> Any:
    return (given.pattern, given.flags) if isinstance(given, re.Pattern) else given


def _apply_filters(described: tuple[tuple[Any, ...], ...]) -> None:
    found = []
    for action, message, named, origin, line in described:
        category = pickle.loads(named) if isinstance(named, bytes) else _category(*named)  # noqa: S301 - the parent sent it
        if category is not None:
            found.append((action, _compiled(message), category, _compiled(origin), line))
    warnings.resetwarnings()  # invalidates the caches of warnings that were shown already
    warnings.filters[:] = found  # type: ignore[index]  # a list, although the stub says otherwise


def _compiled(given: Any) -> Any:
    return re.compile(*given) if isinstance(given, tuple) else given


def _category(module: str, name: str) -> Any:
    """Import a warning category; None if it cannot be imported here, so that no warning of it can be raised either."""
    try:
        __import__(module)
    except ImportError:
        return None
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) else None
