"""Nodes that fail, in each way that a node can."""

import ctypes
import faulthandler
import json
import logging
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path

from treadle import Dataset, hook_impl


class StubbornError(Exception):
    """Cannot be pickled."""

    def __init__(self, message):
        super().__init__(message)
        self.lock = threading.Lock()


class PickyError(Exception):
    """Can be pickled, and not unpickled: its constructor wants more than its arguments."""

    def __init__(self, name, reason):
        super().__init__(f"{name}: {reason}")


class MuteError(Exception):
    """Cannot be printed."""

    def __str__(self):
        raise RuntimeError("no words")


def one():
    return 1


def add_one(value):
    return value + 1


def spill(value):
    return pour(value)


def pour(value):
    raise ValueError(f"spilled {value}")


def spill_with_a_cause(value):
    try:
        pour(value)
    except ValueError as exc:
        raise KeyError("bucket") from exc


def be_stubborn():
    raise StubbornError("will not travel")


def be_picky():
    raise PickyError("silk", "wrong colour")


def be_mute():
    raise MuteError


def leave():
    sys.exit("enough")


def interrupt_itself():
    raise KeyboardInterrupt


def lock():
    return threading.Lock()


def locks():
    yield 1
    yield threading.Lock()


class Returns:
    """Pickles, and does not come back."""

    def __reduce__(self):
        return json.loads, ("not json",)


def no_return():
    return Returns()


def sizes(_odd, number):
    return number


# --- two nodes at once: each end of a named pipe waits for the other ----------------------------------------------------


def meet_and_spill(meeting):
    Path(meeting).write_text("met")
    spill("it")


def meet_and_wait(meeting, release):
    Path(meeting).read_text()
    return Path(release).read_text()


# The victim waits until somebody holds the other end of the pipe, and dies with its own end open.


def _hold_open(pipe):
    return open(pipe, "w")  # noqa: PTH123 - the end of the process closes it


def die_of_sigkill(pipe):
    _held = _hold_open(pipe)
    os.kill(os.getpid(), signal.SIGKILL)


def die_of_sigsegv(pipe):
    _held = _hold_open(pipe)
    faulthandler.disable()  # a fork has inherited that of the tests, whose dump would look as if they had crashed
    ctypes.string_at(0)


def die_of_sigterm(pipe):
    _held = _hold_open(pipe)
    os.kill(os.getpid(), signal.SIGTERM)


def exit_at_once(pipe):
    _held = _hold_open(pipe)
    os._exit(3)


def outlive(pipe):
    """Return when the victim is dead: its end of the pipe is closed then."""
    return Path(pipe).read_text() == ""


def count_up(number):
    return number + 1


class Witness:
    """Hooks that log each error."""

    @hook_impl
    def on_node_error(self, error, node):
        logging.getLogger(__name__).info("%s: %s", node.name, type(error).__name__)


class Leaver:
    """Hooks that exit."""

    @hook_impl
    def on_node_error(self):
        sys.exit(4)


class TemporaryDataset(Dataset):
    """Saves to a new file whose name it remembers; `release` removes the file, and notes that it was called."""

    def __init__(self, folder):
        self.folder = folder
        self.saved = {}

    def load(self):
        return json.loads(Path(self.saved["path"]).read_text(encoding="utf-8"))

    def save(self, data):
        with tempfile.NamedTemporaryFile("w", dir=self.folder, suffix=".json", delete=False) as file:
            json.dump(data, file)
        self.saved["path"] = file.name

    def release(self):
        with Path(self.folder, "released").open("a", encoding="utf-8") as file:
            file.write(f"{os.getpid()}\n")
        Path(self.saved["path"]).unlink()


class KeepingHooks:
    """Keeps the mappings that it is given, and raises where they change afterwards."""

    @hook_impl
    def before_node_run(self, inputs):
        self.before, self.names = inputs, tuple(inputs)
        inputs.clear()  # the hook's own

    @hook_impl
    def after_node_run(self, inputs, outputs):
        self.inputs, self.outputs = inputs, outputs
        self.copies = dict(inputs), dict(outputs)

    @hook_impl
    def after_dataset_saved(self, dataset_name):
        if self.before or (self.inputs, self.outputs) != self.copies or tuple(self.inputs) != self.names:
            message = f"what the hook keeps has changed: {dataset_name}"
            raise RuntimeError(message)
