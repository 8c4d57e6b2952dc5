"""A pipeline: nodes joined by the names of their datasets.

A Pipeline is immutable: it is checked and sorted when it is created (`wiring.py`), and each operation returns a new
one. The dependencies as indices, which not every caller needs, are computed on first use and cached. It knows no
catalog and no runner; the planner compiles it for running.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from treadle.errors import PipelineError
from treadle.pipeline import selection
from treadle.pipeline.description import describe, to_json
from treadle.pipeline.graph import Graph
from treadle.pipeline.grouping import NodeGroup, group_by_namespace
from treadle.pipeline.links import Links, link
from treadle.pipeline.names import as_names, base_name, check_label
from treadle.pipeline.node import Node
from treadle.pipeline.wiring import Wiring, join, wire

if TYPE_CHECKING:
    from treadle.pipeline.renaming import Names


class Pipeline:
    """Nodes in the order of their dependencies.

    Args:
        nodes: nodes, or pipelines whose nodes are taken. A node that several of the pipelines hold is taken once.
        inputs: free inputs that keep their names under the namespace, or get others, as `pipeline(...)` takes it.
        outputs: the same for datasets that the nodes make.
        parameters: the same for parameters.
        tags: one tag or some, for all the nodes.
        namespace: goes before the names of nodes, datasets and parameters.
        prefix_datasets_with_namespace: False puts the namespace before the names of the nodes alone.

    Raises:
        CircularDependencyError: some nodes wait for one another.
        PipelineError: two nodes have one name or make one dataset, or something else than a node was given.
    """

    __slots__ = ("_links", "_wiring")
    _wiring: Wiring
    _links: Links | None

    def __init__(
        self,
        nodes: Iterable[Node | Pipeline],
        *,
        inputs: Names = None,
        outputs: Names = None,
        parameters: Names = None,
        tags: str | Iterable[str] | None = None,
        namespace: str | None = None,
        prefix_datasets_with_namespace: bool = True,
    ) -> None:
        flat = _flat(nodes)
        if tags is not None and tags != ():
            labels = [check_label(tag, "tag", "The pipeline") for tag in as_names(tags, "tags= of Pipeline")]
            flat = [node.copy_with(tags=labels) for node in flat]
        wiring = wire(flat)
        if inputs or outputs or parameters or namespace is not None:
            from treadle.pipeline.renaming import renamed_nodes

            renamed = renamed_nodes(
                Pipeline._of(wiring),
                inputs=inputs,
                outputs=outputs,
                parameters=parameters,
                namespace=namespace,
                prefix_datasets_with_namespace=prefix_datasets_with_namespace,
            )
            wiring = wiring if renamed is None else wire(renamed)
        self._set(wiring)

    def _set(self, wiring: Wiring) -> None:
        object.__setattr__(self, "_wiring", wiring)
        object.__setattr__(self, "_links", None)

    @classmethod
    def _of(cls, wiring: Wiring) -> Pipeline:
        made = object.__new__(cls)
        made._set(wiring)
        return made

    def __setattr__(self, name: str, value: Any) -> None:
        msg = f"A pipeline is frozen: {name!r} cannot be set. Make a new one, with Pipeline(...), tag() or + - & |."
        raise AttributeError(msg)

    def __reduce__(self) -> tuple[Any, ...]:
        return Pipeline, (self.nodes,)

    # -- what it holds

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes in topological order; ties are in the order given."""
        return self._wiring.nodes

    @property
    def graph(self) -> Graph:
        """The dependencies between nodes, as indices into `nodes`."""
        return Graph(self.links.parents, self.links.children)

    @property
    def links(self) -> Links:
        """Nodes and datasets as numbers, for running the pipeline."""
        links = self._links
        if links is None:
            links = link(self.nodes)
            object.__setattr__(self, "_links", links)
        return links

    @property
    def node_dependencies(self) -> dict[Node, frozenset[Node]]:
        """For each node, in order, the nodes whose outputs it takes."""
        nodes = self.nodes
        return {
            node: frozenset([nodes[place] for place in befores]) for node, befores in zip(nodes, self.graph.parents, strict=True)
        }

    @property
    def grouped_nodes(self) -> tuple[tuple[Node, ...], ...]:
        """The nodes in layers: those of one layer wait only for layers above it."""
        return tuple(tuple(self.nodes[place] for place in layer) for layer in self.graph.layers())

    def group_by_namespace(self) -> tuple[NodeGroup, ...]:
        """Return the nodes in groups, one a top-level namespace and one a node without; each after those it depends on.

        Raises:
            CircularDependencyError: two groups wait for one another.
        """
        return group_by_namespace(self.nodes, self.graph)

    def node(self, name: str) -> Node:
        """Return the node of that name.

        Args:
            name: its whole name, with its namespace.

        Returns:
            The node.

        Raises:
            UnknownNameError: no node has the name; carries close matches.
        """
        (place,) = selection.with_names(self._wiring, [name])
        return self.nodes[place]

    def inputs(self) -> set[str]:
        """Return the free inputs: the datasets that nodes use and no node makes, including parameters."""
        makers = self._wiring.makers
        return {name for name in self._wiring.taken if base_name(name) not in makers}

    def outputs(self) -> set[str]:
        """Return the free outputs: the datasets that nodes make and no node uses."""
        awaited = self._wiring.awaited
        return {name for name in self._wiring.made if base_name(name) not in awaited}

    def all_inputs(self) -> set[str]:
        """Return all datasets that some node takes."""
        return set(self._wiring.taken)

    def all_outputs(self) -> set[str]:
        """Return all datasets that some node makes."""
        return set(self._wiring.made)

    def datasets(self) -> set[str]:
        """Return all datasets that some node takes or makes."""
        return set(self._wiring.taken | self._wiring.made)

    # -- choosing from it

    def only_nodes(self, *names: str) -> Pipeline:
        """Return the nodes of these names.

        Raises:
            UnknownNameError: an unknown name.
        """
        return self._at(selection.with_names(self._wiring, names))

    def only_nodes_with_tags(self, *tags: str) -> Pipeline:
        """Return the nodes that carry at least one of the tags.

        Raises:
            UnknownNameError: an unknown tag.
        """
        return self._at(selection.with_tags(self._wiring, tags))

    def only_nodes_with_namespaces(self, *namespaces: str) -> Pipeline:
        """Return the nodes in one of the namespaces, or in one inside it.

        Raises:
            UnknownNameError: a namespace without nodes.
        """
        return self._at(selection.with_namespaces(self._wiring, namespaces))

    def only_nodes_with_inputs(self, *datasets: str) -> Pipeline:
        """Return the nodes that take one of the datasets themselves.

        Raises:
            UnknownNameError: a dataset the pipeline does not have.
        """
        return self._at(selection.taking(self._wiring, datasets))

    def only_nodes_with_outputs(self, *datasets: str) -> Pipeline:
        """Return the nodes that make one of the datasets.

        Raises:
            UnknownNameError: a dataset the pipeline does not have.
        """
        return self._at(selection.making(self._wiring, datasets))

    def from_nodes(self, *names: str) -> Pipeline:
        """Return these nodes and all their descendants.

        Raises:
            UnknownNameError: an unknown name.
        """
        return self._at(self.graph.descendants(selection.with_names(self._wiring, names)))

    def to_nodes(self, *names: str) -> Pipeline:
        """Return these nodes and all their ancestors.

        Raises:
            UnknownNameError: an unknown name.
        """
        return self._at(self.graph.ancestors(selection.with_names(self._wiring, names)))

    def from_inputs(self, *datasets: str) -> Pipeline:
        """Return the nodes that depend on these datasets, directly or indirectly.

        Raises:
            UnknownNameError: a dataset the pipeline does not have.
        """
        return self._at(self.graph.descendants(selection.taking(self._wiring, datasets)))

    def to_outputs(self, *datasets: str) -> Pipeline:
        """Return the nodes that these datasets depend on, directly or indirectly.

        Raises:
            UnknownNameError: a dataset the pipeline does not have.
        """
        return self._at(self.graph.ancestors(selection.making(self._wiring, datasets)))

    def filter(
        self,
        tags: str | Iterable[str] | None = None,
        from_nodes: str | Iterable[str] | None = None,
        to_nodes: str | Iterable[str] | None = None,
        node_names: str | Iterable[str] | None = None,
        from_inputs: str | Iterable[str] | None = None,
        to_outputs: str | Iterable[str] | None = None,
        namespaces: str | Iterable[str] | None = None,
    ) -> Pipeline:
        """Return the nodes that match all filters; None and empty filters match every node.

        Args:
            tags: nodes with one of these tags.
            from_nodes: these nodes and what waits for them.
            to_nodes: these nodes and what they wait for.
            node_names: these nodes.
            from_inputs: nodes that depend on these datasets.
            to_outputs: nodes that these datasets depend on.
            namespaces: nodes in these namespaces.

        Returns:
            The nodes in the same order.

        Raises:
            UnknownNameError: an unknown name; carries close matches.
            PipelineError: no node passes all the filters.
        """
        wiring, graph = self._wiring, self.graph
        filters: dict[str, tuple[str | Iterable[str] | None, Callable[[tuple[str, ...]], set[int]]]] = {
            "tags": (tags, lambda names: selection.with_tags(wiring, names)),
            "from_nodes": (from_nodes, lambda names: graph.descendants(selection.with_names(wiring, names))),
            "to_nodes": (to_nodes, lambda names: graph.ancestors(selection.with_names(wiring, names))),
            "node_names": (node_names, lambda names: selection.with_names(wiring, names)),
            "from_inputs": (from_inputs, lambda names: graph.descendants(selection.taking(wiring, names))),
            "to_outputs": (to_outputs, lambda names: graph.ancestors(selection.making(wiring, names))),
            "namespaces": (namespaces, lambda names: selection.with_namespaces(wiring, names)),
        }
        chosen = {
            name: choose(names) for name, (given, choose) in filters.items() if (names := as_names(given, f"{name}= of filter()"))
        }
        kept = set(range(len(self))).intersection(*chosen.values())
        if not kept:
            raise selection.nothing_left(len(self), chosen)
        return self if len(kept) == len(self) else self._at(kept)

    def tag(self, tags: str | Iterable[str]) -> Pipeline:
        """Return a pipeline whose nodes carry these tags (one or some) too."""
        return Pipeline(self.nodes, tags=tags)

    def _at(self, places: set[int]) -> Pipeline:
        return Pipeline._of(wire([self.nodes[place] for place in sorted(places)]))

    # -- telling about it

    def describe(self, *, names_only: bool = True) -> str:
        """Return a readable description: free inputs, nodes in order, free outputs.

        Args:
            names_only: False adds each node's function and datasets.
        """
        return describe(self.nodes, self.inputs(), self.outputs(), names_only=names_only)

    def to_json(self) -> str:
        """Return the structure as JSON: `inputs`, `outputs`, `nodes`, each of these with its datasets and `depends_on`."""
        return to_json(self.nodes, self.graph.parents, self.inputs(), self.outputs())

    # -- together with others

    def __add__(self, other: object) -> Pipeline:
        if not isinstance(other, Pipeline):
            return NotImplemented
        return Pipeline._of(join(self._wiring, other._wiring))

    def __radd__(self, other: object) -> Pipeline:
        return self if other == 0 else NotImplemented  # sum() begins with 0

    def __or__(self, other: object) -> Pipeline:
        return self.__add__(other)

    def __sub__(self, other: object) -> Pipeline:
        if not isinstance(other, Pipeline):
            return NotImplemented
        without = set(other.nodes)
        return Pipeline._of(wire([node for node in self.nodes if node not in without]))

    def __and__(self, other: object) -> Pipeline:
        if not isinstance(other, Pipeline):
            return NotImplemented
        both = set(other.nodes)
        return Pipeline._of(wire([node for node in self.nodes if node in both]))

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def __contains__(self, node: object) -> bool:
        return isinstance(node, Node) and node.name in self._wiring.positions and self.node(node.name) == node

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Pipeline):
            return NotImplemented
        return self is other or (len(self) == len(other) and set(self.nodes) == set(other.nodes))

    def __hash__(self) -> int:
        return hash(frozenset(self._wiring.positions))

    def __repr__(self) -> str:
        return f"<Pipeline of {len(self)} nodes, {len(self.inputs())} inputs, {len(self.outputs())} outputs>"


def _flat(nodes: Any) -> list[Node]:
    """Return the nodes, and those of the pipelines among them, in order."""
    if isinstance(nodes, (Node, str)) or not isinstance(nodes, Iterable):
        msg = f"A pipeline was made of {nodes!r}. Give it a list of nodes or pipelines: Pipeline([node(...), ...])."
        raise PipelineError(msg)
    flat: list[Node] = []
    known: set[Node] = set()
    for entry in nodes:
        if isinstance(entry, Pipeline):
            fresh = [node for node in entry if node not in known]
            flat.extend(fresh)
            known.update(fresh)
        elif isinstance(entry, Node):
            flat.append(entry)
            known.add(entry)
        else:
            kind = type(entry).__name__
            msg = f"A pipeline was given {entry!r}, a {kind}. It takes nodes and pipelines; make a node with node(...)."
            raise PipelineError(msg)
    return flat
