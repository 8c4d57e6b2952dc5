"""Each type of message and handle can be pickled and restored."""

from __future__ import annotations

import logging
import pickle
import sys

import pytest

from treadle.events import ContentRecord, Failure
from treadle.execution.protocol import handles, project
from treadle.execution.protocol import messages as job
from treadle.execution.protocol.handles import Atom, Inline, LocalValue, PinnedValue, RemoteValue, Segment
from treadle.execution.protocol.messages import (
    BeginRun,
    Broken,
    Cancel,
    EndRun,
    Failed,
    Finished,
    FinishedNodes,
    Hello,
    HookPayload,
    Job,
    JobsReturned,
    Logged,
    Output,
    ProcessSpec,
    Release,
    RunSpec,
    Started,
    Stop,
    Transfer,
    Transferred,
    WatchedDatasets,
)
from treadle.execution.protocol.project import ProjectSpec
from treadle.execution.protocol.wire import from_wire, to_wire
from treadle.io.recipe import DatasetRecipe
from treadle.project.logging import snapshot_levels

FAILURE = Failure("ValueError", "bad", "Traceback …", b"pickle", "table", "load")
PROJECT = ProjectSpec("flights", ("/somewhere/src",), snapshot_levels())
SPEC = ProcessSpec(
    project=PROJECT,
    inherits=False,
    working_directory="/somewhere",
    environment={"TOKEN": "secret-value"},
    thread_limit=2,
    parent_pid=7,
    scratch="/scratch",
    fingerprint="abc",
)
RUN = RunSpec(
    run_id="id",
    levels=snapshot_levels(),
    node_groups=(b"nodes",),
    node_at=((0, 0),),
    inputs=((0,),),
    outputs=((1,),),
    dataset_names=("a", "b"),
    in_memory=(True, False),
    is_result=(False, True),
    copy_modes=((0, "assign"),),
    recipes=(DatasetRecipe("b", {"type": "text.TextDataset", "filepath": "/x"}),),
    objects=(("c", b"dataset"),),
    hooks=(HookPayload("plugin", None, 1), HookPayload("other", b"pickle")),
    catalog_class=b"class",
)
MESSAGES = [
    PROJECT,
    WatchedDatasets("/run", ("a", "b")),
    SPEC,
    RUN,
    HookPayload("plugin", b"x"),
    Inline(b"data", (b"buffer",)),
    Segment(128, ((0, 10), (64, 64)), None, 5),
    Segment(128, ((0, 10),), "/scratch/value-1"),
    PinnedValue(1, "a lock"),
    LocalValue([1]),
    Atom(3),
    RemoteValue(1, 5_000_000),
    BeginRun(1, b"spec"),
    EndRun(1),
    Job(1, (0, 1), ((0, Inline(b"x")),), ((0, 1),), (1,)),
    Transfer(1, 0),
    Release(1, 0),
    Cancel(1),
    Stop(),
    Hello(1, 77, 1, FAILURE),
    Started(1, 0, 12.5),
    Finished(1, 0, 12.5, 13.0, 0.1, 0.2, 0.2, ((1, PinnedValue(1, "lock")), (2, Inline(b"x")), (3, Inline(b"x", (b"y",))))),
    Finished(1, 0, 12.5, 13.0, 0.1, 0.2, 0.2, ((1, Inline(b"x")),), (ContentRecord("x", "/x", None, 1, 2, "xxh3:ab", 3),)),
    FinishedNodes(1, (0,), (12.5,), (13.0,), (0.1,), (0.2,), (0.2,), (1,), (1,), (Atom(3),), (), ()),
    Failed(1, 0, 12.5, 13.0, FAILURE, (1, 2)),
    Transferred(1, 0, PinnedValue(1, "lock")),
    JobsReturned(1, (1, 2)),
    Broken(Failure("MemoryError", "", "")),
    Logged({"msg": "text", "levelno": 20}),
    Output("stdout", "text\n"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
@pytest.mark.parametrize("protocol", [2, 5])
def test_every_message_pickles_both_ways(message, protocol):
    """A restored message has the same type and is equal, also in the form that the channel sends."""
    for descriptors in (0, 2):
        frame = pickle.loads(pickle.dumps(to_wire([(message, descriptors)]), protocol=protocol))
        [(tag, converted, received)] = frame
        [back] = from_wire(tag, converted)
        assert received == descriptors
        if descriptors == 0 and type(message) is Finished:  # arrives as columns
            assert type(back) is FinishedNodes
            [back] = back.separate()
        assert back == message
        assert type(back) is type(message)


def test_messages_of_one_type_are_sent_together_and_arrive_in_order():
    """Successive jobs, or reports of one run, share an item of the frame, except those that are sent with descriptors."""
    jobs = [Job(1, (node,), ((node, Inline(b"data", ())), (9, Atom("value")))) for node in range(3)]
    posted = [(jobs[0], 0), (jobs[1], 2), (jobs[2], 0), (jobs[0], 0), (Release(1, 4), 0)]
    frame = to_wire(posted)
    received = [
        (message, count) for tag, converted, count in pickle.loads(pickle.dumps(frame)) for message in from_wire(tag, converted)
    ]
    assert received == posted
    assert [type(message) for message, _count in received] == [type(message) for message, _count in posted]
    assert [count for _tag, _converted, count in frame] == [0, 2, 0, 0]


RECORDED = ContentRecord("x", "/x", None, 1, 2, "xxh3:ab", 3)
ATOMS = [((node, Atom(value)),) for node, value in enumerate([None, True, 3, 0.5, "text"])]


@pytest.mark.parametrize(
    "outputs",
    [
        ATOMS,
        [((0, Inline(b"data")),), ((1, Inline(b"data", (b"buffer",))),), ((2, PinnedValue(1, "lock")), (3, Atom("x"))), ()],
        [(), ()],
    ],
    ids=["atoms", "mixed", "none"],
)
@pytest.mark.parametrize("contents", [(), (RECORDED,)], ids=["bare", "recorded"])
def test_the_reports_of_a_run_arrive_as_columns(outputs, contents):
    """The reports of one run that follow one another arrive as one message, which has what each of them had."""
    reports = [
        Finished(1, node, 1.0 + node, 2.0 + node, 0.1, 0.2, 0.3, of_node, contents if node == 1 else ())
        for node, of_node in enumerate(outputs)
    ]
    last = Finished(2, 0, 1.0, 2.0, 0.1, 0.2, 0.3)
    frame = pickle.loads(pickle.dumps(to_wire([(report, 0) for report in [*reports, last]])))
    received = [message for tag, converted, _count in frame for message in from_wire(tag, converted)]
    assert [(type(message), message.run, len(message.nodes)) for message in received] == [
        (FinishedNodes, 1, len(reports)),
        (FinishedNodes, 2, 1),
    ]
    separate = [report for message in received for report in message.separate()]
    assert separate == [*reports, last]
    assert [[type(handle) for _dataset, handle in each.outputs] for each in separate] == [
        [type(handle) for _dataset, handle in each.outputs] for each in [*reports, last]
    ]


def test_no_message_type_is_left_out():
    """The list above contains each class of the modules."""
    classes = {
        value
        for module in (job, handles, project)
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__ and not issubclass(value, BaseException)
    }
    records = {value for value in classes if not getattr(value, "_is_protocol", False)}
    assert records == {type(message) for message in MESSAGES}


def test_a_spec_never_shows_the_environment():
    """The environment may contain secrets, so the repr of a spec omits it."""
    assert "secret-value" not in repr(SPEC)


def test_a_log_record_is_sent_as_text():
    """Message, arguments and traceback become text; other objects become their repr."""
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        info = sys.exc_info()
    record = logging.LogRecord("name", logging.ERROR, __file__, 5, "%s and %d", (object, 3), info)
    record.extra = lambda: None
    record.plain = 5
    back = pickle.loads(pickle.dumps(Logged.of(record))).record()
    assert back.getMessage() == f"{object} and 3"
    assert "ZeroDivisionError: division by zero" in back.exc_text
    assert back.exc_info is None
    assert back.extra.startswith("<function")
    assert back.plain == 5
    assert (back.name, back.levelno, back.lineno) == ("name", logging.ERROR, 5)
