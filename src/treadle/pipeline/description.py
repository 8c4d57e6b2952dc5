"""Describe a pipeline as text and as JSON. State: none. `pipeline_class.py` has both as methods, `describe` and `to_json`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from treadle.pipeline.node import Node


def describe(nodes: Sequence[Node], inputs: Iterable[str], outputs: Iterable[str], *, names_only: bool) -> str:
    """Return free inputs, nodes in order and free outputs as lines of text."""
    lines = ["Inputs:", *_indented(sorted(inputs)), f"Nodes, in order ({len(nodes)}):"]
    lines += _indented([node.name if names_only else _in_full(node) for node in nodes])
    lines += ["Outputs:", *_indented(sorted(outputs))]
    return "\n".join(lines)


def to_json(nodes: Sequence[Node], parents: Sequence[Sequence[int]], inputs: Iterable[str], outputs: Iterable[str]) -> str:
    """Return the structure as JSON; `parents` has the indices of the nodes that each node depends on."""
    import json

    entries = [
        {
            "name": node.name,
            "function": node.func_name,
            "inputs": list(node.inputs),
            "outputs": list(node.outputs),
            "tags": sorted(node.tags),
            "namespace": node.namespace,
            "confirms": list(node.confirms),
            "depends_on": [nodes[parent].name for parent in node_parents],
        }
        for node, node_parents in zip(nodes, parents, strict=True)
    ]
    return json.dumps({"inputs": sorted(inputs), "outputs": sorted(outputs), "nodes": entries})


def _in_full(node: Node) -> str:
    text = str(node)
    return text if text.startswith(node.name) else f"{node.name}: {text}"


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines] or ["  none"]
