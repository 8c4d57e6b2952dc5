"""How long the chaos tests run, from which seed, and the processes and searches of the integration tests.

Each round is a test whose name ends with its seed. `TREADLE_CHAOS_ROUNDS` is their number (the default is the short form, which
every test run includes), `TREADLE_CHAOS_SEED` the first seed: a round that failed is repeated with its seed and one round.
The seed decides the graph and the signals; at which moment of the run they arrive also depends on the machine.
"""

from __future__ import annotations

import os
import random

import pytest

SHORT_FORM = 4
"""Rounds of each test, one for each start method."""


def pytest_generate_tests(metafunc):
    """Give a test that asks for a seed its rounds: fewer where each starts a cluster, none in the short form if it takes long."""
    first = int(os.environ.get("TREADLE_CHAOS_SEED", "0"))
    rounds = int(os.environ.get("TREADLE_CHAOS_ROUNDS", str(SHORT_FORM)))
    for name, number in (
        ("seed", rounds),
        ("cluster_seed", max(1, rounds // SHORT_FORM)),
        ("long_seed", 1 if rounds > SHORT_FORM else 0),
    ):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, range(first, first + number), ids=lambda seed: f"seed{seed}")


@pytest.fixture
def choose(seed):
    """The random choices of a round."""
    return random.Random(seed)


@pytest.fixture
def method(seed):
    """The start method of a round: they take turns."""
    return ("fork", "spawn", "forkserver", "loky")[seed % 4]
