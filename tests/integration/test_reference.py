"""What the reference system offers, and where it fails, under every runner: failures by the number that docs/kedro.md has.

One copy of the loom project a way to run, with a catalog class, resolvers and a merge strategy of its own, on one warm runner.
Functions are lambdas and classes of the project's, so that no worker imports this module, and the same workers do for all.
"""

from __future__ import annotations

import contextvars
import importlib
import json
import logging
import os
import shutil
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from treadle import Catalog, Dataset, Pipeline, Session, node, pipeline
from treadle.errors import NodeError
from treadle.events import DatasetReleased, NodeFinished
from treadle.execution.packing.bundle import RunBundle
from treadle.hooks import create_hook_manager, register_hooks
from treadle.observe.store import SQLStore
from treadle.planning import compile_plan
from treadle.project import configured_project
from treadle.session.rerun import rerun_of

IN_PROCESS = ("sequential", "thread")
SECRET = "warp-and-weft-99"  # what no log and no record may show
MODULE = '''
"""What this copy of the project has of its own."""

import os
from pathlib import Path

from treadle import Catalog, Dataset, hook_impl


class LoomCatalog(Catalog):
    """Says where it loads."""

    def load(self, name):
        with open(os.environ["LOOM_TALLY"] + ".loads", "a") as file:
            file.write(f"{name} {os.getpid()}\\n")
        return super().load(name)


class Vault(Dataset):
    """Opens to those who know the word, and breaks."""

    def __init__(self, filepath, credentials):
        self.path, self.word = Path(filepath), credentials["word"]

    def load(self):
        raise OSError(f"the vault {self.path.name} is stuck")

    def save(self, data):
        raise OSError(f"the vault {self.path.name} is stuck")


class Parcel(Dataset):
    """Counts how often it is pickled."""

    def __init__(self, tally):
        self.tally = tally

    def load(self):
        return 1

    def save(self, data):
        raise OSError("it is only read")

    def __getstate__(self):
        with Path(self.tally).open("a") as file:
            file.write("pickled\\n")
        return self.__dict__


class Lines(Dataset):
    """A line for each chunk."""

    def __init__(self, path):
        self.path = Path(path)

    def load(self):
        return self.path.read_text().splitlines()

    def save(self, data):
        with self.path.open("a") as file:
            file.write(f"{data}\\n")


class Override:
    """Gives a node other inputs than the catalog has."""

    @hook_impl
    def before_node_run(self, node, inputs):
        return {"number": inputs["number"] * 10} if node.name == "changed" else None


def shout(text):
    return text.upper()
'''
SETTINGS = """
from loom.own import LoomCatalog, shout

DATA_CATALOG_CLASS = LoomCatalog
CONFIG_LOADER_ARGS = {
    "merge_strategy": {"parameters": "soft"},
    "custom_resolvers": {"shout": shout},
    "config_patterns": {"reports": ["reports*"]},
}
"""
CONF = {
    "base/catalog_own.yml": """
"{layer}.{name}_json": {type: json.JSONDataset, filepath: "data/{layer}/{name}.json"}
shared: {type: text.TextDataset, filepath: data/shared.txt, versioned: true}
kept: {type: text.TextDataset, filepath: data/kept.txt, versioned: true}
cached: {type: CachedDataset, versioned: true, dataset: {type: text.TextDataset, filepath: data/shared.txt}}
vault: {type: loom.own.Vault, filepath: "data/${runtime_params:day,today}.vault", credentials: vault_key}
""",
    "base/parameters_own.yml": "title: ${shout:cloth of ${globals:data}}\n",
    "local/credentials_own.yml": f"vault_key: {{word: {SECRET}}}\n",
    "local/parameters_own.yml": "model: {rate: 0.25}\n",
    "base/reports.yml": "{weekly: [a, b]}\n",
}


@dataclass
class Stand:
    """The project of one way to run."""

    way: str
    root: Path
    runner: object
    own: object
    """The module above."""

    def run(self, nodes, **arguments):
        """Run nodes in a session of the project; return the result and the session's record."""
        configured_project().pipelines["own"] = nodes if isinstance(nodes, Pipeline) else Pipeline(nodes)
        extra_params = arguments.pop("extra_params", None)
        session = Session.create(extra_params=extra_params)
        try:
            with session:
                result = session.run("own", runner=self.runner, **arguments)
        finally:
            self.last = session.session_id
        return result

    def record(self):
        """Load the record of the last session."""
        store = SQLStore(project_path=self.root)
        try:
            return store.load(self.last)
        finally:
            store.close()


