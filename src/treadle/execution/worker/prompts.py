"""Make `input()` and `breakpoint()` raise a helpful error in a worker process, which has no terminal to read from.

Runs in workers; `bootstrap.py` calls it. State: `sys.stdin` and `sys.breakpointhook`, which are replaced.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

from treadle.errors import RunnerError

_PYTHON_DEBUGGER = frozenset({"", "pdb.set_trace"})
"""Values of PYTHONBREAKPOINT that select Python's own debugger, which reads from the terminal."""


def disable_prompts(*, kedro: bool) -> None:
    """Make `input()`, `breakpoint()` and `sys.stdin.readline()` raise RunnerError in this process.

    If PYTHONBREAKPOINT selects another debugger, that debugger is called as usual.

    Args:
        kedro: whether this is a run of Kedro, whose runners have other names.
    """
    how = "--runner SequentialRunner" if kedro else "--runner sequential (in Python: runner='sequential')"

    def refuse(what: str) -> NoReturn:
        msg = f"{what} needs a terminal, but a node in a worker process has none. Run it in the main process: {how}."
        raise RunnerError(msg)

    # Other debuggers are called without a wrapper, because they inspect the calling frame, which must be the node's.
    if os.environ.get("PYTHONBREAKPOINT", "") in _PYTHON_DEBUGGER:
        sys.breakpointhook = lambda *_args, **_options: refuse("breakpoint()")
    if sys.stdin is not None:
        sys.stdin = _NoInput(sys.stdin, refuse)


class _NoInput:
    """Standard input without content: `readline` raises, and reading to the end returns nothing."""

    def __init__(self, original: Any, refuse: Any) -> None:
        self._original = original
        self._refuse = refuse

    def readline(self, *_size: int) -> str:
        return self._refuse("input()")  # type: ignore[no-any-return]  # it never returns

    def fileno(self) -> int:
        return self._original.fileno()  # type: ignore[no-any-return]  # a descriptor

    def __iter__(self) -> Any:
        return iter(self._original)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)
