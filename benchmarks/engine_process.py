"""An engine in a process of its own, which runs a workload and times it whenever the measuring process asks.

::

    measuring process ── "start", "first", "run" ──▶ process of one engine ── its workers
                      ◀── how long it took, or why it failed ──

Engines that share a process disturb each other: dask and the pools have threads that take turns with a loop by hand, dask changes
the environment that workers inherit, and a fork copies what all the others have allocated.

State: the pipe and the process here; in the process, the engine. The process closes the engine when the pipe is closed, which it
also is when the measuring process is gone.
"""

from __future__ import annotations

import gc
import multiprocessing
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peak import PeakSampler
from workloads import workloads

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from workloads import Workload

START, FIRST, RUN = "start", "first", "run"


@dataclass(frozen=True)
class Outcome:
    """What the process of an engine answers.

    Attributes:
        seconds: how long it took.
        problem: why that figure says nothing; empty where there is no problem.
        peak_bytes: how far the memory of the engine's processes rose, at the most, where that was measured.
    """

    seconds: float = 0.0
    problem: str = ""
    peak_bytes: int = 0


class EngineProcess:
    """The process of an engine, from the construction of this object until `close`.

    Args:
        engine: the engine, which has not been started.
        workload: the name of what it runs.
    """

    def __init__(self, engine: Any, workload: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._end, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, engine, workload))
        self._process.start()
        other.close()  # so that the end of the process ends the wait for its answer

    def ask(self, command: str) -> Outcome:
        """Let the engine start, run for the first time, or run again.

        Args:
            command: `START`, `FIRST` or `RUN`.

        Returns:
            What came of it. A process that has ended is a problem.
        """
        try:
            self._end.send(command)
            return self._end.recv()
        except (EOFError, OSError):
            self._process.join()
            return Outcome(problem=f"failed: its process ended with code {self._process.exitcode}")

    def hang_up(self) -> None:
        """Tell the process to close its engine and to end."""
        self._end.close()

    def close(self) -> None:
        """End the process, and wait for its end."""
        self.hang_up()
        self._process.join()


def _serve(end: Connection, engine: Any, name: str) -> None:
    """Do what the measuring process asks for, until it closes the pipe."""
    # A spawned process has "spawn" set; Kedro's runner takes what is set.
    multiprocessing.set_start_method(None, force=True)
    # Peers fork beside threads, and say so; it is their way.
    warnings.filterwarnings("ignore", message=".*multi-threaded.*", category=DeprecationWarning)
    (workload,) = (each for each in workloads() if each.name == name)
    calls = {START: _start, FIRST: _run_first, RUN: _run}
    has_started = False
    try:
        while True:
            try:
                command = end.recv()
            except EOFError:
                return
            try:
                outcome = calls[command](engine, workload)
            except Exception as error:  # noqa: BLE001 - whatever an engine raises is its result; the others go on
                outcome = Outcome(problem=f"failed: {error!r}"[:300])
            has_started = has_started or not outcome.problem
            end.send(outcome)
    finally:
        if has_started:
            engine.close()


def _start(engine: Any, workload: Workload) -> Outcome:
    engine.start(workload)
    return Outcome()


def _run_first(engine: Any, workload: Workload) -> Outcome:
    """Run for the first time: the allocators have no memory yet that an earlier run has left, so this run shows the peak."""
    if hasattr(engine, "warm"):
        engine.warm()
    with PeakSampler() as sampler:
        with sampler.sampling():
            outcome = _run(engine, workload)
        return Outcome(outcome.seconds, outcome.problem, sampler.peak_bytes)


def _run(engine: Any, workload: Workload) -> Outcome:
    if hasattr(engine, "prepare"):
        engine.prepare(workload)
    gc.collect()
    began = time.perf_counter()
    results = engine.run(workload)
    took = time.perf_counter() - began
    is_right = getattr(engine, "unchecked", False) or workload.expected(results)
    return Outcome(took, "" if is_right else "wrong results")
