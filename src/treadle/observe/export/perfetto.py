"""A session as a Perfetto trace: protobuf of track events (https://perfetto.dev/docs/reference/synthetic-track-event).

Each run is a group of tracks: one for each worker slot, on which nothing overlaps, and one for the memory of each process.
State: none. Neighbour: `attempts.py`.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import count
from typing import TYPE_CHECKING, Any

from treadle.named_tuple import NamedTuple
from treadle.observe.export.attempts import Attempt, attempts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from treadle.observe.store import RunRecord, SessionRecord

_NANOSECONDS = 1_000_000_000
_SEQUENCE = 1


class Slice(NamedTuple):
    """Something on the track of a worker: an attempt, or the start of the worker, which has no attempt."""

    name: str
    start: float
    end: float
    attempt: Attempt | None = None


def slots_of(session: SessionRecord, run: RunRecord) -> dict[str, list[Slice]]:
    """Return what each worker slot did, by its label, in order and without overlaps.

    A worker that replaces a lost one has the label of that one. An end that was measured in another process than the
    next start may be later than that by the time of a message; it is moved to it.

    Args:
        session: the session of the run.
        run: the run.
    """
    slots: defaultdict[str, list[Slice]] = defaultdict(list)
    for worker in run.workers:
        if worker.launched is not None and worker.started is not None:
            slots[worker.worker].append(Slice("worker start-up", worker.launched, max(worker.launched, worker.started)))
        else:
            slots[worker.worker]  # a worker without a node has an empty track
    for attempt in attempts_of(session, run):
        slots[attempt.record.worker or "?"].append(Slice(attempt.record.node, attempt.start, attempt.end, attempt))
    return {label: list(_apart(slices)) for label, slices in slots.items()}


def _apart(slices: list[Slice]) -> Iterator[Slice]:
    ordered = sorted(slices, key=lambda each: (each.start, each.end))
    for place, each in enumerate(ordered):
        end = min(each.end, ordered[place + 1].start) if place + 1 < len(ordered) else each.end
        yield each._replace(end=end, attempt=each.attempt and each.attempt._replace(end=end))


def perfetto_trace(session: SessionRecord) -> bytes:
    """Return the session as a trace that https://ui.perfetto.dev opens.

    Args:
        session: the session.
    """
    from perfetto.trace_builder.proto_builder import TraceProtoBuilder

    builder = TraceProtoBuilder()
    writer = _Writer(builder)
    for run in session.runs:
        writer.write_run(session, run)
    content: bytes = builder.serialize()
    return content


class _Writer:
    """Add packets to a trace. State: the ids of tracks and flows so far."""

    def __init__(self, builder: Any) -> None:
        from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TrackDescriptor, TrackEvent

        self._builder = builder
        self._tracks = count(1)
        self._flows = count(1)
        self._explicit = TrackDescriptor.EXPLICIT
        self._begin, self._end, self._counter = TrackEvent.TYPE_SLICE_BEGIN, TrackEvent.TYPE_SLICE_END, TrackEvent.TYPE_COUNTER

    def write_run(self, session: SessionRecord, run: RunRecord) -> None:
        """Add the tracks of a run."""
        outcome = run.outcome.value if run.outcome else session.state.value
        group = self._track(f"run {run.number} of {session.session_id}: {run.runner}, {outcome}")
        slots = slots_of(session, run)
        last = {each.name: each for slices in slots.values() for each in slices if each.attempt is not None}
        outgoing, incoming = self._edges(run, last)
        for rank, label in enumerate(sorted(slots, key=_natural)):
            track = self._track(label, parent=group, rank=rank)
            for each in slots[label]:
                is_last = last.get(each.name) is each
                self._slice(
                    track, each, outgoing.get(each.name, ()) if is_last else (), incoming.get(each.name, ()) if is_last else ()
                )
        if run.memory is not None:
            for rank, (label, sizes) in enumerate(run.memory.processes, start=len(slots)):
                track = self._track(f"memory of {label}", parent=group, rank=rank, counter=True)
                for at, size in zip(run.memory.times, sizes, strict=True):
                    if size is not None:
                        self._event(track, self._counter, at).counter_value = size

    def _edges(self, run: RunRecord, last: Mapping[str, Slice]) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
        """Give each edge between nodes that ran an id: an arrow from one to the other."""
        outgoing: defaultdict[str, list[int]] = defaultdict(list)
        incoming: defaultdict[str, list[int]] = defaultdict(list)
        nodes = run.graph.nodes if run.graph is not None else ()
        for node in nodes:
            for parent in node.parents:
                before, after = last.get(nodes[parent].name), last.get(node.name)
                if before is not None and after is not None and before.start <= after.start:
                    flow = next(self._flows)
                    outgoing[before.name].append(flow)
                    incoming[after.name].append(flow)
        return outgoing, incoming

    def _slice(self, track: int, each: Slice, outgoing: Iterable[int], incoming: Iterable[int]) -> None:
        event = self._event(track, self._begin, each.start)
        event.name = each.name
        event.flow_ids.extend(outgoing)
        event.terminating_flow_ids.extend(incoming)
        if each.attempt is not None:
            event.categories.append("node")
            for name, value in facts_of(each.attempt).items():
                note = event.debug_annotations.add()
                note.name = name
                if isinstance(value, int):
                    note.int_value = value
                else:
                    note.string_value = value
            for phase in each.attempt.phases:
                inner = self._event(track, self._begin, phase.start)
                inner.name = phase.name
                inner.categories.append("phase")
                self._event(track, self._end, phase.end)
        else:
            event.categories.append("start-up")
        self._event(track, self._end, each.end)

    def _track(self, name: str, *, parent: int | None = None, rank: int = 0, counter: bool = False) -> int:
        track = next(self._tracks)
        descriptor = self._builder.add_packet().track_descriptor
        descriptor.uuid = track
        descriptor.name = name
        if parent is None:
            descriptor.child_ordering = self._explicit
        else:
            descriptor.parent_uuid = parent
            descriptor.sibling_order_rank = rank
        if counter:
            descriptor.counter.unit_name = "bytes"
        return track

    def _event(self, track: int, kind: int, at: float) -> Any:
        packet = self._builder.add_packet()
        packet.timestamp = round(at * _NANOSECONDS)
        packet.trusted_packet_sequence_id = _SEQUENCE
        packet.track_event.type = kind
        packet.track_event.track_uuid = track
        return packet.track_event


def facts_of(attempt: Attempt) -> dict[str, str | int]:
    """Return what is known about an attempt, by name.

    Args:
        attempt: the attempt.
    """
    record = attempt.record
    facts: dict[str, str | int] = {"attempt": record.attempt, "outcome": record.outcome.value if record.outcome else "not ended"}
    facts.update({f"bytes of {dataset}": size for dataset, size in record.sizes})
    if record.error is not None:
        facts["error"] = f"{record.error.type_name}: {record.error.message}"
    return facts


def _natural(label: str) -> tuple[bool, str, int]:
    """Sort `main` first, and `worker-10` after `worker-9`."""
    name, _, number = label.rpartition("-")
    return (label != "main", name, int(number)) if number.isdecimal() else (label != "main", label, 0)
