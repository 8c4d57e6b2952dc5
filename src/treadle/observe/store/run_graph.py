"""The graph of a run as its record keeps it: nodes, datasets, and what each node needs.

A store keeps equal graphs once, by their digest, because most runs of a project have the same one. State: none. Neighbours:
`recorder.py` makes the graph from the plan of the run, `rows.py` stores its text, `treadle.observe.report` reads it.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from treadle.io.parameters import Parameters
from treadle.named_tuple import NamedTuple, new_record
from treadle.observe.store.plain import plain_text, plain_value
from treadle.parameter_names import is_parameter

if TYPE_CHECKING:
    from treadle.planning import Plan
    from treadle.planning.plan import PlannedDataset

PARAMETERS, MEMORY, PERSISTENT = "parameters", "memory", "persistent"
"""The kinds of datasets."""


LONGEST_PARAMETER = 4000
"""Number of characters of a param, as JSON, that is recorded completely."""


class GraphDataset(NamedTuple):
    """A dataset of a run; `kind` is one of the three above."""

    name: str
    kind: str


class Source(NamedTuple):
    """Where a function was defined. The file and line are None for a function that was not written in Python."""

    function: str
    file: str | None
    line: int | None


class GraphNode(NamedTuple):
    """A node of a run; datasets and other nodes are given as indices.

    Attributes:
        name: its name.
        inputs, outputs: its datasets.
        parents: the nodes that must end before it.
        namespace: its namespace, if any.
        tags: its tags, sorted.
        source: where its function was defined.
        main_only: whether it must run in the main process.
        resources: how much of each limited resource it needs, by name.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    parents: tuple[int, ...]
    namespace: str | None
    tags: tuple[str, ...]
    source: Source
    main_only: bool
    resources: tuple[tuple[str, int], ...]


class _Content(NamedTuple):
    nodes: tuple[GraphNode, ...] = ()
    datasets: tuple[GraphDataset, ...] = ()
    limits: Mapping[str, int] = {}


class RunGraph(_Content):  # a subclass, so that it has a `__dict__` for the cached properties
    """The nodes and datasets of a run, in plan order.

    Attributes:
        nodes, datasets: by index.
        limits: how much of each resource was available, by name.
    """

    @cached_property
    def text(self) -> str:
        """The graph as JSON, which `from_text` reads."""
        sources = {source: place for place, source in enumerate(dict.fromkeys(node.source for node in self.nodes))}
        nodes = [
            (name, inputs, outputs, parents, namespace, tags, sources[source], main_only, resources)
            for name, inputs, outputs, parents, namespace, tags, source, main_only, resources in self.nodes
        ]
        content = {"nodes": nodes, "datasets": self.datasets, "limits": self.limits, "sources": list(sources)}
        return json.dumps(content, separators=(",", ":"), check_circular=False)  # tuples of tuples have no circles

    @cached_property
    def digest(self) -> str:
        """A hash of the text."""
        import xxhash

        return xxhash.xxh3_128_hexdigest(self.text.encode())

    @classmethod
    def from_text(cls, text: str) -> RunGraph:
        """Read a graph.

        Args:
            text: the `text` of a graph.
        """
        content = json.loads(text)
        sources = [Source(*each) for each in content["sources"]]
        nodes = [
            GraphNode(
                name,
                tuple(inputs),
                tuple(outputs),
                tuple(parents),
                namespace,
                tuple(tags),
                sources[source],
                main_only,
                tuple((resource, amount) for resource, amount in resources),
            )
            for name, inputs, outputs, parents, namespace, tags, source, main_only, resources in content["nodes"]
        ]
        return cls(tuple(nodes), tuple(GraphDataset(*each) for each in content["datasets"]), content["limits"])


def graph_of(plan: Plan, limits: Mapping[str, int]) -> RunGraph:
    """Describe the graph of a plan.

    Args:
        plan: the plan of a run.
        limits: how much of each resource is available, by name.
    """
    sources: dict[int, Source] = {}  # by the identity of the function: thousands of nodes may share one
    nodes = []
    for index, (name, node, inputs, outputs, parents, _children, main_only) in enumerate(plan.nodes):
        func = node.func
        source = sources.get(id(func)) or sources.setdefault(id(func), source_of(func))
        namespace = getattr(node, "namespace", None) or getattr(getattr(node, "kedro", None), "namespace", None)
        tags = tuple(sorted(node.tags)) if node.tags else ()
        policy = plan.policies[index] if plan.policies else None
        resources = policy.resources if policy is not None else None
        limited = tuple([each for each in resources if each[0] in limits]) if resources else ()
        fields = (plain_text(name), inputs, outputs, parents, namespace, tags, source, main_only, limited)
        nodes.append(new_record(GraphNode, fields))
    datasets = [new_record(GraphDataset, (plain_text(each.name), _kind(each))) for each in plan.datasets]
    return RunGraph(tuple(nodes), tuple(datasets), dict(limits))


def used_parameters(graph: RunGraph, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the params that the nodes of a graph load, by the names of their datasets.

    Args:
        graph: the graph.
        params: all params of the run, nested.
    """
    lookup = Parameters(params)
    names = [dataset.name for dataset in graph.datasets if dataset.kind == PARAMETERS and dataset.name in lookup]
    datasets = {name: lookup.dataset(name) for name in names}
    return {name: _short(dataset.load()) for name, dataset in datasets.items() if dataset is not None}


def _short(value: Any) -> Any:
    """Return a param as it is recorded: a very long one only by its beginning."""
    text = json.dumps(plain_value(value))
    return value if len(text) <= LONGEST_PARAMETER else f"{text[:LONGEST_PARAMETER]}…"


def source_of(func: Callable[..., Any]) -> Source:
    """Return where a function was defined; for a decorated one, the function that was decorated.

    Args:
        func: any callable.
    """
    while isinstance(func, functools.partial):
        func = func.func
    try:
        inner: Any = inspect.unwrap(func)
    except ValueError:  # wrappers that form a circle
        inner = func
    called = inner if hasattr(inner, "__code__") else vars(type(inner)).get("__call__")
    code = getattr(called, "__code__", None)
    name = getattr(inner, "__qualname__", None)
    module = getattr(inner, "__module__", None)
    full = name if isinstance(name, str) else type(inner).__qualname__
    if isinstance(module, str) and module not in ("builtins", "__main__"):
        full = f"{module}.{full}"
    return Source(full, getattr(code, "co_filename", None), getattr(code, "co_firstlineno", None))


def _kind(dataset: PlannedDataset) -> str:
    if is_parameter(dataset.name):
        return PARAMETERS
    return MEMORY if dataset.in_memory else PERSISTENT


def children_of(nodes: Sequence[GraphNode]) -> list[list[int]]:
    """Return the children of each node, in plan order.

    Args:
        nodes: all nodes of a graph.
    """
    children: list[list[int]] = [[] for _ in nodes]
    for index, node in enumerate(nodes):
        for parent in node.parents:
            children[parent].append(index)
    return children
