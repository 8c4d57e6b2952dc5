"""Nodes whose policies are put to the test; they leave marks in a folder, where a test can count them."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from treadle import hook_impl


def mark(folder, name):
    """Leave a mark; return how many there are of this name."""
    with (Path(folder) / name).open("a") as marks:
        marks.write(f"{os.getpid()}\n")
    return len((Path(folder) / name).read_text().splitlines())


def make(folder):
    mark(folder, "make")
    return np.ones(300_000), [1]


def spoil_until_third(folder, array, numbers):
    """Spoil what it was given, and fail; the third attempt says what it saw before."""
    seen = float(array.sum()), list(numbers)
    array[:] = -1
    numbers.append(2)
    if mark(folder, "spoil") < 3:
        raise ValueError("not yet")
    return seen


def total(array, _seen):
    return float(array.sum())


def fail(folder):
    mark(folder, "fail")
    raise ValueError("never")


def die_once(folder, array):
    """Lose the worker at the first attempt, by SIGKILL."""
    seen = float(array.sum())
    array[:] = -1
    if mark(folder, "die") == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return seen


def hang_once(folder, pipe):
    """Wait at the first attempt for a pipe to which nobody writes."""
    if mark(folder, "hang") == 1:
        Path(pipe).read_text()
    return "at last"


def dawdle(seconds):
    """Take longer than so many seconds."""
    begun = time.perf_counter()
    while time.perf_counter() - begun <= seconds:
        pass
    return "late"


def number_of(value):
    return len(value)


def where(_folder):
    return os.getpid()


def use_alone(folder):
    """Fail where another node is here too."""
    lock = Path(folder) / "lock"
    os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
    mark(folder, "alone")
    lock.unlink()
    return 1


def meet(folder, mine, other):
    """Come back only if the other node runs at the same time."""
    if mine < other:
        (Path(folder) / mine).write_text("here")
        return (Path(folder) / other).read_text()
    said = (Path(folder) / other).read_text()
    (Path(folder) / mine).write_text("here")
    return said


def fail_with(word):
    raise LookupError(word)


def say(word):
    return word


class Counting:
    """Hooks that leave a mark for each call."""

    def __init__(self, folder):
        self.folder = str(folder)

    @hook_impl
    def before_node_run(self, node):
        mark(self.folder, f"before {node.name}")

    @hook_impl
    def after_node_run(self, node):
        mark(self.folder, f"after {node.name}")

    @hook_impl
    def on_node_error(self, error, node):
        mark(self.folder, f"error {node.name} {type(error).__name__}")
