"""Observers under every runner and start method."""

from __future__ import annotations

import logging

from treadle import Catalog, Pipeline, node
from treadle.events import NodeFinished, RunFinished


def test_an_observer_that_raises_does_not_fail_the_run(any_runner, caplog):
    """The run finishes with its results; the other observers receive every event; the traceback is logged once."""
    pipeline = Pipeline(
        [
            node(lambda x: x + 1, "x", "y", name="add"),
            node(lambda y: y * 2, "y", "z", name="double"),
            node(lambda x: -x, "x", "negative", name="negate"),
        ]
    )
    events = []

    def broken(event):
        if isinstance(event, NodeFinished):
            raise ZeroDivisionError("a progress bar without a width")

    with caplog.at_level(logging.ERROR, logger="treadle"):
        result = any_runner.run(pipeline, Catalog({"x": 1}), observers=[broken, events.append])
    assert dict(result) == {"z": 4, "negative": -1}
    assert sorted(event.node for event in events if isinstance(event, NodeFinished)) == ["add", "double", "negate"]
    assert isinstance(events[-1], RunFinished)
    (record,) = [each for each in caplog.records if each.exc_info]
    assert "broken" in record.getMessage()
    assert record.exc_info[0] is ZeroDivisionError


def test_the_first_node_waits_for_the_observers(any_runner, tmp_path):
    """What an observer prepares is there when the first node starts, whatever runs it."""
    file = tmp_path / "prepared"

    class Prepares:
        def before_first_node(self):
            file.write_text("ready")

        def __call__(self, event):
            pass

    pipeline = Pipeline([node(lambda path: path.read_text(), "path", "text", name="read")])
    assert dict(any_runner.run(pipeline, Catalog({"path": file}), observers=[Prepares()])) == {"text": "ready"}
