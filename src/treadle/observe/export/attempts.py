"""The attempts of a run, ready to be drawn or sent: with an end, and with the times of their phases. State: none.

Neighbours: `perfetto.py`, `otlp.py` and `openlineage.py` each convert them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from treadle.observe.store import NodeRecord, RunRecord, SessionRecord


class Phase(NamedTuple):
    """A part of an attempt: `load`, `run` or `save`."""

    name: str
    start: float
    end: float


class Attempt(NamedTuple):
    """An attempt that started. `end` is when the run was last known to go on if the attempt has no end."""

    record: NodeRecord
    start: float
    end: float

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Its phases, one after the other; of a failed attempt they are unknown.

        What is between them (hooks) counts as time after the last phase. The phases of a generator alternate in reality.
        """
        seconds = {"load": self.record.load_seconds, "run": self.record.run_seconds, "save": self.record.save_seconds}
        found, start = [], self.start
        for name, took in seconds.items():
            if took:
                end = min(start + took, self.end)
                found.append(Phase(name, start, end))
                start = end
        return tuple(found)


def attempts_of(session: SessionRecord, run: RunRecord) -> list[Attempt]:
    """Return the attempts of a run that started, in the order of their start.

    Args:
        session: the session of the run.
        run: the run.
    """
    last = end_of(session, run)
    found = []
    for record in run.nodes:
        if record.started is not None:
            end = last if record.finished is None else record.finished
            found.append(Attempt(record, record.started, max(record.started, end)))
    return sorted(found, key=lambda each: (each.start, each.end))


def end_of(session: SessionRecord, run: RunRecord) -> float:
    """Return when a run ended; of a run without an end, when it was last known to go on.

    Args:
        session: the session of the run.
        run: the run.
    """
    if run.finished is not None:
        return run.finished
    times = [time for node in run.nodes for time in (node.started, node.finished) if time is not None]
    return max(run.started, session.heartbeat or run.started, *times)
