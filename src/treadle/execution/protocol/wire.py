"""Convert messages to and from the form that is pickled: plain tuples for the most frequent, which takes a third of the time.

Used by the parent and the workers. `messages.py` has the messages, `processes/channel.py` sends them. State: none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.execution.protocol.handles import Inline
from treadle.execution.protocol.messages import Finished, Job

if TYPE_CHECKING:
    from treadle.execution.protocol.handles import Handle

_JOB, _FINISHED = 0, 1


def to_wire(message: Any) -> tuple[int | None, Any]:
    """Return the form of a message that is pickled.

    Args:
        message: a command or a fact.

    Returns:
        For a frequent message, a tag and its fields, in which an inline value is the bytes of its pickle. For any other message,
        None and the message itself.
    """
    if type(message) is Finished:
        *fields, outputs, contents = message
        return _FINISHED, (
            *fields,
            contents,
            tuple([(dataset, _compact(handle)) for dataset, handle in outputs]) if outputs else (),
        )
    if type(message) is Job:
        run, nodes, inputs, last, local = message
        return _JOB, (
            run,
            nodes,
            last,
            local,
            tuple([(dataset, _compact(handle)) for dataset, handle in inputs]) if inputs else (),
        )
    return None, message


def from_wire(tag: int | None, received: Any) -> Any:
    """Return the message that `to_wire` converted."""
    if tag is None:
        return received
    handles = received[-1]
    if handles:
        handles = tuple([(dataset, _new(Inline, (each, ())) if type(each) is bytes else each) for dataset, each in handles])
    if tag == _FINISHED:
        return _new(Finished, (*received[:-2], handles, received[-2]))
    run, nodes, last, local, _values = received
    return _new(Job, (run, nodes, handles, last, local))


_new = tuple.__new__
"""Makes a named tuple from its fields. The generated constructor is written in Python and takes twice the time."""


def _compact(handle: Handle) -> Handle | bytes:
    return handle.data if type(handle) is Inline and not handle.buffers else handle