@pytest.fixture(scope="module")
def stand(way, make_loom, in_project, runner_for):
    """The project of each way, configured, with its runner warm."""
    root = make_loom()
    (root / "src/loom/own.py").write_text(MODULE)
    with (root / "src/loom/settings.py").open("a") as settings:
        settings.write(SETTINGS)
    for name, text in CONF.items():
        (root / "conf" / name).write_text(text)
    with in_project(root), runner_for(way) as runner:
        yield Stand(way, root, runner, importlib.import_module("loom.own"))


# --- failures of the reference system, by number --------------------------------------------------------------------------


def test_3_the_catalog_does_not_travel_with_each_node(stand, tmp_path):
    """3: an object of the catalog is pickled once a run, however many nodes take it; what no node takes not at all."""
    catalog = Catalog({"used": stand.own.Parcel(str(tmp_path / "used")), "unused": stand.own.Parcel(str(tmp_path / "unused"))})
    nodes = [node(lambda used: used, "used", f"out{number}", name=f"n{number}") for number in range(20)]
    assert sum(stand.runner.run(Pipeline(nodes), catalog).values()) == 20
    times = (tmp_path / "used").read_text().count("\n") if (tmp_path / "used").exists() else 0
    assert times == (0 if stand.way in IN_PROCESS else 1)
    assert not (tmp_path / "unused").exists()


def test_3_what_travels_does_not_grow_with_the_project():
    """3: what a worker is sent of a run is the same size beside thousands of other entries and params."""
    nodes = Pipeline([node(len, "text", "length"), node(str, "params:used", "said")])
    entry = {"type": "text.TextDataset", "filepath": "/data/text.txt"}
    sizes = []
    for count in (0, 5000):
        catalog = Catalog.from_config({"text": entry, **{f"e{n}": entry for n in range(count)}}, save_version="v")
        catalog.add_parameters({"used": 1, **{f"p{n}": "x" * 100 for n in range(count)}})
        spec, _ = RunBundle("run", compile_plan(nodes, catalog), catalog, None).spec()
        sizes.append(len(spec))
    assert sizes[0] == sizes[1]


def test_6_intermediates_are_released(stand):
    """6: of a long chain of arrays two are held at a time, each is released before the run ends."""
    events = []
    chain = [node(lambda size: np.zeros(size) + 1, "size", "a0", name="n0")]
    chain += [node(lambda array: array + 1, f"a{n}", f"a{n + 1}", name=f"n{n + 1}") for n in range(9)]
    # What looks on from beside the chain needs every second array, so that they cannot all stay within one job.
    chain += [node(lambda array: float(array[0]), f"a{n}", f"s{n}", name=f"look{n}") for n in (2, 4, 6, 8)]
    result = stand.runner.run(
        Pipeline([*chain, node(lambda array: float(array.sum()), "a9", "end", name="end")]),
        Catalog({"size": 300_000}),
        observers=[events.append],
    )
    assert result["end"] == 3_000_000
    released = [event.dataset for event in events if isinstance(event, DatasetReleased)]
    assert sorted(name for name in released if name.startswith("a")) == [f"a{n}" for n in range(10)]
    held, most = set(), 0
    for event in events:
        if isinstance(event, NodeFinished):
            held |= {name for name, _ in event.sizes if name.startswith("a")}
        elif isinstance(event, DatasetReleased):
            most = max(most, len(held))
            held.discard(event.dataset)
    assert held == set()
    assert most <= 4


def test_7_releasing_asks_nothing_of_the_pipeline(stand, monkeypatch):
    """7: how often a pipeline is asked for its inputs does not grow with the number of its nodes."""
    asked = []
    inputs = Pipeline.inputs
    monkeypatch.setattr(Pipeline, "inputs", lambda self: (asked.append(1), inputs(self))[1])
    for count in (20, 200):
        chain = Pipeline([node(lambda value: value, f"d{n}", f"d{n + 1}", name=f"n{n}") for n in range(count)])
        assert stand.runner.run(chain, Catalog({"d0": 1}))[f"d{count}"] == 1
    assert len(asked) < 10


