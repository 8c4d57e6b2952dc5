"""The workloads, a pipeline each."""

from __future__ import annotations

from kedro.pipeline import node, pipeline

from speed import nodes


def _apart(function, count):
    return pipeline([node(function, "params:value", f"out_{n}", name=f"n{n}") for n in range(count)])


def _arrays():
    made = []
    for chain in range(4):
        made.append(node(nodes.make_array, "params:value", f"a{chain}_0", name=f"make{chain}"))
        made += [node(nodes.step, f"a{chain}_{n}", f"a{chain}_{n + 1}", name=f"step{chain}_{n}") for n in range(3)]
        made.append(node(nodes.total, f"a{chain}_3", f"total{chain}", name=f"total{chain}"))
    return pipeline(made)


def _tables():
    made = []
    for number in range(4):
        made.append(node(nodes.clean, f"raw_{number}", f"clean_{number}", name=f"clean{number}"))
        made.append(node(nodes.aggregate, f"clean_{number}", f"sums_{number}", name=f"sums{number}"))
    made.append(node(nodes.join, ["sums_0", "sums_1"], "left", name="left"))
    made.append(node(nodes.join, ["sums_2", "sums_3"], "right", name="right"))
    made.append(node(nodes.join, ["left", "right"], "joined", name="join"))
    made.append(node(len, "joined", "rows", name="rows"))
    return pipeline(made)


def register_pipelines():
    """Return the pipelines by the names of the workloads."""
    return {
        "__default__": _apart(nodes.nothing, 1),
        **{f"noop_{count}": _apart(nodes.nothing, count) for count in (10, 50, 100)},
        **{f"busy_{count}": _apart(nodes.busy, count) for count in (8, 16, 40)},
        "arrays": _arrays(),
        "tables": _tables(),
    }
