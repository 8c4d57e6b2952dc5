"""A pipeline: nodes connected by the names of their datasets.

A Pipeline is immutable: it is checked and sorted when it is created (`wiring.py`), and each operation returns a new one. It has
no catalog and no runner; the planner compiles it for a run. State: a cache of the dependencies as indices, which are computed on
first use. Neighbours: `selections.py` has the methods that select nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from treadle.errors import PipelineError
from treadle.pipeline import selection
from treadle.pipeline.graph import Graph
from treadle.pipeline.links import Links, link
from treadle.pipeline.names import as_names, base_name, check_label
from treadle.pipeline.node import Node
from treadle.pipeline.selections import Selections
from treadle.pipeline.wiring import Wiring, join, wire

if TYPE_CHECKING:
    from typing_extensions import Self

    from treadle.pipeline.grouping import NodeGroup
    from treadle.pipeline.renaming import Names


class Pipeline(Selections):
    """Nodes in the order of their dependencies.

    Args:
        nodes: nodes, or pipelines that supply their nodes. A node that several pipelines have is included once.
        inputs: free inputs that keep their names in the namespace, or get others, as in `pipeline(...)`.
        outputs: likewise, for outputs of the nodes.
        parameters: likewise, for parameters.
        tags: one or more tags for all nodes.
        namespace: the prefix of the names of nodes, datasets and parameters.
        prefix_datasets_with_namespace: False applies the prefix to the names of nodes only.

    Raises:
        CircularDependencyError: some nodes depend on each other.
        PipelineError: two nodes have the same name or output, or an element is neither a node nor a pipeline.
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
    def _of(cls, wiring: Wiring) -> Self:
        result = object.__new__(cls)
        result._set(wiring)
        return result

    def __setattr__(self, name: str, value: Any) -> None:
        msg = f"A pipeline is frozen: {name!r} cannot be set. Create a new one, with Pipeline(...), tag() or + - & |."
        raise AttributeError(msg)

    def __reduce__(self) -> tuple[Any, ...]:
        return Pipeline, (self.nodes,)

    # -- nodes and datasets

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
        """Nodes and datasets as indices, for the planner."""
        links = self._links
        if links is None:
            links = link(self.nodes)
            object.__setattr__(self, "_links", links)
        return links

    @property
    def node_dependencies(self) -> dict[Node, frozenset[Node]]:
        """For each node, in order, the nodes that it depends on."""
        nodes = self.nodes
        return {
            node: frozenset([nodes[index] for index in parents]) for node, parents in zip(nodes, self.graph.parents, strict=True)
        }

    @property
    def grouped_nodes(self) -> tuple[tuple[Node, ...], ...]:
        """The nodes in layers: the nodes of a layer depend only on earlier layers."""
        return tuple(tuple(self.nodes[index] for index in layer) for layer in self.graph.layers())

    def group_by_namespace(self) -> tuple[NodeGroup, ...]:
        """Return groups of nodes, one for each top-level namespace and one for each other node, in topological order.

        Raises:
            CircularDependencyError: two groups depend on each other.
        """
        from treadle.pipeline.grouping import group_by_namespace

        return group_by_namespace(self.nodes, self.graph)

    def node(self, name: str) -> Node:
        """Return the node of that name.

        Args:
            name: its full name, with its namespace.

        Returns:
            The node.

        Raises:
            UnknownNameError: no node has the name; the error lists similar names.
        """
        (index,) = selection.with_names(self._wiring, [name])
        return self.nodes[index]

    def inputs(self) -> set[str]:
        """Return the free inputs: the datasets that nodes use and no node produces, including parameters."""
        producers = self._wiring.producers
        return {name for name in self._wiring.inputs if base_name(name) not in producers}

    def outputs(self) -> set[str]:
        """Return the free outputs: the datasets that nodes produce and no node uses."""
        input_bases = self._wiring.input_bases
        return {name for name in self._wiring.outputs if base_name(name) not in input_bases}

    def all_inputs(self) -> set[str]:
        """Return all inputs of all nodes."""
        return set(self._wiring.inputs)

    def all_outputs(self) -> set[str]:
        """Return all outputs of all nodes."""
        return set(self._wiring.outputs)

    def datasets(self) -> set[str]:
        """Return all inputs and outputs of all nodes."""
        return set(self._wiring.inputs | self._wiring.outputs)

    # -- new pipelines from this one

    def tag(self, tags: str | Iterable[str]) -> Pipeline:
        """Return a pipeline whose nodes also have these tags (one or more)."""
        return Pipeline(self.nodes, tags=tags)

    def _at(self, indices: set[int]) -> Self:
        return self._of(wire([self.nodes[index] for index in sorted(indices)]))

    # -- description

    def describe(self, *, names_only: bool = True) -> str:
        """Return a readable description: free inputs, nodes in order, free outputs.

        Args:
            names_only: False adds each node's function and datasets.
        """
        from treadle.pipeline.description import describe

        return describe(self.nodes, self.inputs(), self.outputs(), names_only=names_only)

    def to_json(self) -> str:
        """Return the structure as JSON: `inputs`, `outputs`, `nodes`, each of these with its datasets and `depends_on`."""
        from treadle.pipeline.description import to_json

        return to_json(self.nodes, self.graph.parents, self.inputs(), self.outputs())

    # -- operators

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
    """Return the nodes, including the nodes of pipelines, in order."""
    if isinstance(nodes, (Node, str)) or not isinstance(nodes, Iterable):
        msg = f"A pipeline cannot be created from {nodes!r}. Pass a list of nodes or pipelines: Pipeline([node(...), ...])."
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
            msg = (
                f"A pipeline has {entry!r} of type {kind} as an element. Pass nodes and pipelines; create a node with node(...)."
            )
            raise PipelineError(msg)
    return flat
