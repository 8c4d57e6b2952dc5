"""Connect nodes by the names of their datasets: validate, sort and index them.

`wire` creates a `Wiring` in one pass, and sorts the nodes only if their order is not valid. `join` adds one wiring to another
without processing the nodes of the first again, so summing many pipelines takes linear time in practice. State: none.
Neighbours: `pipeline_class.py` has the public interface; `selection.py` selects nodes of a wiring.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.errors import CircularDependencyError, PipelineError
from treadle.named_tuple import NamedTuple
from treadle.pipeline.graph import Graph
from treadle.pipeline.names import SHOWN, TRANSCODING, base_name, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from treadle.pipeline.node import Node


class Wiring(NamedTuple):
    """Nodes in topological order, and indices of their names and datasets.

    Attributes:
        nodes: the nodes, producers before consumers.
        positions: the index of each node in `nodes`, by its name.
        producers: the index of the node that produces a dataset, by the dataset's base name.
        inputs: all datasets that are inputs of a node, as written.
        outputs: all datasets that are outputs of a node, as written.
        input_bases: base names of the datasets in `inputs`.
        transcoded: base names of the datasets that are written with an `@`.
    """

    nodes: tuple[Node, ...]
    positions: dict[str, int]
    producers: dict[str, int]
    inputs: frozenset[str]
    outputs: frozenset[str]
    input_bases: frozenset[str]
    transcoded: frozenset[str]

    def graph(self) -> Graph:
        """Return the dependencies between nodes, as indices into `nodes`."""
        producers = self.producers
        parents = []
        for node in self.nodes:
            names = map(base_name, node.inputs) if self.transcoded else node.inputs
            parents.append(tuple(dict.fromkeys([producers[name] for name in names if name in producers])))
        return Graph.from_parents(parents)


def wire(nodes: Sequence[Node]) -> Wiring:
    """Connect nodes by the names of their datasets.

    Args:
        nodes: the nodes in any order, which is preserved as far as the dependencies allow.

    Returns:
        The wiring.

    Raises:
        CircularDependencyError: some nodes depend on each other.
        PipelineError: two nodes have the same name or the same output, or a dataset is used with and without a format.
    """
    loaded = [name for node in nodes for name in node.inputs]
    saved = [name for node in nodes for name in node.outputs]
    inputs, outputs = frozenset(loaded), frozenset(saved)
    transcoded = _transcoded(loaded, saved)
    input_bases = frozenset(map(base_name, inputs)) if transcoded else inputs
    positions, producers = _index(nodes, with_formats=bool(transcoded))
    given = Wiring(tuple(nodes), positions, producers, inputs, outputs, input_bases, transcoded)
    _check_names(given)
    _check_producers(given)
    _check_transcoding(given.nodes, transcoded & (inputs | outputs))
    if _in_order(given):
        return given
    graph = given.graph()
    order = graph.order()
    if len(order) < len(nodes):
        raise _circular([nodes[index] for index in graph.cycle()])
    in_order = tuple([nodes[index] for index in order])
    return Wiring(in_order, *_index(in_order, with_formats=bool(transcoded)), inputs, outputs, input_bases, transcoded)


def join(one: Wiring, other: Wiring) -> Wiring:
    """Join two wirings: the nodes of the first, then those of the second that the first does not have.

    Args:
        one: the first wiring; its nodes come first, as far as the dependencies allow.
        other: the second wiring.

    Returns:
        The same as `wire` of all the nodes.

    Raises:
        PipelineError: as `wire` does.
    """
    appends = (
        not any(name in one.positions for name in other.positions)
        and not any(name in one.producers or name in one.input_bases for name in other.producers)
        and one.transcoded.isdisjoint(other.inputs | other.outputs)
        and other.transcoded.isdisjoint(one.inputs)
        and other.transcoded.isdisjoint(one.outputs)
    )
    if not appends:
        return wire(union(one.nodes, other.nodes))
    start = len(one.nodes)
    positions, producers = one.positions.copy(), one.producers.copy()
    positions.update({name: start + index for name, index in other.positions.items()})
    producers.update({name: start + index for name, index in other.producers.items()})
    return Wiring(
        one.nodes + other.nodes,
        positions,
        producers,
        one.inputs | other.inputs,
        one.outputs | other.outputs,
        one.input_bases | other.input_bases,
        one.transcoded | other.transcoded,
    )


def union(ones: Iterable[Node], others: Iterable[Node]) -> list[Node]:
    """Return the nodes of the first collection, then those of the second that the first does not have."""
    nodes = list(ones)
    known = set(nodes)
    nodes.extend([node for node in others if node not in known])
    return nodes


def _transcoded(*names: list[str]) -> frozenset[str]:
    return frozenset([base_name(name) for some in names if TRANSCODING in "".join(some) for name in some if TRANSCODING in name])


def _index(nodes: Sequence[Node], *, with_formats: bool) -> tuple[dict[str, int], dict[str, int]]:
    positions = {node.name: index for index, node in enumerate(nodes)}
    if with_formats:
        return positions, {base_name(name): index for index, node in enumerate(nodes) for name in node.outputs}
    return positions, {name: index for index, node in enumerate(nodes) for name in node.outputs}


def _check_names(wiring: Wiring) -> None:
    if len(wiring.positions) == len(wiring.nodes):
        return
    duplicates = list(_repeated(node.name for node in wiring.nodes))
    shown = "; ".join(str(node) for node in [node for node in wiring.nodes if node.name == duplicates[0]][:SHOWN])
    msg = (
        f"More than one node is called {listed(duplicates)} ({shown}). Give each node a unique name with name=, or put one"
        " copy under a namespace with pipeline(..., namespace=...)."
    )
    raise PipelineError(msg, nodes=tuple(duplicates))


def _check_producers(wiring: Wiring) -> None:
    if len(wiring.producers) == sum(len(node.outputs) for node in wiring.nodes):
        return
    duplicates = list(_repeated(base_name(name) for node in wiring.nodes for name in node.outputs))
    producers = [node.name for node in wiring.nodes if any(base_name(name) == duplicates[0] for name in node.outputs)]
    others = f" (likewise {listed(duplicates[1:])})" if duplicates[1:] else ""
    msg = (
        f"The dataset {duplicates[0]!r} is an output of {len(producers)} nodes: {listed(producers)}{others}. Only one node may"
        " produce it: rename one of the outputs, or put one node under a namespace."
    )
    raise PipelineError(msg, nodes=tuple(producers))


def _check_transcoding(nodes: Sequence[Node], mixed: frozenset[str]) -> None:
    if not mixed:
        return
    users = [node.name for node in nodes if not mixed.isdisjoint(map(base_name, [*node.inputs, *node.outputs]))]
    msg = (
        f"The dataset {listed(sorted(mixed))} is used both with a format ('name@format') and without, by {listed(users)}."
        " Write the format everywhere, or nowhere."
    )
    raise PipelineError(msg, nodes=tuple(users))


def _in_order(wiring: Wiring) -> bool:
    """Return whether no node has an input that itself or a later node produces."""
    producers = wiring.producers
    after_all = len(wiring.nodes)
    for index, node in enumerate(wiring.nodes):
        for name in node.inputs:
            producer = producers.get(base_name(name) if wiring.transcoded else name, -1)
            if index <= producer < after_all:
                return False
    return True


def _circular(cycle: list[Node]) -> CircularDependencyError:
    def links() -> Iterator[str]:
        for node, after in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            outputs = {base_name(name) for name in node.outputs}
            dataset = next(name for name in after.inputs if base_name(name) in outputs)
            yield f"produces {dataset!r} for {after.name!r}"

    shown = list(links())
    more = f", and so on ({len(shown) - SHOWN} more)" if len(shown) > SHOWN else ""
    names = tuple(node.name for node in cycle)
    msg = (
        f"{len(cycle)} nodes depend on each other: {cycle[0].name!r} {', which '.join(shown[:SHOWN])}{more}. Break the cycle:"
        " rename an output, or remove an input."
    )
    return CircularDependencyError(msg, nodes=names)


def _repeated(names: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    duplicates: dict[str, None] = {}
    for name in names:
        if name in seen:
            duplicates[name] = None
        seen.add(name)
    return iter(duplicates)
