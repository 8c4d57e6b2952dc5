"""How a file is opened, on the local disk or on another file system. State: none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


_NONE: Mapping[str, Any] = {}


class OpenArguments(NamedTuple):
    """How to open a file.

    Attributes:
        binary: open in binary mode instead of text mode.
        encoding: encoding of the text.
        errors: how to handle encoding errors, as for `open`.
        newline: as for `open`.
        compression: a name known to fsspec, such as `"gzip"`, or `"infer"`; None for none.
        append: append to the file instead of replacing it.
        buffering: as for `open`; only for local files.
        others: further arguments for the `open` of a remote file system.
    """

    binary: bool = False
    encoding: str | None = None
    errors: str | None = None
    newline: str | None = None
    compression: str | None = None
    append: bool = False
    buffering: int = -1
    others: Mapping[str, Any] = _NONE

    @property
    def text(self) -> dict[str, str | None]:
        """The arguments for opening a text file; empty for a binary one."""
        if self.binary:
            return {}
        return {"encoding": self.encoding or "utf-8", "errors": self.errors, "newline": self.newline}

    def mode(self, letter: str) -> str:
        """Return the mode for `open`: the letter, with a b for binary files."""
        return f"{letter}b" if self.binary else letter
