"""What a node depends on besides its function: params, the code of datasets and hooks, and classes in pickles."""

from __future__ import annotations

import importlib
import sys

import pytest

from treadle.hooks import create_hook_manager, register_hooks
from treadle.io import Catalog
from treadle.pipeline import Pipeline, node
from treadle.project.code import forget_package
from treadle.session.node_facts import PartsCollector, canonical

CATALOG = {
    "raw": {"type": "json.JSONDataset", "filepath": "raw.json"},
    "out": {"type": "json.JSONDataset", "filepath": "out.json"},
}
DATASET = """
from treadle.io.datasets.json import JSONDataset

class Scaled(JSONDataset):
    def load(self):
        return super().load() * FACTOR

    def save(self, data):
        super().save([each + 1 for each in data])

FACTOR = 2
"""
OBJECT = """
class Doubled:
    def __init__(self, factor):
        self.factor = factor

    def load(self):
        return [self.factor]

    def save(self, data): ...

    def exists(self):
        return True

    def release(self): ...
"""
HOOKS = """
from treadle import hook_impl

class Adds:
    def __init__(self, amount):
        self.amount = amount

    @hook_impl
    def before_dataset_saved(self, dataset_name, data):
        data.append(self.amount)

class Doubles:
    @hook_impl
    def before_dataset_saved(self, dataset_name, data):
        data.extend(data)
"""


def work(raw):
    return raw


