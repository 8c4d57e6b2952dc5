"""Params of every type that configuration knows, typed on a command line, reach nodes as they are under every way to run."""

from __future__ import annotations

import math
from datetime import date

from treadle import Catalog, Pipeline, node
from treadle.config import parse_params
from treadle.config.writing import format_params, same_value

PARAMS = {
    "a.b": 1,
    "": [b"x", {1, 2}],
    2020: {"n": math.inf, True: "yes", None: math.nan},
    "day": date(2024, 1, 31),
    "code": "0644",
    "text": 'it\'s, "so"\n',
    "big": 10**400,
}


def test_types_reach_nodes(any_runner):
    """What the command that resumes a run gives is, in a worker, what the first run was given."""
    typed = parse_params(format_params(PARAMS))
    catalog = Catalog()
    catalog.add_parameters({"odd": typed})
    pipeline = Pipeline([node(lambda odd, whole: (odd, whole["odd"]), ["params:odd", "parameters"], "out", name="take")])
    taken, whole = any_runner.run(pipeline, catalog)["out"]
    assert same_value(taken, PARAMS)
    assert same_value(whole, PARAMS)
