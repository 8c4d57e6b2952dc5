"""End a child process that a node forked, with `os.fork` or by a library, and in which the node's function returned or raised.

Such a child has a copy of the whole process. If it continued, it would save the node's outputs a second time and then run the
rest of the pipeline, or send the parent messages as if it were the worker. Runs wherever nodes run. State: none.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import NoReturn

from treadle.forks import note_fork


def end_forked_child(node: str | None, exc: BaseException | None) -> NoReturn:
    """End this process, a child that a node forked.

    It exits as a Python program does: with the code of a SystemExit, otherwise with 1 and a message on standard error.

    Args:
        node: name of the node; None if it is not known.
        exc: exception of the node's function; None if the function returned.
    """
    code = 1
    try:
        note_fork()  # first: standard output may be the worker's connection, and a thread that is not here may hold its lock
        if isinstance(exc, SystemExit) and (exc.code is None or isinstance(exc.code, int)):
            code = exc.code or 0
        elif isinstance(exc, SystemExit):
            _print_error(str(exc.code))
        else:
            if exc is not None:
                traceback.print_exception(type(exc), exc, exc.__traceback__)
            what = "returned from the node's function" if exc is None else "raised an exception in the node's function"
            _print_error(
                f"A process that node '{node}' forked (pid {os.getpid()}) {what} instead of exiting, so Treadle ended "
                "it. The node continues in the process that forked it. End a child of os.fork() with os._exit(), or start it "
                "with subprocess or multiprocessing."
            )
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    finally:  # exit even if printing raises
        os._exit(code & 0xFF)


def _print_error(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"{text}\n")
