"""The functions of the nodes: some work, some fail."""

import contextvars
import logging
import os
import re
import signal
import sys
import threading
from pathlib import Path

logger = logging.getLogger(__name__)
asked_for = contextvars.ContextVar("asked_for", default="nothing")


class LaneError(Exception):
    """An error of the project's own."""


class StubbornError(Exception):
    """Does not survive pickling: it takes two arguments and keeps one."""

    def __init__(self, what, lock):
        super().__init__(what)
        self.lock = lock


def times(values, factor):
    return [value * factor for value in values]


def model_params(model):
    return dict(sorted(model.items()))


def plus(left, right):
    return [a + b for a, b in zip(left, right, strict=True)]


def fail(values):
    raise LaneError(f"no luck with {values}")


def kill(values):
    os.kill(os.getpid(), signal.SIGKILL)


def leave(values):
    sys.exit(3)


def be_stubborn(values):
    raise StubbornError("cannot be told", threading.Lock())


def hang(values):
    Path("hanging.txt").write_text(str(os.getpid()), encoding="utf-8")
    threading.Event().wait()


def touch(values, name):
    with Path("ran.txt").open("a", encoding="utf-8") as ran:
        ran.write(f"{name}\n")
    return values


def wait_for_failure(values):
    """End only when the runner has heard that the other node failed."""
    tick = threading.Event()
    while "bad failed" not in Path("run.log").read_text(encoding="utf-8"):
        tick.wait(0.02)
    return values


def take_longer(values):
    """Take longer than the quick node did, however slow the machine is."""
    tick = threading.Event()
    while not (told := re.findall(r"a_quick: ([\d.]+) s", Path("run.log").read_text(encoding="utf-8"))):
        tick.wait(0.02)
    tick.wait(2 * float(told[-1]) + 0.1)
    return values


def fail_at_once(values):
    raise LaneError("failed at once")


def newer_elsewhere(history):
    """Another run saves a newer version meanwhile."""
    newer = Path("data/history.json/9999-01-01T00.00.00.000Z/history.json")
    newer.parent.mkdir(parents=True)
    newer.write_text('["of another run"]', encoding="utf-8")
    return history


def process(values):
    return [os.getpid()]


def speak(values, login):
    """Log what a program that the node starts would find in its environment."""
    logger.warning("the span is %s", os.environ.get("TRACEPARENT"))
    return list(login)