def test_13_an_unrelated_dataset_blocks_nothing(stand, tmp_path):
    """13: an entry that does not pickle matters only to the nodes that use it, which run in the main process."""
    locked = stand.own.Parcel(str(tmp_path / "x"))
    locked.lock = threading.Lock()
    apart = Pipeline([node(lambda number: number + 1, "number", "more")])
    assert stand.runner.run(apart, Catalog({"number": 1, "locked": locked}))["more"] == 2
    using = Pipeline([node(lambda locked: os.getpid(), "locked", "pid")])
    assert stand.runner.run(using, Catalog({"locked": locked}))["pid"] == os.getpid()


ASKED_BY = contextvars.ContextVar("asked_by", default="nobody")


class Asker(Dataset):
    """Loads who asks."""

    main_process_only = True

    def load(self):
        return ASKED_BY.get()

    def save(self, data):
        raise OSError("it is only read")


@pytest.mark.parametrize("is_async", [False, True])
def test_16_context_variables_reach_the_threads(stand, monkeypatch, is_async):
    """16: nodes in threads, and loads in threads of the main process, see the context variables of whoever called `run`."""
    nodes = [node(lambda one, two: {one, two}, ["one", "two"], "seen", name="loads")]
    if stand.way in IN_PROCESS:
        nodes.append(node(lambda: ASKED_BY.get("nobody"), None, "here", name="runs"))
    monkeypatch.setattr(stand.runner, "is_async", is_async)
    token = ASKED_BY.set("the caller")
    try:
        result = dict(stand.runner.run(Pipeline(nodes), Catalog({"one": Asker(), "two": Asker()})))
    finally:
        ASKED_BY.reset(token)
    assert result.pop("seen") == {"the caller"}
    assert set(result.values()) <= {"the caller"}


def test_17_the_projects_catalog_class_is_kept(stand):
    """17: a project's own DATA_CATALOG_CLASS is the catalog of hooks and loads, in workers too."""
    (stand.root / "data/raw").mkdir(exist_ok=True)
    (stand.root / "data/raw/in.json").write_text("[1, 2]")
    result = stand.run([node(lambda data: (sum(data), os.getpid()), "raw.in_json", "out")])
    assert result["out"][0] == 3
    loads = [line.split() for line in Path(os.environ["LOOM_TALLY"] + ".loads").read_text().splitlines()]
    assert ["raw.in_json", str(result["out"][1])] in loads


def _save_a_newer_version(root, text):
    folder = Path(root) / "data/shared.txt" / f"9999-{text}"
    folder.mkdir(parents=True)
    (folder / "shared.txt").write_text(text)


def test_18_a_run_loads_one_version_throughout(stand):
    """18: what a run takes is the version that was newest when it began, for each node; a rerun loads that version again."""
    shutil.rmtree(stand.root / "data/shared.txt", ignore_errors=True)
    _save_a_newer_version(stand.root, "1")

    def first(shared, root):
        _save_a_newer_version(root, "2")
        return shared

    nodes = [
        node(first, ["shared", "params:root"], "before", name="first"),
        node(lambda before, shared, cached: (before, shared, cached), ["before", "shared", "cached"], "seen", name="second"),
    ]
    result = stand.run(nodes, extra_params={"root": str(stand.root)})
    assert result["seen"] == ("1", "1", "1")
    again = rerun_of(stand.record(), default_conf_source="conf")
    assert again.arguments["load_versions"] == {"shared": "9999-1", "cached": "9999-1"}
    nodes[0] = node(lambda shared, root: shared, ["shared", "params:root"], "before", name="first")
    assert stand.run(nodes, extra_params={"root": "x"})["seen"] == ("2", "2", "2")
    arguments = {name: again.arguments[name] for name in ("load_versions",)}
    assert stand.run(nodes, extra_params={"root": "x"}, **arguments)["seen"] == ("1", "1", "1")


def test_18_a_resumed_run_loads_what_the_failed_one_had(stand):
    """18: the record has the versions that the failed run loaded, and the command that resumes it loads them again."""
    shutil.rmtree(stand.root / "data/shared.txt", ignore_errors=True)
    shutil.rmtree(stand.root / "data/kept.txt", ignore_errors=True)
    _save_a_newer_version(stand.root, "1")
    nodes = [
        node(lambda shared: shared, "shared", "kept", name="keep"),
        node(lambda kept, shared: 1 / 0, ["kept", "shared"], "out", name="fail"),
    ]
    with pytest.raises(NodeError) as caught:
        stand.run(nodes)
    assert caught.value.resume == f"treadle run --resume={stand.last}"
    assert rerun_of(stand.record(), default_conf_source="conf").arguments["load_versions"] == {"shared": "9999-1"}


