"""Takes the progress display away while a person is asked to type: `input()`, a debugger, a read from `sys.stdin`.

The display comes back with the next event of the run, not between two questions. State: whether somebody is asked; what
`input` and `sys.stdin` were before. Neighbours: `progress.py` has the display.
"""

from __future__ import annotations

import builtins
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from treadle.forks import fork_safe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Asking:
    """Whether somebody is asked to type, and the display that is away meanwhile.

    Args:
        hide: takes the display away.
        show: draws it again.
    """

    def __init__(self, hide: Callable[[], None], show: Callable[[], None]) -> None:
        self._hide, self._show = hide, show
        self._lock = fork_safe(threading.RLock())
        self._questions = 0
        self._away = False
        self._replaced: list[tuple[Any, str, Any, Any]] = []

    def begin(self) -> None:
        """Watch for questions."""
        ask = builtins.input

        def input(prompt: object = "", /) -> str:  # noqa: A001 - it stands in for the builtin
            with self._question():
                return ask(prompt)

        self._replace(builtins, "input", input)
        if sys.stdin is not None:
            self._replace(sys, "stdin", _Stdin(sys.stdin, self._question))

    def end(self) -> None:
        """Put everything back."""
        while self._replaced:
            owner, name, ours, original = self._replaced.pop()
            if getattr(owner, name) is ours:
                setattr(owner, name, original)

    def is_asking(self) -> bool:
        """Say whether the display is away."""
        return self._away

    def resume(self) -> None:
        """Show the display again, unless somebody is typing at this moment."""
        if self._away:
            with self._lock:
                if not self._questions:
                    self._away = False
                    self._show()

    def _replace(self, owner: Any, name: str, ours: Any) -> None:
        self._replaced.append((owner, name, ours, getattr(owner, name)))
        setattr(owner, name, ours)

    @contextmanager
    def _question(self) -> Iterator[None]:
        with self._lock:
            self._questions += 1
            self._take_away()
        try:
            yield
        finally:
            with self._lock:
                self._questions -= 1

    def _take_away(self) -> None:
        with self._lock:
            if not self._away:
                self._away = True
                self._hide()


class _Stdin:
    """Standard input, each read of which is a question."""

    def __init__(self, original: Any, question: Any) -> None:
        self._original = original
        self._question = question

    def read(self, *size: int) -> Any:
        with self._question():
            return self._original.read(*size)

    def readline(self, *size: int) -> Any:
        with self._question():
            return self._original.readline(*size)

    def readlines(self, *hint: int) -> Any:
        with self._question():
            return self._original.readlines(*hint)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        with self._question():
            return next(self._original)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)
