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
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from treadle.errors import UnknownDatasetError
from treadle.pipeline.names import base_name
from treadle.planning.collector import collection_paused
from treadle.planning.confirms import confirming_in_main
from treadle.planning.exclusive import keep_apart
from treadle.planning.policies import NO_RULES, plan_policies, runs_in_main

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.io import Catalog
    from treadle.pipeline import Node, Pipeline
    from treadle.pipeline.links import Links
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
        links: what the pipeline keeps of itself from run to run; None for a plan that was not made of one.
    """

    nodes: tuple[PlannedNode, ...]
    datasets: tuple[PlannedDataset, ...]
    policies: tuple[NodePolicy | None, ...] = ()
    resources: Mapping[str, int] = field(default_factory=dict)
    on_failure: FailurePolicy | None = None
    links: Links | None = field(default=None, compare=False)

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
    links = pipeline.links
    nodes = links.nodes
    _require_known(links, catalog)
    datasets, shared = _plan_datasets(links, catalog)
    apart = keep_apart(links, shared, rules.exclusive, plan_policies(nodes, rules))
    policies = apart.policies
    stay_here = confirming_in_main(nodes, catalog) | apart.in_main
    stay_here |= {position for position, policy in enumerate(policies) if runs_in_main(policy)}
    main_only = {index for index, dataset in enumerate(datasets) if dataset.main_only}
    if main_only:
        in_and_out = zip(links.inputs, links.outputs, strict=True)
        stay_here |= {position for position, used in enumerate(in_and_out) if not main_only.isdisjoint(chain(*used))}
    stays = [position in stay_here for position in range(len(nodes))]
    names = [node.name for node in nodes]
    planned = map(PlannedNode, names, nodes, links.inputs, links.outputs, links.parents, links.children, stays)
    return Plan(tuple(planned), datasets, policies, {**rules.resources, **apart.resources}, rules.on_failure, links)


def _plan_datasets(links: Links, catalog: Catalog) -> tuple[tuple[PlannedDataset, ...], dict[int, str]]:
    """Ask the catalog, once a dataset, what the engine has to know, and what the datasets share, by index."""
    datasets: list[PlannedDataset] = []
    shared: dict[int, str] = {}
    for name, producer, consumers, is_result in zip(links.names, links.producers, links.consumers, links.results, strict=True):
        if name in catalog:
            capabilities = catalog.capabilities(name)
            in_memory, main_only, declared = capabilities.in_memory, capabilities.main_process_only, True
            if capabilities.exclusive is not None and not in_memory:
                shared[len(datasets)] = capabilities.exclusive
        else:
            in_memory, main_only, declared = True, False, False
        datasets.append(PlannedDataset(name, in_memory, main_only, declared, producer, consumers, is_result))
    return tuple(datasets), shared


def _require_known(links: Links, catalog: Catalog) -> None:
    """Refuse a pipeline that needs data nobody has, naming every such dataset with the node that needs it first."""
    unmade = [place for place, producer in enumerate(links.producers) if producer is None]
    missing = {
        links.names[place]: links.nodes[links.consumers[place][0]].name
        for place in unmade
        if base_name(links.names[place]) not in links.made and links.names[place] not in catalog
    }
    if not missing:
        return
    known = [*catalog, *sorted(links.made)]
    first, node_name = next(iter(missing.items()))
    close = tuple(get_close_matches(first, known, n=3))
    listed = ", ".join(f"'{name}' (needed by node '{node}')" for name, node in missing.items())
    hint = f" Did you mean {' or '.join(repr(match) for match in close)}?" if close else ""
    msg = (
        f"The pipeline needs data that no node makes and the catalog does not have: {listed}.{hint} "
        "Declare it in the catalog, or select the nodes that make it too."
    )
    raise UnknownDatasetError(msg, dataset=first, node=node_name, close=close)
