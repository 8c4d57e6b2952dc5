"""The Perfetto export, read back with Perfetto's own protobuf classes."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

from treadle.events import Outcome
from treadle.observe.export.perfetto import perfetto_trace
from treadle.observe.store import NodeRecord


def read(session):
    """Return the names of tracks in order, and the slices of each: name, start and end in seconds, depth."""
    trace = Trace.FromString(perfetto_trace(session))
    tracks, slices, open_slices = {}, defaultdict(list), defaultdict(list)
    for packet in trace.packet:
        if packet.HasField("track_descriptor"):
            tracks[packet.track_descriptor.uuid] = packet.track_descriptor.name
            continue
        event, track = packet.track_event, tracks[packet.track_event.track_uuid]
        if event.type == TrackEvent.TYPE_SLICE_BEGIN:
            assert not open_slices[track] or open_slices[track][-1][1] <= packet.timestamp
            open_slices[track].append((event.name, packet.timestamp, event))
        elif event.type == TrackEvent.TYPE_SLICE_END:
            name, start, begun = open_slices[track].pop()
            assert start <= packet.timestamp
            slices[track].append((name, start / 1e9, packet.timestamp / 1e9, len(open_slices[track]), begun))
    assert not any(open_slices.values())
    return list(tracks.values()), slices


def test_one_track_a_worker_slot(make_session):
    """Each worker has a track, main first and in natural order; on it are its start-up, and its nodes with their phases."""
    tracks, slices = read(make_session())
    assert tracks[1:5] == ["main", "worker-1", "worker-2", "worker-10"]
    assert tracks[5:] == ["memory of main", "memory of worker-1"]
    assert [each[:4] for each in slices["worker-1"] if each[3] == 0][:2] == [
        ("worker start-up", 10.1, 10.4, 0),
        ("split", 10.5, 12.0, 0),
    ]
    assert [each[:4] for each in slices["worker-1"] if each[3] == 1] == [
        ("load", 10.5, 10.75, 1),
        ("run", 10.75, 11.75, 1),
        ("save", 11.75, 12.0, 1),
    ]


def test_attempts_do_not_overlap_and_have_their_facts(make_session):
    """The end of a lost attempt is moved to the start of the next one; an edge leads to the last attempt."""
    _, slices = read(make_session())
    split, first, second = [each for each in slices["worker-1"] if each[3] == 0][1:]
    assert (first[1:3], second[1:3]) == ((12.0, 13.0), (13.0, 14.0))
    assert list(split[4].flow_ids) == list(second[4].terminating_flow_ids) != []
    assert not first[4].terminating_flow_ids
    notes = {note.name: note.string_value or note.int_value for note in second[4].debug_annotations}
    assert notes == {"attempt": 2, "outcome": "failed", "error": "ValueError: bad \x1b[31m"}


def test_a_running_session(running):
    """A node that runs has no end yet: it lasts until the session was last heard of."""
    _, slices = read(running)
    assert slices["worker-1"][-1][1:3] == (12.0, 14.5)


@given(st.lists(st.tuples(st.sampled_from(["main", "w-1", "w-2"]), st.floats(0, 9), st.none() | st.floats(0, 9)), max_size=12))
def test_nothing_overlaps_whatever_was_recorded(make_session, attempts):
    """On each track, the next slice begins when the one before has ended, even if clocks disagree."""
    nodes = tuple(
        NodeRecord(f"n{place}", 1, Outcome.SUCCEEDED, worker, start, end, 0.5, 1.0, 0.5)
        for place, (worker, start, end) in enumerate(attempts)
    )
    _, slices = read(make_session({"nodes": nodes, "workers": (), "graph": None, "memory": None}))
    for found in slices.values():
        outer = sorted((each for each in found if each[3] == 0), key=lambda each: each[1:3])
        assert all(before[2] <= after[1] for before, after in pairwise(outer))


def test_no_run(make_session):
    """A session that ran nothing gives an empty trace."""
    assert read(make_session(runs=())) == ([], {})
