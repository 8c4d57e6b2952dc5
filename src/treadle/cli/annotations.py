"""Annotations of GitHub Actions: errors at the line of the code or the configuration that causes them.

In a job of GitHub Actions (`GITHUB_ACTIONS=true`), a line `::error file=…,line=…::message` on standard error is shown at that
line of the commit. Elsewhere these functions do nothing. State: none. Neighbours: `failure.py` and `check.py` call them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from treadle.errors import ConfigError, HookError, NodeError, ProjectError, WorkerSetupError
from treadle.printable import printable

if TYPE_CHECKING:
    from treadle.errors import TreadleError

_FRAME = r'^ *File "(.+?)", line (\d+)'
_PLACE = r"(?P<file>[^\n]+?), line (?P<line>\d+): "
"""Where a message about a catalog entry begins with the entry's place."""


def annotate_error(error: TreadleError) -> None:
    """Print an annotation for an error that ends a command, in a job of GitHub Actions.

    Args:
        error: the error.
    """
    failure = error.failure if isinstance(error, (HookError, NodeError, WorkerSetupError)) else None
    place: tuple[str, int | None] | None = None
    if isinstance(error, (ConfigError, ProjectError)) and error.file is not None:
        place = error.file, error.line if isinstance(error, ConfigError) else None
    annotate(str(error.args[0]), traceback=failure.traceback if failure is not None else "", place=place)


def is_annotating() -> bool:
    """Return whether this is a job of GitHub Actions."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def annotate(
    message: str,
    *,
    traceback: str = "",
    place: tuple[str, int | None] | None = None,
    otherwise: tuple[str, int | None] | None = None,
) -> None:
    """Print an annotation with a message, in a job of GitHub Actions.

    Args:
        message: the message; if it begins with a file and a line, that is the place of the annotation.
        traceback: if the place is not known otherwise, it is the innermost frame of this traceback in a file of the repository.
        place: the file and the line.
        otherwise: the file and the line if no other place is known.
    """
    if not is_annotating():
        return
    found = place or _place_of_message(message) or _place_of_traceback(traceback) or otherwise
    file = _in_repository(found[0]) if found is not None else None
    properties = ""
    if found is not None and file is not None:
        properties = f" file={_escaped(file, ':,')}" + (f",line={found[1]}" if found[1] else "")
    click.echo(printable(f"::error{properties}::{_escaped(message)}"), err=True)


def _place_of_message(message: str) -> tuple[str, int] | None:
    match = re.match(_PLACE, message)
    return None if match is None else (match["file"], int(match["line"]))


def _place_of_traceback(traceback: str) -> tuple[str, int] | None:
    frames = [(file, int(line)) for file, line in re.findall(_FRAME, traceback, re.MULTILINE)]
    return next(((file, line) for file, line in reversed(frames) if _in_repository(file) is not None), None)


def _in_repository(file: str) -> str | None:
    """Return the path of a file relative to the repository; None if it is outside, or in an environment of packages in it."""
    root = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd()).resolve()
    path = Path(file).resolve()
    if not path.is_relative_to(root) or "site-packages" in path.parts:
        return None
    return path.relative_to(root).as_posix()


def _escaped(text: str, more: str = "") -> str:
    """Escape a text as GitHub's runner decodes it: per cent signs and line ends, and in properties colons and commas too."""
    return "".join(f"%{ord(each):02X}" if each in f"%\r\n{more}" else each for each in text)
