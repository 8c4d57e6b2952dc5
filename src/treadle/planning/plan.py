"""The plan: a pipeline and its catalog, compiled once into integers and flat tuples.

`compile_plan` reads from the catalog everything that execution needs (which datasets persist, are kept in memory, or are
restricted to the main process) and resolves dependencies to indices, in time linear in nodes + edges; the pipeline and the
catalog are not consulted for them again during the run. A plan is immutable and independent of processes, files and clocks; its
parts are named tuples, because a large plan has very many and named tuples are the fastest to create.

State: the last plan of each pipeline, which is used again while the catalogs declare the same datasets.
"""

from __future__ import annotations

import math
import operator
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from treadle.collector import collection_paused
from treadle.errors import UnknownDatasetError
from treadle.named_tuple import NamedTuple, new_record
from treadle.pipeline.names import base_name
from treadle.planning.confirms import confirming_in_main
from treadle.planning.exclusive import apply_exclusive
from treadle.planning.policies import NO_RULES, plan_policies, runs_in_main
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from treadle.io import Catalog
    from treadle.io.dataset import Capabilities
    from treadle.pipeline import Node, Pipeline
    from treadle.pipeline.graph import Edges
    from treadle.pipeline.links import Links
    from treadle.pipeline.policy import FailurePolicy, NodePolicy
    from treadle.planning.policies import PolicyRules


class PlannedNode(NamedTuple):
    """A node of a plan; datasets and other nodes are given as indices."""

    name: str
    node: Node
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    parents: tuple[int, ...]
    children: tuple[int, ...]
    main_only: bool
    """True if the node must run in the main process, because of one of its datasets or its policy."""


class PlannedDataset(NamedTuple):
    """A dataset of a plan; nodes are given as indices."""

    name: str
    in_memory: bool
    """True if its value is kept in memory and passed from node to node."""
    main_only: bool
    """True if it is restricted to the main process."""
    declared: bool
    """True if the catalog has an entry for it."""
    producer: int | None
    consumers: tuple[int, ...]
    is_result: bool
    """True if it is a free output: a node produces it, no node consumes it, and it is part of the run's result."""


_new_node = partial(new_record, PlannedNode)
_new_dataset = partial(new_record, PlannedDataset)
"""Make a planned node, or dataset, from all of its fields."""


class Plan(NamedTuple):
    """A compiled pipeline: nodes in topological order, consistent with the pipeline's own order, and their datasets.

    Attributes:
        nodes, datasets: by index.
        policies: the execution policy of each node, or None; empty if no node has a policy.
        resources: configured resource limits; a runner may override them.
        on_failure: configured default for nodes whose policy has none; a runner may override it.
        links: the cached links of the pipeline; None for a plan that was not compiled from a pipeline.
    """

    nodes: tuple[PlannedNode, ...]
    datasets: tuple[PlannedDataset, ...]
    policies: tuple[NodePolicy | None, ...] = ()
    resources: Mapping[str, int] = {}
    on_failure: FailurePolicy | None = None
    links: Links | None = None

    def __eq__(self, other: object) -> bool:
        return self[:-1] == other[:-1] if isinstance(other, Plan) else NotImplemented  # the links follow from the nodes

    def __ne__(self, other: object) -> bool:  # a tuple's own would compare the links
        return not self == other

    def __hash__(self) -> int:
        return hash((self.nodes, self.datasets))

    @property
    def timeouts(self) -> dict[int, float]:
        """Timeouts of attempts in seconds, by index of the nodes that have one."""
        return {
            index: policy.timeout
            for index, policy in enumerate(self.policies)
            if policy is not None and policy.timeout is not None and policy.timeout < math.inf
        }

    def most_at_once(self) -> int:
        """Return a limit of how many nodes can run at the same time in workers: of the longest path, only one can.

        Returns:
            0 if all nodes run in the main process.
        """
        on_path: list[int] = []  # for each node, the nodes of workers on the longest path that ends with it
        for node in self.nodes:
            on_path.append(max([on_path[parent] for parent in node.parents], default=0) + (not node.main_only))
        count = sum(not node.main_only for node in self.nodes)
        return count - max(on_path, default=0) + 1 if count else 0

    @property
    def results(self) -> tuple[int, ...]:
        """Indices of the free outputs."""
        return tuple([index for index, is_result in enumerate(self.is_result) if is_result])

    # --- columns of the nodes and datasets: those of the pipeline, because a large plan takes milliseconds to make its own ----

    @property
    def inputs(self) -> Edges:
        """The inputs of each node."""
        return self.links.inputs if self.links is not None else tuple([node.inputs for node in self.nodes])

    @property
    def outputs(self) -> Edges:
        """The outputs of each node."""
        return self.links.outputs if self.links is not None else tuple([node.outputs for node in self.nodes])

    @property
    def parents(self) -> Edges:
        """The parents of each node."""
        return self.links.parents if self.links is not None else tuple([node.parents for node in self.nodes])

    @property
    def children(self) -> Edges:
        """The children of each node."""
        return self.links.children if self.links is not None else tuple([node.children for node in self.nodes])

    @property
    def dataset_names(self) -> tuple[str, ...]:
        """The name of each dataset."""
        return self.links.names if self.links is not None else tuple([dataset.name for dataset in self.datasets])

    @property
    def is_result(self) -> tuple[bool, ...]:
        """Whether each dataset is a free output."""
        return self.links.results if self.links is not None else tuple([dataset.is_result for dataset in self.datasets])

    @property
    def uses(self) -> list[int]:
        """How often the value of each dataset is used: by each consumer, and by the result of the run."""
        consumers = self.links.consumers if self.links is not None else [dataset.consumers for dataset in self.datasets]
        return list(map(operator.add, map(len, consumers), self.is_result))


