"""Functions, datasets and hooks for runs without a project."""

import json
import os
import tempfile
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

from kedro.framework.hooks import hook_impl
from kedro.io import AbstractDataset


def times_two(value):
    return value * 2


def pid(_value):
    return os.getpid()


def add(left, right):
    return left + right


def describe(table):
    return type(table).__name__, float(table.sum())


def write_into(array):
    array[0] = 100
    return float(array[0])


def fresh_array(megabytes):
    import numpy as np

    return np.ones(int(megabytes) * 131072)


def one_more(array):
    return array + 1


def tree_memory(_array):
    """PSS of the whole run, seen from inside: parent and workers."""
    import psutil

    parent = psutil.Process(os.getppid())
    if "forkserver" in " ".join(parent.cmdline()):
        parent = parent.parent()
    return sum(process.memory_full_info().pss for process in (parent, *parent.children(recursive=True)))


class CountedDataset(AbstractDataset):
    """Counts how often it is pickled in this process."""

    pickled = 0

    def __init__(self, value):
        self.value = value

    def load(self):
        return self.value

    def save(self, data):
        raise AssertionError

    def __getstate__(self):
        type(self).pickled += 1
        return self.__dict__

    def _describe(self):
        return {}


class UnpicklableDataset(AbstractDataset):
    """Holds a lock, and remembers nothing that it could be made from again."""

    def __init__(self, *values):
        self.values = values
        self.lock = threading.Lock()

    def load(self):
        return self.values[0]

    def save(self, data):
        raise AssertionError

    def _describe(self):
        return {}


def divide_by(value):
    return 1 / value


class RaisingHooks:
    """One hook, which raises."""

    def __init__(self, name, kind):
        self.name = name
        self.kind = kind

    def _raise_in(self, name):
        if name == self.name:
            raise self.kind(f"out of {name}")

    @hook_impl
    def before_dataset_loaded(self, dataset_name):
        self._raise_in("before_dataset_loaded")

    @hook_impl
    def before_node_run(self, node):
        self._raise_in("before_node_run")

    @hook_impl
    def after_node_run(self, node):
        self._raise_in("after_node_run")

    @hook_impl
    def after_dataset_saved(self, dataset_name):
        self._raise_in("after_dataset_saved")

    @hook_impl
    def on_node_error(self, error):
        self._raise_in("on_node_error")


class TemporaryDataset(AbstractDataset):
    """Saves to a new file whose name it remembers; `_release` removes the file, and notes that it was called."""

    def __init__(self, folder, *, stuck=False):
        self.folder = folder
        self.stuck = stuck
        self.saved = {"times": 0}

    def load(self):
        return json.loads(Path(self.saved["path"]).read_text(encoding="utf-8"))

    def save(self, data):
        with tempfile.NamedTemporaryFile("w", dir=self.folder, suffix=".json", delete=False) as file:
            json.dump(data, file)
        self.saved["path"] = file.name
        self.saved["times"] += 1
        if self.stuck:
            self.lock = threading.Lock()

    def _release(self):
        with Path(self.folder, "released").open("a", encoding="utf-8") as file:
            file.write(f"{os.getpid()}\n")
        Path(self.saved["path"]).unlink()

    def _describe(self):
        return {"folder": self.folder}


def greet(value, meeting):
    """Return the value when `answer` has been called in another worker."""
    with Path(meeting).open("wb"):
        return value, os.getpid()


def answer(value, meeting):
    """Return the value when `greet` has been called in another worker."""
    with Path(meeting).open("rb"):
        return value, os.getpid()


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
        assert not self.before
        assert (self.inputs, self.outputs) == self.copies
        assert dataset_name in self.outputs
        assert tuple(self.inputs) == self.names


class Tally:
    """Counts, as an attribute of a plugin."""

    def __init__(self):
        self.nodes = 0


class GatheringHooks:
    """Gathers state in its process, as kedro-viz does; holds the catalog, its datasets and a context of the session."""

    def __init__(self):
        self.stats = defaultdict(dict, {"earlier": {"rows": 1}})
        self.order = ["begin"]
        self.seen = {"begin"}
        self.calls = Counter()
        self.seconds = 1.5
        self.tally = Tally()
        self.started = {}
        self.latest = None
        self.context = None

    def know(self, catalog):
        self.catalog = catalog
        self.datasets = {name: catalog.get(name) for name in list(catalog)}

    @hook_impl
    def before_node_run(self, node):
        self.started[node.name] = time.time()

    @hook_impl
    def after_node_run(self, node):
        self.started.pop(node.name)
        self.order.append(node.name)
        self.seen.add(node.name)
        self.calls[node.func.__name__] += 1
        self.seconds += 0.25
        self.tally.nodes += 1
        self.latest = "later"

    @hook_impl
    def after_dataset_saved(self, dataset_name, data):
        self.stats[dataset_name]["value"] = data
        self.stats[dataset_name]["kind"] = type(self.catalog.get(dataset_name)).__name__
        self.stats[dataset_name]["same"] = self.datasets["kept"] is self.catalog.get("kept")


class AtMost:
    """A validator: values up to a limit, which it rounds."""

    def __init__(self, limit):
        self._limit = limit

    def validate(self, value):
        if value > self._limit:
            raise ValueError(f"{value} is more than {self._limit}")
        return round(value)


def is_whole(value):
    assert value == int(value), f"{value} is not whole"


def half_of(value):
    return value / 2


def build_ruler(length):
    def ruler():
        return length

    return ruler


def measure(context):
    return {"id": context.context_id, "prompt": context.prompts["prompt"], "tools": {k: t() for k, t in context.tools.items()}}


class PreviewHook:
    """Writes the preview of each node to a file, in the process that runs the node."""

    def __init__(self, folder):
        self._folder = folder

    @hook_impl
    def after_node_run(self, node):
        preview = node.preview()
        if preview is not None:
            Path(self._folder, node.name).write_text(preview.content)
