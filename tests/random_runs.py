"""Random runs whose nodes fail, are tried again and change what they get; the fixture `random_runs` is this module."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pandas as pd

from treadle import Catalog, NodePolicy, Pipeline, node
from treadle.errors import NodeError
from treadle.events import DatasetReleased, NodeFailed, NodeFinished, NodeSkipped, NodeStarted, RunFinished

KINDS = ("number", "text", "array", "frame", "records")


def value_of(kind, number):
    """A value of a kind, made from a number."""
    if kind == "text":
        return str(number)
    if kind == "array":
        return np.full(1 << 15, number)
    if kind == "frame":
        return pd.DataFrame({"number": [number, number + 1], "text": ["a", str(number)]})
    if kind == "records":
        return [{"number": number, "more": [number]}, {"number": 1}]
    return number


def number_of(value):
    """A number that depends on the whole value."""
    if isinstance(value, np.ndarray):
        return int(value.sum()) // value.size
    if isinstance(value, pd.DataFrame):
        return int(value["number"].sum())
    if isinstance(value, list):
        return sum(each["number"] + sum(each.get("more", [])) for each in value)
    return int(value)


def change(value):
    """Change a value in place, which no other node may notice."""
    if isinstance(value, np.ndarray):
        value += 7
    elif isinstance(value, pd.DataFrame):
        value.loc[0, "number"] = -1
    elif isinstance(value, list):
        value[0]["more"].append(1)
        value.append({"number": 50})


def work(index, kinds, folder, *, fails, changes):
    """A node's function. It fails at its first `fails` attempts, at each if that is -1."""

    def run(*inputs):
        with (folder / f"attempts_{index}").open("a") as file:
            file.write("+")
        total = (index + 3 * sum(map(number_of, inputs))) % 10_007
        if changes:
            for value in inputs:
                change(value)
        if fails < 0 or len((folder / f"attempts_{index}").read_text()) <= fails:
            raise ValueError(f"{total} is bad")
        values = [value_of(kind, total + place) for place, kind in enumerate(kinds)]
        return values[0] if len(values) == 1 else values or None

    return run


def random_run(seed, folder):
    """A pipeline and its catalog; some datasets are files."""
    choose = random.Random(seed)
    nodes, made, entries = [], [], {}
    for index in range(choose.choice([4, 10, 25])):
        inputs = choose.sample(made, min(len(made), choose.choice([0, 1, 1, 2, 3])))
        kinds = choose.choices(KINDS, k=choose.choice([0, 1, 1, 1, 2]))
        outputs = [f"v{index}_{place}" for place in range(len(kinds))]
        for name, kind in zip(outputs, kinds, strict=True):
            if kind in ("number", "records") and choose.random() < 0.3:
                entries[name] = {"type": "json.JSONDataset", "filepath": str(folder / f"{name}.json")}
        fails = choose.choices([0, 1, -1], [8, 2, 1])[0]
        retries = choose.choice([0, 1, 2]) if fails <= 0 else 1
        function = work(index, kinds, folder, fails=fails, changes=choose.random() < 0.4)
        policy = NodePolicy(retries=retries, resources={"seat": 1} if choose.random() < 0.2 else None)
        nodes.append(node(function, inputs or None, outputs or None, name=f"n{index}", policy=policy))
        made += outputs
    return Pipeline(nodes), Catalog.from_config(entries)


def order_faults(events, pipeline):
    """What happened too early: a node started before its parents had finished, or something followed the end of the run."""
    maker = {name: each.name for each in pipeline.nodes for name in each.outputs}
    parents = {each.name: {maker[name] for name in each.inputs if name in maker} for each in pipeline.nodes}
    finished, faults = set(), []
    for event in events:
        if isinstance(event, NodeStarted) and not parents[event.node] <= finished:
            faults.append(event.node)
        elif isinstance(event, NodeFinished):
            finished.add(event.node)
    return faults if isinstance(events[-1], RunFinished) else [*faults, "the run"]


def story(runner, seed, folder, observers=(), *, seconds=None):
    """All that can be known of a run, whichever runner runs it.

    The observers also get its events. `seconds` is how long each node is expected to take.
    """
    folder.mkdir()
    pipeline, catalog = random_run(seed, folder)
    events, failures, values = [], [], {}
    known = dict.fromkeys((each.name for each in pipeline.nodes), seconds) if seconds is not None else {}
    runner.resources = {"seat": 1}
    try:
        result = runner.run(
            pipeline, catalog, observers=[events.append, *observers], durations=lambda: known, on_failure="continue"
        )
        values = {name: number_of(value) for name, value in result.items()}
    except NodeError as error:
        failures = sorted((each.node, each.attempt, each.failure.message) for each in error.failures or (error,))
    assert order_faults(events, pipeline) == []
    return {
        "values": values,
        "failures": failures,
        "attempts": Counter(
            (type(each), each.node, each.attempt) for each in events if isinstance(each, (NodeStarted, NodeFinished))
        ),
        "failed": Counter((each.node, each.attempt, each.final) for each in events if isinstance(each, NodeFailed)),
        "skipped": Counter(each.node for each in events if isinstance(each, NodeSkipped)),
        "released": Counter(each.dataset for each in events if isinstance(each, DatasetReleased)),
        "files": {path.name: path.read_text() for path in sorted(folder.iterdir())},
    }
