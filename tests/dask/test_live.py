"""What of a run is seen while it goes on: log records and printed lines here, the names of nodes in dask's dashboard."""

from __future__ import annotations

import logging

import pytest

from treadle import Catalog, Pipeline, node
from treadle.events import NodeStarted, WorkerStarted
from treadle.execution.runners.dask import DaskRunner


@pytest.fixture(scope="module")
def runner(client):
    """A runner that is kept between the tests."""
    with DaskRunner(client=client) as made:
        yield made


class Handler(logging.Handler):
    """Keeps records, and calls a function with each."""

    def __init__(self, call=lambda _record: None):
        super().__init__()
        self.records, self._call = [], call

    def emit(self, record):
        self.records.append(record)
        self._call(record)


@pytest.fixture
def listen():
    """`listen(call)`: a handler of the logger `yarn`, whose function is called with each record."""
    logger, made = logging.getLogger("yarn"), []

    def add(call=lambda _record: None):
        made.append(Handler(call))
        logger.addHandler(made[-1])
        return made[-1].records

    level = logger.level
    logger.setLevel(logging.INFO)
    yield add
    logger.setLevel(level)
    for handler in made:
        logger.removeHandler(handler)


def test_a_record_arrives_while_its_node_runs(runner, attend, listen):
    """The node goes on only when the driver has handled its record."""

    def spin():
        logging.getLogger("yarn").info("begun")
        attend()
        return 1

    records = listen(lambda _record: attend())
    assert dict(runner.run(Pipeline([node(spin, None, "a", name="spin")]), Catalog())) == {"a": 1}
    assert [(record.getMessage(), record.node) for record in records] == [("begun", "spin")]


def test_records_of_a_node_are_in_order(runner, listen):
    """Each node's records come in the order in which it logged them, with its name and one worker's label."""

    def spin(count):
        for index in range(count):
            logging.getLogger("yarn").info("%s", index)
        return count

    records = listen()
    nodes = [node(spin, "count", f"a{index}", name=f"spin_{index}") for index in range(4)]
    runner.run(Pipeline(nodes), Catalog({"count": 100}))
    for index in range(4):
        mine = [record for record in records if record.node == f"spin_{index}"]
        assert [int(record.getMessage()) for record in mine] == list(range(100))
        assert len({record.worker for record in mine}) == 1


def test_the_dashboard_has_the_names_of_nodes(runner, client, wait_until):
    """A node is a dask task of its own, under its name, if no task is running yet; events have the addresses of workers."""

    def work():
        pass

    names = ["carding", "spinning", "weaving", "dyeing"]
    events = []
    for name in names:
        # A task that still waits for tiny nodes, or has not noticed that there are none, would run this one, too.
        wait_until(lambda: not any(client.processing().values()), "all tasks have ended")
        runner.run(Pipeline([node(work, None, None, name=name)]), Catalog(), observers=[events.append])
    assert set(names) <= set(client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.task_prefixes)))
    labels = {event.worker for event in events if isinstance(event, (NodeStarted, WorkerStarted))} - {"main"}
    assert labels
    assert all("@127.0.0.1:" in label for label in labels)
