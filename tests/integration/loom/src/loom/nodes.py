"""Functions of the pipelines."""

import logging
import os
import threading
from pathlib import Path

import numpy as np

logger = logging.getLogger(__name__)


def clean(orders, cities):
    """Log, print, drop what is incomplete."""
    kept = orders.dropna()
    logger.info("kept %d of %d orders", len(kept), len(orders))
    logger.debug("nobody asked for this line")
    print("printed by clean")
    return {"table": kept, "known": sorted(set(kept["city"]) & set(cities))}


def sum_by_city(table):
    logger.warning("summing %d rows", len(table))
    return table.groupby("city", as_index=False)["amount"].sum()


def total(table, depth):
    return {"total": float(table["amount"].sum()), "depth": depth}


def fit(table, parameters):
    return {"weights": [round(value, 6) for value in table["amount"]], "rate": parameters["model"]["rate"]}


def make_weaver(width):
    """Return a closure."""

    def weave(count):
        return [width] * count

    return weave


def power(base, exponent):
    return base**exponent


class Adder:
    """A callable object."""

    def __init__(self, amount):
        self.amount = amount

    def __call__(self, value):
        return value + self.amount


def spin(known, width):
    """Yield a chunk at a time."""
    for city in known:
        for number in range(width):
            yield f"{city}-{number}"


class Shuttle:
    """Holds a lock: it cannot be pickled."""

    def __init__(self, speed):
        self.speed = speed
        self.lock = threading.Lock()


def make_shuttle(count):
    return Shuttle(count)


def throw(shuttle):
    with shuttle.lock:
        return shuttle.speed * 2


def enter_ledger(totals):
    return f"{totals['total']:.2f}"


def cloth(count):
    """Return more than travels inside a message."""
    return np.arange(count * 50_000, dtype="float64")


def dye(cloth):
    """Write into the input, which is this node's own."""
    cloth *= 2
    return float(cloth.sum())


def measure(cloth):
    return float(cloth.sum())


def declare(count):
    return {"rows": [count]}


def change_declared(declared):
    declared["rows"].append("changed")
    return len(declared["rows"])


def read_declared(declared):
    return list(declared["rows"])


def write_report(model, by_city, threads, ledger):
    return f"{model['rate']} {by_city['amount'].sum()} {len(threads)} {ledger.strip()}"


def say_nothing():
    """Take nothing, return nothing."""
    print("printed without a newline", end="")


def who(run_env):
    """Say which code, settings and environment this process has."""
    return {"pid": os.getpid(), "env": os.environ.get(run_env, "")}


# --- the batch and the accidents ------------------------------------------------------------------------------------------


def make_day(day):
    return np.full(200_000, float(day))


def half(values):
    return float(values.sum()) / 2


def join(left, right, day):
    logger.info("day %s", day)
    return {"day": day, "value": left + right}


def hold(made):
    """Wait until the test says go on: it holds the other end of a named pipe."""
    with open(os.environ["GATE_OPEN"]) as opened:  # noqa: PTH123 - a named pipe
        return made, opened.read()


def start(model):
    return {"total": model["rate"] * 55}


def mend(value):
    """Fail until somebody has mended it."""
    if not Path("mended").exists():
        raise ValueError("the thread is torn")
    return value + 1


def finish(mended, side):
    return f"{mended} {side}"


def side(value):
    return value * 10
