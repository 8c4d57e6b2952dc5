"""The OpenLineage export, checked by the classes of OpenLineage's own client."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.naming.dataset import S3, LocalFileSystem
from openlineage.client.serde import Serde

from treadle.events import Outcome
from treadle.observe.export.openlineage import openlineage_lines, place_of
from treadle.observe.store import SessionState

CLASSES = {"run": Run, "job": Job}


def read(session):
    """Return the events, each built anew by the client's classes, which check what they are given."""
    events = []
    for line in openlineage_lines(session).splitlines():
        content = json.loads(line)
        datasets = {
            "inputs": [InputDataset(**each) for each in content["inputs"]],
            "outputs": [OutputDataset(**each) for each in content["outputs"]],
        }
        parts = {name: kind(**content[name]) for name, kind in CLASSES.items()}
        content.pop("schemaURL")
        event = RunEvent(**{**content, **datasets, **parts, "eventType": RunState[content["eventType"]]})
        assert json.loads(Serde.to_json(event)) == json.loads(line)
        events.append(event)
    return events


def test_the_events_of_a_failed_run(make_session):
    """Each run and each attempt starts and ends, in the order of time; nodes that did not run have no events."""
    session = make_session()
    hostile = f"train.{session.runs[0].nodes[1].node}"
    assert [(event.eventType.value, event.job.name) for event in read(session)] == [
        ("START", "train"),
        ("START", "train.split"),
        ("COMPLETE", "train.split"),
        ("START", hostile),
        ("START", hostile),
        ("FAIL", hostile),
        ("FAIL", hostile),
        ("FAIL", "train"),
    ]


def test_parents_and_errors(make_session):
    """The run of an attempt names the run of the pipeline as its parent; the end of a failed one has the error."""
    events = read(make_session())
    whole, node, failed = events[0], events[1], events[-2]
    assert node.run.facets["parent"]["run"]["runId"] == whole.run.runId
    assert node.run.facets["parent"]["job"] == {"namespace": "shop", "name": "train", "facets": {}}
    assert failed.run.facets["errorMessage"]["message"] == "ValueError: bad \x1b[31m"
    assert failed.run.facets["errorMessage"]["stackTrace"] == "Traceback\nbad"
    runs = {event.run.runId for event in events}
    assert len(runs) == 4
    assert all(UUID(each).version == 7 for each in runs)
    assert runs == {event.run.runId for event in read(make_session())}


def test_datasets(make_session):
    """A file that was saved is named by its location wherever it is used; data in memory by its name; parameters are left out."""
    started, ended, user = read(make_session())[1:4]
    assert [(each.namespace, each.name) for each in ended.inputs] == [("shop", "raw")]
    assert [(each.namespace, each.name) for each in ended.outputs] == [("file", "/data/täble 1.csv")]
    assert [(each.namespace, each.name) for each in user.inputs] == [("file", "/data/täble 1.csv")]
    assert [(each.namespace, each.name) for each in user.outputs] == [("shop", "model")]
    assert ended.outputs[0].facets["version"]["datasetVersion"] == "xxh3:ab"
    assert ended.outputs[0].outputFacets["outputStatistics"]["size"] == 77
    assert ended.outputs[0].facets["symlinks"]["identifiers"][0]["name"] == "table"
    assert "version" not in started.outputs[0].facets


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/data/a b#c.csv", LocalFileSystem("/data/a b#c.csv")),
        ("file:///data/a b#c.csv", LocalFileSystem("/data/a b#c.csv")),
        ("s3://bucket/folder/key?#.csv", S3("bucket", "folder/key?#.csv")),
        ("hdfs://name:8020/data/x", None),
    ],
)
def test_names_follow_the_rules(location, expected):
    """A location is named as OpenLineage's own classes name it."""
    wanted = (expected.get_namespace(), expected.get_name()) if expected is not None else ("hdfs://name:8020", "/data/x")
    assert place_of(location) == wanted


def test_running_and_interrupted_sessions(make_session, running):
    """What has not ended has no end; what was interrupted was aborted."""
    assert [event.eventType.value for event in read(running)] == ["START", "START", "COMPLETE", "START"]
    assert read(make_session({"outcome": Outcome.INTERRUPTED}))[-1].eventType is RunState.ABORT


def test_a_lost_session_was_aborted(running):
    """Nothing in it goes on: its run, and the node that was running, end when the session was last known to run."""
    events = read(running._replace(state=SessionState.LOST))
    assert [event.eventType.value for event in events] == ["START", "START", "COMPLETE", "START", "ABORT", "ABORT"]
    assert [event.job.name for event in events[-2:]] == [events[3].job.name, events[0].job.name]
    assert {event.eventTime for event in events[-2:]} == {"1970-01-01T00:00:14.500000+00:00"}
