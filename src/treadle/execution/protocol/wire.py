"""What is pickled for a message: the most frequent ones go as plain tuples, which takes a third of the time.

State: none. Neighbours: `job.py` has the messages, `channel.py` sends them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.execution.protocol.handles import Inline
from treadle.execution.protocol.messages import Finished, Job

if TYPE_CHECKING:
    from treadle.execution.protocol.handles import Handle

_JOB, _FINISHED = 0, 1


def to_wire(message: Any) -> tuple[int | None, Any]:
    """Return what is pickled for a message: for the most frequent its plain fields, which takes a third of the time.

    Args:
        message: a command or a fact.

    Returns:
        A tag and the fields, where a small value goes as the bytes of its pickle; None and the message itself for others.
    """
    if type(message) is Finished:
        *fields, outputs = message
        return _FINISHED, (*fields, tuple([(dataset, _bare(handle)) for dataset, handle in outputs]) if outputs else ())
    if type(message) is Job:
        run, nodes, inputs, last, local = message
        return _JOB, (run, nodes, last, local, tuple([(dataset, _bare(handle)) for dataset, handle in inputs]) if inputs else ())
    return None, message


def from_wire(tag: int | None, received: Any) -> Any:
    """Return the message that `to_wire` took apart."""
    if tag is None:
        return received
    handles = received[-1]
    if handles:
        handles = tuple([(dataset, _new(Inline, (each, ())) if type(each) is bytes else each) for dataset, each in handles])
    if tag == _FINISHED:
        return _new(Finished, (*received[:-1], handles))
    run, nodes, last, local, _values = received
    return _new(Job, (run, nodes, handles, last, local))


_new = tuple.__new__
"""Makes a named tuple of its fields as they are: its own constructor, which is written in Python, takes twice the time."""


def _bare(handle: Handle) -> Handle | bytes:
    return handle.data if type(handle) is Inline and not handle.buffers else handle