@pytest.fixture
def package(tmp_path, monkeypatch):
    """`package(text)`: the module `mill.parts` with this source, imported anew."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "mill"
    folder.mkdir()
    (folder / "__init__.py").touch()

    def make(text):
        (folder / "parts.py").write_text(text)
        forget_package("mill")
        importlib.invalidate_caches()
        return importlib.import_module("mill.parts")

    yield make
    forget_package("mill")


def parts(entries=CATALOG, added=None, hooks=()):
    """Return the parts of a node from `raw` to `out`, and what cannot be compared."""
    catalog = Catalog.from_config(entries)
    for name, dataset in (added or {}).items():
        catalog[name] = dataset
    manager = create_hook_manager()
    register_hooks(manager, hooks)
    return PartsCollector("mill", catalog, manager).parts(node(work, "raw", "out"))


@pytest.mark.parametrize("name", ["raw", "out"])
@pytest.mark.parametrize("edit", [("FACTOR = 2", "FACTOR = 3"), ("* FACTOR", "+ FACTOR"), ("each + 1", "each")])
def test_the_code_of_a_dataset_of_the_project_counts(package, name, edit):
    """Its methods, and what they use, are a part of what the node saves."""
    entries = {**CATALOG, name: {**CATALOG[name], "type": "mill.parts.Scaled"}}
    package(DATASET)
    before, doubts = parts(entries)
    package(f"# A comment.\n{DATASET}")
    assert parts(entries) == (before, [])
    assert doubts == []
    package(DATASET.replace(*edit))
    assert parts(entries)[0] != before


def test_the_code_of_a_wrapped_dataset_counts(package):
    """A cached dataset, and a partitioned one, load with the class that their entry names inside."""
    inner = {"type": "mill.parts.Scaled", "filepath": "raw.json"}
    for outer in (
        {"type": "CachedDataset", "dataset": inner},
        {"type": "partitions.PartitionedDataset", "path": "raw", "dataset": "mill.parts.Scaled"},
    ):
        package(DATASET)
        before, _ = parts({**CATALOG, "raw": outer})
        package(DATASET.replace("FACTOR = 2", "FACTOR = 3"))
        assert parts({**CATALOG, "raw": outer})[0] != before


def test_datasets_of_treadle_add_no_code():
    """An upgrade of Treadle runs nothing again."""
    found, _ = parts()
    assert {label.partition(" ")[0] for label in found} == {"package", "callable", "arguments", "outputs", "entry"}
    assert [label for label in found if label.startswith("package")] == [f"package {__name__}"], "that of the function"


def test_the_arguments_of_a_dataset_that_code_adds_count():
    """A dataset that a hook adds to the catalog has no entry in its configuration, but the same arguments."""
    from treadle.io.datasets.json import JSONDataset
    from treadle.io.datasets.text import TextDataset

    given = [
        JSONDataset("raw.json"),
        JSONDataset("raw.json", load_args={"parse_float": str}),
        TextDataset("raw.json"),
        JSONDataset("other.json"),  # whose content counts, and not its place
    ]
    found = [parts(added={"raw": dataset}) for dataset in given]
    assert found[0] == found[3] == parts(added={"raw": JSONDataset("raw.json")})
    assert len({each[0]["entry raw (input)"] for each in found}) == 3
    assert not any(doubts for _, doubts in found)


def test_the_attributes_of_a_dataset_object_count(package):
    """A dataset of the project that does not know its arguments is compared by its attributes, if they can be compared."""
    made = package(OBJECT)
    assert parts(added={"raw": made.Doubled(1)}) == parts(added={"raw": made.Doubled(1)})
    assert parts(added={"raw": made.Doubled(1)})[0] != parts(added={"raw": made.Doubled(2)})[0]
    _, doubts = parts(added={"raw": made.Doubled(iter([1]))})
    assert "raw" in doubts[0]


def test_hooks_of_one_class_and_their_order_count(package):
    """Two hooks of one class are two hooks, and they are called one after the other."""
    made = package(HOOKS)

    def found(*hooks):
        return parts(hooks=hooks)[0]

    assert found(made.Adds(1), made.Adds(2)) == found(made.Adds(1), made.Adds(2))
    different = [
        found(made.Adds(1), made.Adds(2)),
        found(made.Adds(2), made.Adds(1)),
        found(made.Adds(5), made.Adds(2)),
        found(made.Adds(1), made.Adds(5)),
        found(made.Adds(2)),
        found(made.Adds(2), made.Doubles()),
        found(made.Doubles(), made.Adds(2)),
    ]
    assert all(one != other for number, one in enumerate(different) for other in different[:number])
    assert found(made.Adds(2), made.Doubles())["order of hook before_dataset_saved"] in {"Adds, Doubles", "Doubles, Adds"}


def test_a_hook_whose_state_cannot_be_compared_is_a_doubt(package):
    """In doubt, a node runs."""
    made = package(HOOKS)
    assert parts(hooks=[made.Adds(1)])[1] == []
    _, doubts = parts(hooks=[made.Adds(iter([1]))])
    assert len(doubts) == 1
    assert "hook before_dataset_saved of Adds" in doubts[0]


def test_the_order_of_a_param_counts():
    """A node may iterate over a mapping; the arguments of a dataset have names, so their order is nothing."""
    assert canonical({"a": 1, "b": {"c": 1, "d": 2}}, "") != canonical({"a": 1, "b": {"d": 2, "c": 1}}, "")
    assert canonical({"a": 1, "b": 2}, "") != canonical({"b": 2, "a": 1}, "")
    assert canonical([1, 2], "") != canonical((1, 2), "")
    swapped = {**CATALOG["raw"], "load_args": {"parse_float": 1, "parse_int": 2}}
    entries = [{**CATALOG, "raw": swapped}, {**CATALOG, "raw": {**swapped, "load_args": {"parse_int": 2, "parse_float": 1}}}]
    assert parts(entries[0]) == parts(entries[1])


def test_classes_of_a_pickle_count_whichever_run_made_it(package):
    """The node that made a file may not be a part of this run."""
    entries = {**CATALOG, "raw": {"type": "pickle.PickleDataset", "filepath": "raw.pickle"}}

    def classes(text):
        made = package(f"class Model:\n    def predict(self):\n        return {text}\n\ndef fit():\n    return Model()\n")
        producers = Pipeline([node(made.fit, None, "raw")]).nodes
        return PartsCollector("mill", Catalog.from_config(entries), None).stored_classes("raw", lambda: producers)

    assert classes("1") == classes("1") != classes("2")
    assert PartsCollector("mill", Catalog.from_config(entries), None).stored_classes("raw", list) == ""


def test_each_format_of_a_dataset_counts():
    """A node that loads a dataset in two formats depends on both entries, in whichever order it names them."""

    def found(order, *args, validator=None):
        text = {"type": "text.TextDataset", "filepath": "raw.json", **({"validator": validator} if validator else {})}
        names = ("raw@json", "raw@text", "raw@other")
        entries = {name: {**CATALOG["raw"], "load_args": {"parse_int": each}} for name, each in zip(names, args, strict=False)}
        catalog = Catalog.from_config({**entries, "raw@other": text, "out": CATALOG["out"]})
        made = node(lambda *_: 1, [names[each] for each in order], "out", name="made")
        return PartsCollector("mill", catalog, create_hook_manager()).parts(made)[0]

    for order in ((0, 1, 2), (2, 1, 0), (1, 0)):
        different = [found(order, *args) for args in ((1, 1), (1, 2), (2, 1), (2, 2))]
        assert all(one != other for number, one in enumerate(different) for other in different[:number])
        assert found(order, 1, 2) == different[1]


@pytest.mark.parametrize("annotation", ["Options", "list[Options]", "'Options'", "dict[str, Options] | None"])
def test_the_class_that_a_parameter_is_converted_to_counts_wherever_it_is(annotation, package, tmp_path):
    """A package of your own outside the project may have it; what the function does with it does not say so."""
    other = tmp_path / "common_options.py"

    def found(default):
        other.write_text(f"from dataclasses import dataclass\n\n@dataclass\nclass Options:\n    a: int = {default}\n")
        sys.modules.pop("common_options", None)
        made = package(f"from common_options import Options\n\ndef fit(options: {annotation}, other=None):\n    return options\n")
        catalog = Catalog.from_config({"out": CATALOG["out"], "raw": CATALOG["raw"]})
        catalog["params:options"] = {}
        collector = PartsCollector("mill", catalog, create_hook_manager())
        typed, untyped = node(made.fit, ["params:options", "raw"], "out"), node(made.fit, ["raw", "params:options"], "out")
        return collector.parts(untyped)[0], collector.parts(typed)[0]

    try:
        one, other_default, again = found(1), found(2), found(1)
    finally:
        sys.modules.pop("common_options", None)
    assert one == again
    assert one[0] == other_default[0], "the argument with the annotation gets no parameter"
    assert one[1] != other_default[1]
    assert one[1]["type of param options"] == other_default[1]["type of param options"]
