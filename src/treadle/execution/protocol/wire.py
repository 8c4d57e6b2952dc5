"""Convert messages to and from the form that is pickled: plain tuples for the most frequent, which takes a third of the time.

Successive messages of one frequent type are pickled as columns: `zip` turns messages into columns and back without a step of
Python code for each message. The reports of finished nodes stay columns (`FinishedNodes`), because the parent handles them
together. Used by the parent and the workers. `messages.py` has the messages, `processes/channel.py` sends them. State: none.
"""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from treadle.execution.protocol.handles import ATOM_TYPES, Atom, Inline
from treadle.execution.protocol.messages import Finished, FinishedNodes, Job
from treadle.execution.protocol.placement import SHARED
from treadle.named_tuple import new_record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from treadle.execution.protocol.handles import Handle
    from treadle.execution.protocol.placement import Placement


def to_wire(posted: Sequence[tuple[Any, int]]) -> list[tuple[int | None, Any, int]]:
    """Return the form of messages that is pickled.

    Args:
        posted: commands or facts, each with the number of descriptors that are sent with it.

    Returns:
        In the same order, for messages of one frequent type without descriptors: the number of the type, their columns, in which
        a small value or its pickle takes the place of its handle, and 0. For any other message: None, the message itself, and the
        number of descriptors.
    """
    frame: list[tuple[int | None, Any, int]] = []
    position, end = 0, len(posted)
    while position < end:
        message, count = posted[position]
        position += 1
        kind = type(message)
        if count or kind not in _TO_COLUMNS:
            frame.append((None, message, count))
            continue
        messages = [message]
        while position < end:
            message, count = posted[position]
            if type(message) is not kind or count or message.run != messages[0].run:
                break
            messages.append(message)
            position += 1
        frame.append((_TYPES.index(kind), _TO_COLUMNS[kind](list(zip(*messages, strict=True))), 0))
    return frame


def from_wire(tag: int | None, received: Any) -> Sequence[Any]:
    """Return the messages that `to_wire` converted to one item; one `FinishedNodes` for successive messages of that kind."""
    return (received,) if tag is None else _FROM_COLUMNS[_TYPES[tag]](received)


# --- jobs -----------------------------------------------------------------------------------------------------------------

_INPUTS = Job._fields.index("inputs")


def _compact_jobs(columns: list[Any]) -> list[Any]:
    columns[_INPUTS] = [tuple(map(_compact_pair, pairs)) if pairs else () for pairs in columns[_INPUTS]]
    return columns


def _restore_jobs(columns: list[Any]) -> Sequence[Job]:
    columns[_INPUTS] = [tuple(map(_restore_pair, pairs)) if pairs else () for pairs in columns[_INPUTS]]
    return list(map(_make_job, zip(*columns, strict=True)))


def _compact_pair(pair: tuple[int, Handle]) -> tuple[int, Any]:
    dataset, handle = pair
    return dataset, _compact(handle)


def _restore_pair(pair: tuple[int, Any]) -> tuple[int, Handle]:
    dataset, compact = pair
    return dataset, _restore(compact)


_make_job: Callable[[tuple[Any, ...]], Job] = partial(new_record, Job)


# --- reports of finished nodes --------------------------------------------------------------------------------------------


def _compact_finished(columns: list[Any]) -> list[Any]:
    runs, nodes, started, at, load_seconds, run_seconds, save_seconds, outputs, contents = columns
    datasets, handles = zip(*flat, strict=True) if (flat := list(chain.from_iterable(outputs))) else ((), ())
    compact = [each.value for each in handles] if set(map(type, handles)) == {Atom} else list(map(_compact, handles))
    counts = list(map(len, outputs))
    times = started, at, load_seconds, run_seconds, save_seconds
    return [runs[0], nodes, *times, counts, datasets, compact, contents if any(contents) else ()]


def _restore_finished(columns: list[Any]) -> Sequence[FinishedNodes]:
    *first, datasets, compact, contents = columns
    placements: Sequence[tuple[int, Placement]] = ()
    if set(map(type, compact)) <= ATOM_TYPES:
        handles: Sequence[Handle] = tuple(map(_make_atom, zip(compact, strict=True)))
    else:
        handles = tuple(map(_restore, compact))
        placed = zip(datasets, handles, strict=True)
        placements = [(dataset, placement) for dataset, handle in placed if (placement := handle.placement) is not SHARED]
    return (new_record(FinishedNodes, (*first, datasets, handles, placements, contents)),)


_make_atom: Callable[[tuple[Any, ...]], Atom] = partial(new_record, Atom)


_TYPES = (Job, Finished)
_TO_COLUMNS: dict[type, Callable[[list[Any]], list[Any]]] = {Job: _compact_jobs, Finished: _compact_finished}
_FROM_COLUMNS: dict[type, Callable[[list[Any]], Sequence[Any]]] = {Job: _restore_jobs, Finished: _restore_finished}


# --- handles --------------------------------------------------------------------------------------------------------------


def _compact(handle: Any) -> Any:
    """Return a handle, or what takes its place in a pickle: the value of an atom, or the bytes of an inline value."""
    kind = type(handle)
    if kind is Atom:
        return handle.value
    return handle.data if kind is Inline and not handle.buffers else handle


def _restore(compact: Any) -> Handle:
    kind = type(compact)
    if kind is bytes:
        return new_record(Inline, (compact, ()))
    return new_record(Atom, (compact,)) if kind in ATOM_TYPES else compact
