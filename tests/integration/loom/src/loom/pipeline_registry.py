"""Pipelines of the loom project."""

from functools import partial

from loom import nodes
from treadle import Pipeline, node


def _everything():
    return Pipeline(
        [
            node(nodes.clean, ["orders", "params:cities"], {"table": "clean_orders", "known": "known"}, name="clean"),
            node(nodes.sum_by_city, "clean_orders", "by_city", name="sum_by_city"),
            node(nodes.total, ["clean_orders", "params:model.depth"], "totals", name="total"),
            node(nodes.fit, {"table": "clean_orders", "parameters": "parameters"}, "model", name="fit"),
            node(lambda table: len(table.index), "clean_orders", "count", name="count"),
            node(nodes.make_weaver(7), "count", "woven", name="weave"),
            node(partial(nodes.power, exponent=2), "count", "squared", name="square"),
            node(nodes.Adder(100), "squared", "raised", name="raise"),
            node(nodes.spin, ["known", "params:loom.width"], "threads", name="spin"),
            node(nodes.make_shuttle, "count", "shuttle", name="make_shuttle"),
            node(nodes.throw, "shuttle", "thrown", name="throw"),
            node(nodes.enter_ledger, "totals", "ledger", name="enter_ledger"),
            node(nodes.cloth, "count", "cloth", name="cloth"),
            node(nodes.dye, "cloth", "dyed", name="dye"),
            node(nodes.measure, "cloth", "measured", name="measure"),
            node(nodes.declare, "count", "declared", name="declare"),
            node(nodes.change_declared, "declared", "changed", name="change_declared"),
            node(nodes.read_declared, "declared", "unchanged", name="read_declared"),
            node(nodes.write_report, ["model", "by_city", "threads", "ledger"], "report", name="write_report"),
            node(nodes.say_nothing, None, None, name="say_nothing"),
        ]
    )


def _batch():
    return Pipeline(
        [
            node(nodes.make_day, "params:day", "values", name="make_day"),
            node(nodes.half, "values", "left", name="half_left"),
            node(nodes.half, "values", "right", name="half_right"),
            node(nodes.join, ["left", "right", "params:day"], "joined", name="join"),
        ]
    )


def _gated():
    """One node is done, one waits for the test's word, and what is after it would be skipped."""
    return Pipeline(
        [
            node(nodes.declare, "params:loom.width", "made", name="made"),
            node(nodes.hold, "made", "held", name="held"),
            node(nodes.side, "held", "after", name="after"),
        ]
    )


def _torn():
    """Fails in the middle, until the file `mended` exists."""
    return Pipeline(
        [
            node(nodes.start, "params:model", "totals", name="start"),
            node(lambda totals: totals["total"], "totals", "value", name="value"),
            node(nodes.side, "params:loom.width", "side", name="side"),
            node(nodes.mend, "value", "mended", name="mend"),
            node(nodes.finish, ["mended", "side"], "report", name="finish"),
        ]
    )


def _who():
    return Pipeline([node(nodes.who, "params:who", "first", name="who")])


def register_pipelines():
    return {"__default__": _everything(), "batch": _batch(), "gated": _gated(), "torn": _torn(), "who": _who()}