# --- what it offers ---------------------------------------------------------------------------------------------------------


def test_configuration_of_the_settings(stand):
    """Resolvers, merge strategy and patterns of settings.py hold for what nodes get, and runtime params for the catalog."""
    nodes = [node(lambda title, model: [title, model], ["params:title", "params:model"], "seen")]
    assert stand.run(nodes)["seen"] == ["CLOTH OF DATA", {"depth": 3, "rate": 0.25}]
    with Session.create(save_on_close=False, extra_params={"day": "monday"}) as session:
        context = session.load_context()
        assert context.config_loader["reports"] == {"weekly": ["a", "b"]}
        assert context.catalog["vault"].path.name == "monday.vault"


def test_credentials_are_in_no_log_and_no_record(stand, caplog):
    """A dataset has its credentials where it is used; a failure with them is told, logged and recorded without them."""
    nodes = [node(lambda vault: vault, "vault", "out", name="open_vault")]
    with caplog.at_level(logging.DEBUG), pytest.raises(NodeError, match=r"open_vault.*'vault'.*is stuck") as caught:
        stand.run(nodes)
    record = stand.record()
    assert "stuck" in record.error.message
    said = [str(caught.value), repr(record), caplog.text, repr(caught.value.failure)]
    said += [path.read_bytes().decode(errors="replace") for path in (stand.root / ".treadle").iterdir()]
    assert not any(SECRET in each for each in said)


def test_factories_and_namespaces(stand):
    """Copies of a pipeline under namespaces run side by side, on datasets of patterns, each with parameters of its own."""
    count = lambda letters, depth: {"letters": len(letters), "depth": depth}
    part = Pipeline([node(count, ["text", "params:model"], "counted_json", name="count", tags="counting")])
    copies = [
        pipeline(part, namespace=name, inputs={"text": f"params:{name}"}, parameters={"params:model": "params:model.depth"})
        for name in ("north", "south")
    ]
    stand.run(sum(copies), extra_params={"north": "abc", "south": "de"}, namespaces=["north", "south"], tags="counting")
    read = {name: json.loads((stand.root / f"data/{name}/counted.json").read_text()) for name in ("north", "south")}
    assert read == {"north": {"letters": 3, "depth": 3}, "south": {"letters": 2, "depth": 3}}


def test_only_missing_outputs(stand):
    """Only the node whose output is gone runs again, and the one in memory before it; where all is there, none runs."""
    shutil.rmtree(stand.root / "data/done", ignore_errors=True)
    nodes = [
        node(lambda: [os.getpid()], None, "done.first_json", name="first"),
        node(lambda first: [first], "done.first_json", "between", name="between"),
        node(lambda between: between * 2, "between", "done.last_json", name="last"),
    ]
    ran = Counter()

    def watch(event):
        if isinstance(event, NodeFinished):
            ran[event.node] += 1

    for missing in ("", "done/last.json", None):
        if missing:
            (stand.root / "data" / missing).unlink()
        stand.run(nodes, only_missing_outputs=True, observers=[watch])
    assert ran == {"first": 1, "between": 2, "last": 2}


def test_before_node_run_overrides_inputs(stand):
    """What `before_node_run` returns takes the place of those inputs, for that node alone."""
    hooks = create_hook_manager()
    register_hooks(hooks, [stand.own.Override()])
    nodes = [
        node(lambda number, other: number + other, ["number", "other"], f"{name}_out", name=name) for name in ("changed", "kept")
    ]
    result = stand.runner.run(Pipeline(nodes), Catalog({"number": 1, "other": 2}), hooks=hooks)
    assert dict(result) == {"changed_out": 12, "kept_out": 3}


def test_generators_save_chunk_by_chunk(stand, tmp_path):
    """A generator's chunks are saved one after the other as they come: to a dataset all of them, in memory the last."""

    def chunks(count, path):
        for number in range(count):
            yield number, Path(path).read_text().count("\n") if number else 0

    catalog = Catalog({"count": 3, "path": str(tmp_path / "lines.txt"), "lines": stand.own.Lines(tmp_path / "lines.txt")})
    nodes = [
        node(chunks, ["count", "path"], ["lines", "already"]),
        node(len, "lines", "taken"),
        node(lambda seen: seen, "already", "last"),
    ]
    result = stand.runner.run(Pipeline(nodes), catalog)
    assert dict(result) == {"taken": 3, "last": 2}
