"""The plan: a pipeline and its catalog, compiled once into integers and flat tuples.

`compile_plan` asks the catalog everything the engine will need to know (which datasets persist, which live in memory,
which may not leave the main process) and who needs what; after that nobody asks the catalog or the pipeline again while
the run lasts. It is linear in nodes + edges. A plan is immutable and knows no process, file or clock; its parts are named
tuples, because a large plan has very many of them and those are made fastest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple

from treadle.errors import UnknownDatasetError
from treadle.pipeline.names import base_name
from treadle.planning.collector import collection_paused
from treadle.planning.confirms import confirming_in_main
from treadle.planning.policies import NO_RULES, plan_policies, runs_in_main

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.io import Catalog
    from treadle.pipeline import Node, Pipeline
    from treadle.pipeline.policy import FailurePolicy, NodePolicy
    from treadle.planning.policies import PolicyRules


class PlannedNode(NamedTuple):
    """A node by its index in plan order; datasets and other nodes are indices too."""

    name: str
    node: Node
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    parents: tuple[int, ...]
    children: tuple[int, ...]
    main_only: bool
    """True where one of its datasets may not leave the main process, or its policy says so: the node runs there."""


class PlannedDataset(NamedTuple):
    """A dataset by its index, and what the engine must know of it."""

    name: str
    in_memory: bool
    """True where its value lives in memory and the engine carries it from node to node."""
    main_only: bool
    """True where it may not leave the main process."""
    declared: bool
    """True where the catalog has an entry for it."""
    producer: int | None
    consumers: tuple[int, ...]
    is_result: bool
    """True where no node consumes it and one makes it: it is a free output, and the run's result maps its name to it."""

    @property
    def uses(self) -> int:
        """How many takers its value has: consumers, and the result of the run."""
        return len(self.consumers) + self.is_result


@dataclass(frozen=True, slots=True)
class Plan:
    """A pipeline compiled for running: nodes in a topological order that keeps the pipeline's own, and their datasets.

    Attributes:
        nodes, datasets: by index.
        policies: how each node is to be run, None for most; empty where none has a policy.
        resources: how much of each resource there is, as configuration says; a runner may say otherwise.
        on_failure: what a failure means where a node's policy does not say, as configuration says; the same holds.
    """

    nodes: tuple[PlannedNode, ...]
    datasets: tuple[PlannedDataset, ...]
    policies: tuple[NodePolicy | None, ...] = ()
    resources: Mapping[str, int] = field(default_factory=dict)
    on_failure: FailurePolicy | None = None

    @property
    def timeouts(self) -> dict[int, float]:
        """Seconds that an attempt at a node may take, by index of the nodes that have such a limit."""
        limits = ((index, policy.timeout) for index, policy in enumerate(self.policies) if policy is not None)
        return {index: limit for index, limit in limits if limit is not None and limit < math.inf}

    @property
    def results(self) -> tuple[int, ...]:
        """Indices of the free outputs."""
        return tuple(index for index, dataset in enumerate(self.datasets) if dataset.is_result)


@collection_paused()
def compile_plan(pipeline: Pipeline, catalog: Catalog, rules: PolicyRules = NO_RULES) -> Plan:
    """Compile a pipeline and its catalog into a frozen plan.

    Args:
        pipeline: the nodes to run.
        catalog: says where the pipeline's datasets live; those it does not know and a node makes live in memory.
        rules: what configuration says of how nodes are to be run.

    Returns:
        The plan. Compiling loads no data and builds no dataset that is a recipe.

    Raises:
        UnknownDatasetError: a node needs a dataset that no node makes and the catalog does not have, or confirms one that
            nobody has.
        ConfigError: two tags say different things of how a node is to be run.
    """
    nodes = pipeline.nodes
    index_of: dict[str, int] = {}
    producer_of: dict[str, int] = {}  # by base name: `table@pandas` and `table@spark` are one dataset to the graph
    for position, node in enumerate(nodes):
        for name in node.outputs:
            index_of.setdefault(name, len(index_of))
            producer_of[base_name(name)] = position
        for name in node.inputs:
            index_of.setdefault(name, len(index_of))
    _require_known(nodes, producer_of, catalog)
    stay_here = confirming_in_main(nodes, catalog)

    consumers: list[list[int]] = [[] for _ in index_of]
    producer: list[int | None] = [None] * len(index_of)
    consumed: set[str] = set()
    children: list[dict[int, None]] = [{} for _ in nodes]
    parents: list[tuple[int, ...]] = []
    for position, node in enumerate(nodes):
        mine: dict[int, None] = {}
        for name in node.inputs:
            consumers[index_of[name]].append(position)
            base = base_name(name)
            consumed.add(base)
            if (parent := producer_of.get(base)) is not None:
                mine[parent] = None
                children[parent][position] = None
        for name in node.outputs:
            producer[index_of[name]] = position
        parents.append(tuple(mine))

    datasets = _plan_datasets(index_of, producer, consumers, consumed, catalog)
    main_only = {index for index, dataset in enumerate(datasets) if dataset.main_only}
    policies = plan_policies(nodes, rules)
    stay_here |= {position for position, policy in enumerate(policies) if runs_in_main(policy)}
    planned = []
    for position, node in enumerate(nodes):
        inputs = tuple(index_of[name] for name in node.inputs)
        outputs = tuple(index_of[name] for name in node.outputs)
        planned.append(
            PlannedNode(
                name=node.name,
                node=node,
                inputs=inputs,
                outputs=outputs,
                parents=parents[position],
                children=tuple(children[position]),
                main_only=position in stay_here or (bool(main_only) and not main_only.isdisjoint((*inputs, *outputs))),
            )
        )
    return Plan(tuple(planned), datasets, policies, rules.resources, rules.on_failure)


def _plan_datasets(
    index_of: dict[str, int],
    producer: list[int | None],
    consumers: list[list[int]],
    consumed: set[str],
    catalog: Catalog,
) -> tuple[PlannedDataset, ...]:
    """Ask the catalog, once a dataset, what the engine has to know."""
    datasets = []
    for name, index in index_of.items():
        declared = name in catalog
        capabilities = catalog.capabilities(name) if declared else None
        datasets.append(
            PlannedDataset(
                name=name,
                in_memory=capabilities is None or capabilities.in_memory,
                main_only=capabilities is not None and capabilities.main_process_only,
                declared=declared,
                producer=producer[index],
                consumers=tuple(consumers[index]),
                is_result=producer[index] is not None and base_name(name) not in consumed,
            )
        )
    return tuple(datasets)


def _require_known(nodes: tuple[Node, ...], producer_of: dict[str, int], catalog: Catalog) -> None:
    """Refuse a pipeline that needs data nobody has, naming every such dataset with the node that needs it first."""
    missing: dict[str, str] = {}
    for node in nodes:
        for name in node.inputs:
            if base_name(name) not in producer_of and name not in missing and name not in catalog:
                missing[name] = node.name
    if not missing:
        return
    known = [*catalog, *producer_of]
    first, node_name = next(iter(missing.items()))
    close = tuple(get_close_matches(first, known, n=3))
    listed = ", ".join(f"'{name}' (needed by node '{node}')" for name, node in missing.items())
    hint = f" Did you mean {' or '.join(repr(match) for match in close)}?" if close else ""
    msg = (
        f"The pipeline needs data that no node makes and the catalog does not have: {listed}.{hint} "
        "Declare it in the catalog, or select the nodes that make it too."
    )
    raise UnknownDatasetError(msg, dataset=first, node=node_name, close=close)
