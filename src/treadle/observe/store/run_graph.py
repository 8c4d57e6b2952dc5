"""The graph of a run as its record keeps it: nodes, datasets, and what each node needs.

A store keeps equal graphs once, by their digest, because most runs of a project have the same one. State: none. Neighbours:
`recorder.py` makes the graph from the plan of the run, `rows.py` stores its text, `treadle.observe.report` reads it.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import repeat
from typing import TYPE_CHECKING, Any

from treadle.io.parameters import Parameters
from treadle.named_tuple import NamedTuple, new_record
from treadle.observe.store.plain import plain_texts, plain_value
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


_new_dataset = functools.partial(new_record, GraphDataset)
_new_node = functools.partial(new_record, GraphNode)


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
        *columns, source, main_only, resources = zip(*self.nodes, strict=True) if self.nodes else ((),) * len(GraphNode._fields)
        places = {each: place for place, each in enumerate(dict.fromkeys(source))}
        nodes = list(zip(*columns, [places[each] for each in source], main_only, resources, strict=True))
        content = {"nodes": nodes, "datasets": self.datasets, "limits": self.limits, "sources": list(places)}
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
    # Column by column, because a run waits for the last part of its record, and may have ten thousand nodes.
    nodes = [planned.node for planned in plan.nodes]
    functions = {id(node.func): node.func for node in nodes}  # thousands of nodes may share one
    sources = {identity: source_of(function) for identity, function in functions.items()}
    resources: Iterable[tuple[tuple[str, int], ...]] = repeat(())
    if plan.policies:
        resources = [
            tuple([each for each in policy.resources if each[0] in limits]) if policy is not None and policy.resources else ()
            for policy in plan.policies
        ]
    columns = (
        plain_texts([planned.name for planned in plan.nodes]),
        plan.inputs,
        plan.outputs,
        plan.parents,
        [getattr(node, "namespace", None) or getattr(getattr(node, "kedro", None), "namespace", None) for node in nodes],
        [tuple(sorted(node.tags)) if node.tags else () for node in nodes],
        [sources[id(node.func)] for node in nodes],
        [planned.main_only for planned in plan.nodes],
    )
    rows = zip(*columns, resources)  # noqa: B905 - without limits, the last column has no end
    kinds = map(_kind, plan.datasets)
    datasets = map(_new_dataset, zip(plain_texts(plan.dataset_names), kinds, strict=True))
    return RunGraph(tuple(map(_new_node, rows)), tuple(datasets), dict(limits))


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
