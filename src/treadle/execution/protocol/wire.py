"""Convert messages to and from the form that is pickled: plain tuples for the most frequent, which takes a third of the time.

Successive messages of one frequent type are pickled as columns: `zip` turns messages into columns and back without a step of
Python code for each message. Used by the parent and the workers. `messages.py` has the messages, `processes/channel.py` sends
them. State: none.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from treadle.execution.protocol.handles import Inline
from treadle.execution.protocol.messages import Finished, Job
from treadle.named_tuple import new_record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from treadle.execution.protocol.handles import Handle

_HANDLES_COLUMN = {Job: Job._fields.index("inputs"), Finished: Finished._fields.index("outputs")}
"""The frequent types of messages, and which of their fields has pairs of a dataset and a handle."""

_TYPES = tuple(_HANDLES_COLUMN)


def to_wire(posted: Sequence[tuple[Any, int]]) -> list[tuple[int | None, Any, int]]:
    """Return the form of messages that is pickled.

    Args:
        posted: commands or facts, each with the number of descriptors that are sent with it.

    Returns:
        In the same order, for messages of one frequent type: the number of the type, their columns, in which an inline value is
        the bytes of its pickle, and the number of descriptors, which is 0 unless there is only one message. For any other
        message: None, the message itself, and the number of descriptors.
    """
    frame: list[tuple[int | None, Any, int]] = []
    position, end = 0, len(posted)
    while position < end:
        message, count = posted[position]
        position += 1
        kind = type(message)
        if kind not in _HANDLES_COLUMN:
            frame.append((None, message, count))
            continue
        messages = [message]
        while not count and position < end:
            message, others_count = posted[position]
            if type(message) is not kind or others_count:
                break
            messages.append(message)
            position += 1
        columns: list[Any] = list(zip(*messages, strict=True))
        with_handles = _HANDLES_COLUMN[kind]
        columns[with_handles] = [_compact(pairs) if pairs else () for pairs in columns[with_handles]]
        frame.append((_TYPES.index(kind), columns, count))
    return frame


def from_wire(tag: int | None, received: Any) -> Sequence[Any]:
    """Return the messages that `to_wire` converted to one item."""
    if tag is None:
        return (received,)
    kind = _TYPES[tag]
    with_handles = _HANDLES_COLUMN[kind]
    received[with_handles] = [_restore(pairs) if pairs else () for pairs in received[with_handles]]
    return list(map(_makers[kind], zip(*received, strict=True)))


_makers: dict[type, Callable[[tuple[Any, ...]], Any]] = {kind: partial(new_record, kind) for kind in _TYPES}


def _compact(pairs: tuple[tuple[int, Handle], ...]) -> tuple[tuple[int, Handle | bytes], ...]:
    return tuple([(dataset, each.data if type(each) is Inline and not each.buffers else each) for dataset, each in pairs])


def _restore(pairs: tuple[tuple[int, Handle | bytes], ...]) -> tuple[tuple[int, Handle], ...]:
    return tuple([(dataset, new_record(Inline, (each, ())) if type(each) is bytes else each) for dataset, each in pairs])  # type: ignore[misc]
