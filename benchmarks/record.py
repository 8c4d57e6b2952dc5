"""What it costs to write the record of a run while it goes on: on the run's own thread, and in all."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from figures import Figure
from light import noop

if TYPE_CHECKING:
    from treadle import Pipeline

NODES = 10_000
GOAL = 20.0
"""Microseconds a node on the run's own thread, at the most."""


def figures(repeats: int) -> list[Figure]:
    """Return the figures: the same run of no-ops with and without a record, on the sequential runner."""
    from treadle import Pipeline, node

    pipeline = Pipeline([node(noop, "source", f"d{index}", name=f"n{index}") for index in range(NODES)])
    plain, recorded = [], []
    for _ in range(repeats + 1):
        plain.append(_run(pipeline, is_recorded=False))
        recorded.append(_run(pipeline, is_recorded=True))
    (own, whole), (own_recorded, whole_recorded) = _medians(plain[1:]), _medians(recorded[1:])
    thread = (own_recorded - own) / NODES * 1e6
    detail = f"processor time of that thread: {own:.3f} s without a record, {own_recorded:.3f} s with one"
    what = f"record of {NODES:,} no-ops, sequential"
    return [
        Figure(f"{what}: cost on the run's own thread", thread, "µs a node", GOAL, detail),
        Figure(f"{what}: time of the whole run", whole_recorded, detail=f"{whole:.3f} s without a record"),
    ]


def _medians(runs: list[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(own for own, _ in runs), statistics.median(whole for _, whole in runs)


def _run(pipeline: Pipeline, *, is_recorded: bool) -> tuple[float, float]:
    """Return the processor time of this thread and the seconds of a run, from its start to its complete record."""
    from treadle import Catalog, SequentialRunner

    with tempfile.TemporaryDirectory() as folder:
        record = _Record(Path(folder)) if is_recorded else None
        thread, began = time.thread_time(), time.perf_counter()
        SequentialRunner().run(pipeline, Catalog({"source": 1}), observers=(record.recorder,) if record is not None else ())
        thread = time.thread_time() - thread
        if record is not None:
            record.complete()
        return thread, time.perf_counter() - began


class _Record:
    """A record in a store of its own."""

    def __init__(self, folder: Path) -> None:
        from treadle.observe.store import RunRecorder, SQLStore
        from treadle.observe.store.live import LiveRecord

        self._session = self._describe(None)
        self._store = SQLStore(project_path=folder)
        writer = self._store.live_writer("session")
        assert writer is not None
        self.recorder = RunRecorder("run", number=1, pipelines=(), runner="sequential", params={}, started=time.time())
        self._live = LiveRecord("session", writer, describe=lambda: self._session, mask=lambda run: run)
        self.recorder.on_first_node = lambda: self._live.begin_run(self.recorder)

    @staticmethod
    def _describe(finished: float | None, *runs: Any) -> Any:
        from treadle.observe.store import SessionRecord

        return SessionRecord(
            session_id="session",
            project_path="",
            package_name="",
            env=None,
            conf_source="",
            extra_params={},
            command=None,
            started=time.time(),
            finished=finished,
            outcome=None,
            user=None,
            host=None,
            pid=0,
            git_commit=None,
            git_dirty=None,
            environment={},
            versions={},
            runs=runs,
        )

    def complete(self) -> None:
        """Complete the record, and check it."""
        from treadle.events import Outcome

        self._live.stop()
        run = self.recorder.record(Outcome.SUCCEEDED, finished=time.time())
        self._store.save(self._describe(time.time(), run))
        if self._store.list()[0].succeeded != NODES:
            msg = "the record: wrong number of nodes"
            raise SystemExit(msg)
        self._store.close()
