"""Hide the progress display while a node waits for user input: `input()`, a debugger, a read from `sys.stdin`.

The display returns with the next event of the run, not between two prompts. State: the number of pending prompts; the original
`input` and `sys.stdin`. Neighbours: `progress.py` has the display.
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


class UserInputMonitor:
    """Detect pending user input, and hide the display meanwhile.

    Args:
        hide: hides the display.
        show: shows the display again.
    """

    def __init__(self, hide: Callable[[], None], show: Callable[[], None]) -> None:
        self._hide, self._show = hide, show
        self._lock = fork_safe(threading.RLock())
        self._pending_prompts = 0
        self._is_hidden = False
        self._replaced: list[tuple[Any, str, Any, Any]] = []

    def start(self) -> None:
        """Replace `input` and `sys.stdin` to detect user input."""
        original_input = builtins.input

        def input(prompt: object = "", /) -> str:  # noqa: A001 - replaces the builtin
            with self._prompt():
                return original_input(prompt)

        self._replace(builtins, "input", input)
        if sys.stdin is not None:
            self._replace(sys, "stdin", _Stdin(sys.stdin, self._prompt))

    def stop(self) -> None:
        """Restore `input` and `sys.stdin`."""
        while self._replaced:
            owner, name, replacement, original = self._replaced.pop()
            if getattr(owner, name) is replacement:
                setattr(owner, name, original)

    def is_active(self) -> bool:
        """Return whether the display is hidden."""
        return self._is_hidden

    def resume(self) -> None:
        """Show the display again, unless a prompt is pending."""
        if self._is_hidden:
            with self._lock:
                if not self._pending_prompts:
                    self._is_hidden = False
                    self._show()

    def _replace(self, owner: Any, name: str, replacement: Any) -> None:
        self._replaced.append((owner, name, replacement, getattr(owner, name)))
        setattr(owner, name, replacement)

    @contextmanager
    def _prompt(self) -> Iterator[None]:
        with self._lock:
            self._pending_prompts += 1
            self._hide_display()
        try:
            yield
        finally:
            with self._lock:
                self._pending_prompts -= 1

    def _hide_display(self) -> None:
        with self._lock:
            if not self._is_hidden:
                self._is_hidden = True
                self._hide()


class _Stdin:
    """Standard input that treats each read as a prompt."""

    def __init__(self, original: Any, prompt: Any) -> None:
        self._original = original
        self._prompt = prompt

    def read(self, *size: int) -> Any:
        with self._prompt():
            return self._original.read(*size)

    def readline(self, *size: int) -> Any:
        with self._prompt():
            return self._original.readline(*size)

    def readlines(self, *hint: int) -> Any:
        with self._prompt():
            return self._original.readlines(*hint)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        with self._prompt():
            return next(self._original)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)
