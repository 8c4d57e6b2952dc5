"""Nodes joined by their datasets' names: validated, put in order, indexed.

`wire` makes a `Wiring` of nodes in one pass, and sorts only if the given order is not valid. `join` adds one
wiring to another without looking at the first one's nodes again, so summing many pipelines stays linear in practice.
`pipeline.py` provides the public interface; `selection.py` selects from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.errors import CircularDependencyError, PipelineError
from treadle.pipeline.graph import Graph
from treadle.pipeline.names import SHOWN, TRANSCODING, base_name, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from treadle.pipeline.node import Node


@dataclass(frozen=True, slots=True)
class Wiring:
    """Nodes in an order in which each comes after those it waits for, and what is known about their names.

    Attributes:
        nodes: the nodes, makers before takers.
        positions: each node's place in `nodes`, by its name.
        makers: the place of the node that makes a dataset, by the dataset's base name.
        taken: all datasets that some node takes, as written.
        made: all datasets that some node makes, as written.
        awaited: base names of the datasets in `taken`.
        transcoded: base names of the datasets that are written with an `@`.
    """

    nodes: tuple[Node, ...]
    positions: dict[str, int]
    makers: dict[str, int]
    taken: frozenset[str]
    made: frozenset[str]
    awaited: frozenset[str]
    transcoded: frozenset[str]

    def graph(self) -> Graph:
        """Return the dependencies between nodes, as indices into `nodes`."""
        makers = self.makers
        parents = []
        for node in self.nodes:
            names = map(base_name, node.inputs) if self.transcoded else node.inputs
            parents.append(tuple(dict.fromkeys([makers[name] for name in names if name in makers])))
        return Graph.from_parents(parents)


def wire(nodes: Sequence[Node]) -> Wiring:
    """Join nodes by their datasets' names.

    Args:
        nodes: in any order; it is kept as far as the datasets allow.

    Returns:
        The wiring.

    Raises:
        CircularDependencyError: some nodes wait for one another.
        PipelineError: two nodes have one name, or make one dataset, or a dataset is used with and without a format.
    """
    taken = frozenset([name for node in nodes for name in node.inputs])
    made = frozenset([name for node in nodes for name in node.outputs])
    transcoded = _transcoded(taken, made)
    awaited = frozenset(map(base_name, taken)) if transcoded else taken
    positions, makers = _index(nodes, with_formats=bool(transcoded))
    given = Wiring(tuple(nodes), positions, makers, taken, made, awaited, transcoded)
    _check_names(given)
    _check_makers(given)
    _check_transcoding(given.nodes, transcoded & (taken | made))
    if _in_order(given):
        return given
    graph = given.graph()
    order = graph.order()
    if len(order) < len(nodes):
        raise _circular([nodes[place] for place in graph.cycle()])
    in_order = tuple([nodes[place] for place in order])
    return Wiring(in_order, *_index(in_order, with_formats=bool(transcoded)), taken, made, awaited, transcoded)


def join(one: Wiring, other: Wiring) -> Wiring:
    """Join two wirings: the nodes of one, then those of the other that are not in it.

    Args:
        one: its order comes first, where the datasets allow.
        other: what is added.

    Returns:
        The same as `wire` of all the nodes.

    Raises:
        PipelineError: as `wire` does.
    """
    appends = (
        not any(name in one.positions for name in other.positions)
        and not any(name in one.makers or name in one.awaited for name in other.makers)
        and one.transcoded.isdisjoint(other.taken | other.made)
        and other.transcoded.isdisjoint(one.taken)
        and other.transcoded.isdisjoint(one.made)
    )
    if not appends:
        return wire(union(one.nodes, other.nodes))
    start = len(one.nodes)
    positions, makers = one.positions.copy(), one.makers.copy()
    positions.update({name: start + place for name, place in other.positions.items()})
    makers.update({name: start + place for name, place in other.makers.items()})
    return Wiring(
        one.nodes + other.nodes,
        positions,
        makers,
        one.taken | other.taken,
        one.made | other.made,
        one.awaited | other.awaited,
        one.transcoded | other.transcoded,
    )


def union(ones: Iterable[Node], others: Iterable[Node]) -> list[Node]:
    """Return the first nodes, then those of the others that equal none of them, each in its order."""
    nodes = list(ones)
    known = set(nodes)
    nodes.extend([node for node in others if node not in known])
    return nodes


def _transcoded(*names: frozenset[str]) -> frozenset[str]:
    return frozenset([base_name(name) for some in names for name in some if TRANSCODING in name])


def _index(nodes: Sequence[Node], *, with_formats: bool) -> tuple[dict[str, int], dict[str, int]]:
    positions = {node.name: place for place, node in enumerate(nodes)}
    if with_formats:
        return positions, {base_name(name): place for place, node in enumerate(nodes) for name in node.outputs}
    return positions, {name: place for place, node in enumerate(nodes) for name in node.outputs}


def _check_names(wiring: Wiring) -> None:
    if len(wiring.positions) == len(wiring.nodes):
        return
    twice = list(_repeated(node.name for node in wiring.nodes))
    shown = "; ".join(str(node) for node in [node for node in wiring.nodes if node.name == twice[0]][:SHOWN])
    msg = (
        f"More than one node is called {listed(twice)} ({shown}). Give each node a name of its own with name=, or put one"
        " copy under a namespace with pipeline(..., namespace=...)."
    )
    raise PipelineError(msg, nodes=tuple(twice))


def _check_makers(wiring: Wiring) -> None:
    if len(wiring.makers) == sum(len(node.outputs) for node in wiring.nodes):
        return
    twice = list(_repeated(base_name(name) for node in wiring.nodes for name in node.outputs))
    makers = [node.name for node in wiring.nodes if any(base_name(name) == twice[0] for name in node.outputs)]
    others = f", and so it is with {listed(twice[1:])}" if twice[1:] else ""
    msg = (
        f"The dataset {twice[0]!r} is made by {len(makers)} nodes: {listed(makers)}{others}. One node makes a dataset:"
        " rename one of the outputs, or put one node under a namespace."
    )
    raise PipelineError(msg, nodes=tuple(makers))


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
    """Return whether no node uses an output of itself or of a later node."""
    makers = wiring.makers
    after_all = len(wiring.nodes)
    for place, node in enumerate(wiring.nodes):
        for name in node.inputs:
            maker = makers.get(base_name(name) if wiring.transcoded else name, -1)
            if place <= maker < after_all:
                return False
    return True


def _circular(cycle: list[Node]) -> CircularDependencyError:
    def links() -> Iterator[str]:
        for node, after in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            made = {base_name(name) for name in node.outputs}
            dataset = next(name for name in after.inputs if base_name(name) in made)
            yield f"makes {dataset!r} for {after.name!r}"

    shown = list(links())
    more = f", and so on ({len(shown) - SHOWN} more)" if len(shown) > SHOWN else ""
    names = tuple(node.name for node in cycle)
    msg = (
        f"{len(cycle)} nodes wait for one another: {cycle[0].name!r} {', which '.join(shown[:SHOWN])}{more}. Break the circle:"
        " rename an output, or drop an input."
    )
    return CircularDependencyError(msg, nodes=names)


def _repeated(names: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    twice: dict[str, None] = {}
    for name in names:
        if name in seen:
            twice[name] = None
        seen.add(name)
    return iter(twice)
