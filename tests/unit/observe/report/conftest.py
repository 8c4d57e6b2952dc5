"""A recorded run whose waits are known."""

from __future__ import annotations

import pytest


@pytest.fixture
def diamond(records):
    """Nodes a → (b, c) → d on two workers; c waits for the worker, d for a transfer."""
    nodes = [
        records.attempt("a", "worker-1", 1.0, 3.0, sent=0.9),
        records.attempt("b", "worker-1", 3.0, 7.0, sent=3.0),
        records.attempt("c", "worker-2", 4.0, 6.0, sent=4.0),
        records.attempt("d", "worker-2", 7.5, 9.0, sent=7.4, assigned=7.1),
    ]
    return records.session(records.graph({"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}), nodes, wall=10.0, ready=0.5)
