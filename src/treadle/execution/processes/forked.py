"""A child process that a node forked with `os.fork` and that comes back from the node's function. State: none.

Such a child has a copy of everything the attempt has: were it to go on, it would save the node's outputs a second time, and
then run the rest of the pipeline, or answer to the parent in its worker's name. So it is ended where the function ends.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import NoReturn


def end_forked_child(node: str | None, exc: BaseException | None) -> NoReturn:
    """End this process: a child that a node forked, and in which the node's function has ended.

    It exits as a Python program would: with the code of a SystemExit, and else with 1 and a message on standard error.

    Args:
        node: name of the node; None where it is not known.
        exc: what the function raised; None where it returned.
    """
    code = 1
    try:
        if isinstance(exc, SystemExit) and (exc.code is None or isinstance(exc.code, int)):
            code = exc.code or 0
        elif isinstance(exc, SystemExit):
            _say(str(exc.code))
        else:
            if exc is not None:
                traceback.print_exception(type(exc), exc, exc.__traceback__)
            what = "returned from the node's function" if exc is None else "raised an exception in the node's function"
            _say(
                f"A process that node '{node}' forked (pid {os.getpid()}) {what} instead of ending itself, so it was ended "
                "here. The node goes on in the process that forked it. End a child of os.fork() with os._exit(), or start it "
                "with subprocess or multiprocessing."
            )
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    finally:  # whatever printing raises
        os._exit(code & 0xFF)


def _say(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"{text}\n")
