"""The functions of the nodes."""

import logging
from functools import partial

import pandas as pd

logger = logging.getLogger(__name__)


def split(raw, scale):
    logger.debug("splitting %d rows", len(raw))
    raw = raw.assign(scaled=raw["value"] * scale)
    return {"low": raw[raw["value"] < 50], "high": raw[raw["value"] >= 50]}


def total(table):
    logger.info("totalling")
    logging.getLogger("elsewhere").info("never seen: the root is at WARNING")
    return int(table["scaled"].sum())


def shout(text, *, mark):
    return f"{text}{mark}"


exclaim = partial(shout, mark="!")
exclaim.__name__ = "exclaim"


def closing_over(factor):
    def multiply(value):
        return value * factor

    return multiply


def fit(low, high, depth, names, nothing):
    assert nothing is None
    return {"low": low, "high": high, "depth": depth, "names": names}


def predict(model, parameters):
    return model["low"] + model["high"] + parameters["model"]["depth"]


def write_report(score):
    return f'{{"score": {score}}}'


def read_report(report):
    return report["score"]


def part_out(score):
    return {f"part-{number}": f"{score}-{number}" for number in range(3)}


def join_parts(parts):
    return "|".join(parts[name]() for name in sorted(parts))


def stream(joined):
    for piece in joined.split("|"):
        yield f"{piece}\n"


def two_streams(joined):
    for piece in joined.split("|"):
        yield piece, len(piece)


def count_arrivals(arrivals):
    return sorted(arrivals)


def add_both(left, right):
    return left + right


def frame(score):
    return pd.DataFrame({"score": [score] * 3})


def spoil(data):
    data["score"] = 0
    return int(data["score"].sum())


def keep(data):
    return int(data["score"].sum())


class Thing:
    """An object to hand on by reference."""

    def __init__(self, value):
        self.value = value