_cached_plans: WeakKeyDictionary[Links, tuple[list[Capabilities | None], Plan]] = WeakKeyDictionary()
"""By pipeline: the capabilities of its datasets, and its plan under no configured policies, without the links."""


def compile_plan(pipeline: Pipeline, catalog: Catalog, rules: PolicyRules = NO_RULES) -> Plan:
    """Compile a pipeline and its catalog into a frozen plan.

    Args:
        pipeline: the nodes to run.
        catalog: the datasets; a dataset that is not in the catalog but is saved by a node is kept in memory.
        rules: the configured execution policies.

    Returns:
        The plan. Compiling loads no data and builds no datasets from recipes.

    Raises:
        UnknownDatasetError: a node loads a dataset that is not in the catalog and that no node saves, or confirms an unknown
            dataset.
        ConfigError: two tags of a node have conflicting policies.
    """
    links = pipeline.links
    _require_known(links, catalog)
    known = [catalog.capabilities(name) if name in catalog else None for name in links.names]
    if rules is not NO_RULES:
        return _compile(links, known, catalog, rules)
    last = _cached_plans.get(links)
    if last is None or last[0] != known:
        plan = _compile(links, known, catalog, rules)
        if links.confirmed:  # it also depends on datasets that no node loads or saves
            return plan
        last = _cached_plans[links] = known, plan._replace(links=None)  # a plan with its links would keep them alive
    return last[1]._replace(links=links)


@collection_paused()
def _compile(links: Links, known: Sequence[Capabilities | None], catalog: Catalog, rules: PolicyRules) -> Plan:
    nodes = links.nodes
    datasets, shared = _plan_datasets(links, known)
    exclusive = apply_exclusive(links, shared, rules.exclusive, plan_policies(nodes, rules))
    policies = exclusive.policies
    in_main = confirming_in_main(nodes, catalog) | exclusive.in_main
    in_main |= {position for position, policy in enumerate(policies) if runs_in_main(policy)}
    main_only = {index for index, dataset in enumerate(datasets) if dataset.main_only}
    if main_only:
        in_and_out = zip(links.inputs, links.outputs, strict=True)
        in_main |= {position for position, used in enumerate(in_and_out) if not main_only.isdisjoint(chain(*used))}
    node_in_main = [position in in_main for position in range(len(nodes))]
    names = [node.name for node in nodes]
    rows = zip(names, nodes, links.inputs, links.outputs, links.parents, links.children, node_in_main, strict=True)
    resources = {**rules.resources, **exclusive.resources}
    return Plan(tuple(map(_new_node, rows)), datasets, policies, resources, rules.on_failure, links)


def _plan_datasets(links: Links, known: Sequence[Capabilities | None]) -> tuple[tuple[PlannedDataset, ...], dict[int, str]]:
    """Return the planned datasets, and the shared resource of each dataset that has one, by index."""
    datasets: list[PlannedDataset] = []
    shared: dict[int, str] = {}
    columns = zip(links.names, links.producers, links.consumers, links.results, known, strict=True)
    for name, producer, consumers, is_result, capabilities in columns:
        if capabilities is not None:
            in_memory, main_only, declared = capabilities.in_memory, capabilities.main_process_only, True
            if capabilities.exclusive is not None and not in_memory:
                shared[len(datasets)] = capabilities.exclusive
        else:
            in_memory, main_only, declared = True, False, False
        datasets.append(_new_dataset((name, in_memory, main_only, declared, producer, consumers, is_result)))
    return tuple(datasets), shared


def _require_known(links: Links, catalog: Catalog) -> None:
    """Raise if nodes load unknown datasets, naming each dataset with the first node that loads it."""
    unknown = {name for name in links.free_inputs if name not in catalog}
    if not unknown:
        return
    used = zip(links.names, links.consumers, strict=True)
    missing = {name: links.nodes[consumers[0]].name for name, consumers in used if name in unknown}
    made = {base_name(name) for name, producer in zip(links.names, links.producers, strict=True) if producer is not None}
    known = [*catalog, *sorted(made)]
    first, node_name = next(iter(missing.items()))
    close = close_names(first, known)
    listed = ", ".join(f"'{name}' (needed by node '{node}')" for name, node in missing.items())
    msg = (
        f"The pipeline needs data that is not in the catalog and that no node produces: {listed}.{did_you_mean(close)} "
        "Declare it in the catalog, or also select the nodes that produce it."
    )
    raise UnknownDatasetError(msg, dataset=first, node=node_name, close=close)
