"""In a worker process nobody can type: what asks there (`input()`, `breakpoint()`) raises an error that says where it can.

State: none. Neighbours: `bootstrap.py` calls it.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

from treadle.errors import RunnerError

_OWN_DEBUGGER = frozenset({"", "pdb.set_trace"})
"""Values of PYTHONBREAKPOINT that mean Python's own debugger, which asks on the terminal."""


def refuse_questions(*, kedro: bool) -> None:
    """Have `input()`, `breakpoint()` and `sys.stdin.readline()` raise in this process.

    Another debugger that PYTHONBREAKPOINT names is called as ever.

    Args:
        kedro: whether the run is one of Kedro's, which names its runners otherwise.
    """
    how = "--runner SequentialRunner" if kedro else "--runner sequential (in Python: runner='sequential')"

    def refuse(what: str) -> NoReturn:
        msg = f"{what} needs a terminal, and a node in a worker process has none. Run it in the main process: {how}."
        raise RunnerError(msg)

    # Not decided at each call: another debugger looks at the frame that calls it, which has to be the node's.
    if os.environ.get("PYTHONBREAKPOINT", "") in _OWN_DEBUGGER:
        sys.breakpointhook = lambda *_args, **_options: refuse("breakpoint()")
    if sys.stdin is not None:
        sys.stdin = _NoInput(sys.stdin, refuse)


class _NoInput:
    """Standard input that has nothing to give; a question is refused, and a program that reads to the end finds it at once."""

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
