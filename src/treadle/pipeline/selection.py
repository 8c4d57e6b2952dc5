"""Select nodes of a wiring: by name, tag, namespace, dataset, and by ancestors and descendants.

Each function returns indices into `wiring.nodes`, and raises `UnknownNameError` with close matches for an unknown
name. `pipeline_class.py` builds pipelines from them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.errors import PipelineError, UnknownNameError
from treadle.pipeline.names import TRANSCODING, as_names, base_name, listed
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from treadle.pipeline.wiring import Wiring


def with_names(wiring: Wiring, names: Iterable[str]) -> set[int]:
    """Return the nodes of these names."""
    names = as_names(names, "The selection by node names")
    _check_known("node", names, wiring.positions)
    return {wiring.positions[name] for name in names}


def with_tags(wiring: Wiring, tags: Iterable[str]) -> set[int]:
    """Return the nodes that carry at least one of the tags."""
    tags = as_names(tags, "The selection by tags")
    _check_known("tag", tags, {tag for node in wiring.nodes for tag in node.tags})
    return {index for index, node in enumerate(wiring.nodes) if not node.tags.isdisjoint(tags)}


def with_namespaces(wiring: Wiring, namespaces: Iterable[str]) -> set[int]:
    """Return the nodes in one of the namespaces or in one inside it."""
    namespaces = as_names(namespaces, "The selection by namespaces")
    around = {node.namespace: frozenset(_enclosing(node.namespace)) for node in wiring.nodes if node.namespace is not None}
    _check_known("namespace", namespaces, frozenset[str]().union(*around.values()))
    return {
        index
        for index, node in enumerate(wiring.nodes)
        if node.namespace is not None and not around[node.namespace].isdisjoint(namespaces)
    }


def with_inputs(wiring: Wiring, datasets: Iterable[str]) -> set[int]:
    """Return the nodes with one of the datasets as an input; a name without a format means all its formats."""
    wanted = _known_datasets(wiring, datasets)
    return {index for index, node in enumerate(wiring.nodes) if _uses_any(node.inputs, wanted, wiring)}


def with_outputs(wiring: Wiring, datasets: Iterable[str]) -> set[int]:
    """Return the nodes with one of the datasets as an output; a name without a format means all its formats."""
    wanted = _known_datasets(wiring, datasets)
    return {index for index, node in enumerate(wiring.nodes) if _uses_any(node.outputs, wanted, wiring)}


def no_match_error(nodes: int, chosen: Mapping[str, set[int]]) -> PipelineError:
    """Return the error for filters that match no node.

    Args:
        nodes: the number of nodes before filtering.
        chosen: the nodes that each filter matches, by the name of the filter.
    """
    if not nodes:
        return PipelineError("The pipeline has no nodes, so none can be selected. Add nodes to it, or choose another pipeline.")
    alone = [name for name, indices in chosen.items() if not indices]
    if alone:
        why = f"no node matches {alone[0]} (no node produces a free input, and no node uses a free output)"
    else:
        why = f"no node matches {' and '.join(chosen)} at the same time"
    return PipelineError(
        f"The filters match none of the pipeline's {nodes} nodes: {why}. Remove a filter, or choose other names."
    )


def _uses_any(names: tuple[str, ...], wanted: frozenset[str], wiring: Wiring) -> bool:
    return not wanted.isdisjoint(names) or (bool(wiring.transcoded) and any(base_name(name) in wanted for name in names))


def _known_datasets(wiring: Wiring, datasets: Iterable[str]) -> frozenset[str]:
    datasets = as_names(datasets, "The selection by datasets")
    known = wiring.inputs | wiring.outputs | wiring.transcoded
    _check_known("dataset", datasets, known)
    return frozenset(datasets)


def _enclosing(namespace: str) -> list[str]:
    """Return a namespace and those that contain it: `a.b` and `a`."""
    parts = namespace.split(".")
    return [".".join(parts[:count]) for count in range(len(parts), 0, -1)]


def _check_known(kind: str, names: tuple[str, ...], known: Iterable[str]) -> None:
    pool = known if isinstance(known, (dict, frozenset, set)) else set(known)
    unknown = [name for name in names if name not in pool]
    if not unknown:
        return
    close = tuple(dict.fromkeys(match for name in unknown for match in close_names(name, pool)))
    hint = did_you_mean(close, f"It has {listed(sorted(pool))}." if pool else f"It has no {kind}s.")
    one = f"no {kind} {listed(unknown)}" if len(unknown) == 1 else f"none of the {kind}s {listed(unknown)}"
    formats = " (a name without a format means all its formats)" if TRANSCODING in "".join(unknown) else ""
    msg = f"The pipeline has {one}{formats}.{hint}"
    nodes = tuple(unknown) if kind == "node" else None
    raise UnknownNameError(msg, name=unknown[0], close=close, nodes=nodes)
