"""Run what clients ask for: one run at a time, on the warm workers of a service.

::

    POST /runs ── RunQueue (in the store) ──▶ starter thread ── ServiceSession.submit ──▶ workers
                                                  └── RunHandle ──▶ views, cancellation ; events ──▶ EventLogs

State: the current run, the handles of the last runs, and the thread that starts runs. Neighbours: `app.py` calls this from the
threads of requests, `queue.py` has the runs that wait, `views.py` describes runs, `events.py` writes their events.

The module is long because one lock guards a run on its way from the queue to the current run to the runs that have ended, and the
methods that start, cancel, find and end a run hold it.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from treadle.errors import StoreError
from treadle.forks import fork_safe
from treadle.observe.store.queued_run import CANCELLED, ENDED, LOST
from treadle.server.durations import Durations
from treadle.server.events import EventLogs
from treadle.server.metrics import Metrics
from treadle.server.problems import Problem, unknown_run
from treadle.server.project import ServedProject
from treadle.server.queue import RunQueue
from treadle.server.served import ServedRun, log_failure, start_run
from treadle.server.views import end_facts, live_view, queued_view, record_view, summary_view, waiting_view
from treadle.server.waiters import Waiters
from treadle.session.creation import make_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.server.models import RunBody, RunView
    from treadle.server.options import ServerOptions
    from treadle.server.queue import Accepted
    from treadle.session import ServiceSession

_logger = logging.getLogger(__name__)

_KEEP_SECONDS = 20.0
"""How often the server notes in the store that it is alive."""
_RETRY_SECONDS = 1.0
"""How long the server waits when its store cannot be used, before it tries again to start a run."""


class Runs:
    """The runs of a server; its methods may be called from any thread.

    Args:
        service: runs them.
        options: of the server.

    Raises:
        ServerError: the project's store cannot keep a queue, or the folder of events cannot be created.
    """

    def __init__(self, service: ServiceSession, options: ServerOptions) -> None:
        self._service = service
        self._options = options
        # Another instance than that of the service: reading a long record must not delay the recording of a run.
        self._store: Any = make_store(service.project.settings, service.facts.project_path)
        self.project = ServedProject(service, self._store, debug=options.debug_errors)
        self.queue = RunQueue(self._store, service.project.package_name, options.max_queued)
        folder = service.facts.project_path / ".treadle" / "server" / "events"
        self.events = EventLogs(folder, debug=options.debug_errors)
        self.metrics = Metrics(lambda: len(self.queue), lambda: int(self._current is not None))
        self._lock = fork_safe(threading.Lock())
        self._current: ServedRun | None = None
        self._recent: OrderedDict[str, ServedRun] = OrderedDict()
        self._waiters = Waiters()
        self._durations = Durations()
        self._starter = threading.Thread(target=self._start_all, name="treadle-server-runs", daemon=True)
        self._ending = threading.Event()
        self._is_drained = False
        self._keeper = threading.Thread(target=self._keep, name="treadle-server-keeper", daemon=True)

    def start(self) -> None:
        """Take over what an earlier server left, and begin to run what is queued.

        Raises:
            ProjectError: the project's registry cannot be imported.
        """
        self.project.load_registry()
        self._adopt()
        self._starter.start()
        self._keeper.start()

    # --- what clients ask for --------------------------------------------------------------------------------------------

    def submit(self, body: RunBody, *, key: str | None = None, resumes: str | None = None) -> str:
        """Accept a run.

        Args:
            body: what to run.
            key: the client's key, by which a repeated request is recognised.
            resumes: the run that it resumes, if any.

        Returns:
            The id of the run.

        Raises:
            Problem: the request is invalid, or the queue is full or closed.
        """
        self.project.check(body)

        def accept(run_id: str) -> None:
            self.events.begin(run_id, resumes=resumes)
            self.metrics.accepted()

        try:
            return self.queue.add(body, resumes=resumes, key=key, retry_after=self._durations.retry_after, accept=accept)
        except Problem as exc:
            if exc.status in (429, 503):
                self.metrics.refused()
            raise

    def resume(self, run_id: str, *, key: str | None = None) -> str:
        """Accept a run that resumes one that did not succeed.

        Args:
            run_id: the run to resume.
            key: as for `submit`.

        Raises:
            Problem: the run cannot be resumed.
        """
        from treadle.server.models import RunBody

        view = self.view(run_id)
        if view.state in ("queued", "running", "succeeded"):
            raise Problem(409, "NotResumable", f"The run {run_id} is {view.state}, so there is nothing to resume.")
        accepted = self.queue.find(run_id)
        if view.started is None:  # it never ran: run it as it was asked for
            if accepted is None:
                msg = f"What was asked for in the run {run_id} is not known any more. Send the request again."
                raise Problem(409, "NotResumable", msg)
            return self.submit(accepted.body, key=key, resumes=accepted.resumes)
        return self.submit(accepted.body if accepted is not None else RunBody(), key=key, resumes=run_id)

    def cancel(self, run_id: str) -> RunView:
        """Cancel a run that has not ended.

        Args:
            run_id: the run.

        Raises:
            Problem: there is no such run, or it has ended.
        """
        with self._lock:
            was_waiting, current = self.queue.pop(run_id, CANCELLED), self._current
            if current is not None and current.accepted.run_id == run_id:
                current.is_cancelled = True
        if was_waiting:
            try:
                self.queue.end(run_id, CANCELLED, has_succeeded=False)
            finally:  # also if the store cannot be written, which is tried again later
                self.metrics.ended("cancelled", None)
                self.events.end(run_id, state="cancelled")
                self._waiters.call(run_id)
            return self.view(run_id)
        if current is None or current.accepted.run_id != run_id or not current.handle.cancel():
            view = self.view(run_id)  # raises if there is none
            if view.state == "cancelled":
                return view
            if view.state in ("queued", "running"):
                msg = f"The run {run_id} is {view.state} in another process, so this server cannot cancel it."
                raise Problem(409, "NotCancellable", msg)
            raise Problem(409, "NotCancellable", f"The run {run_id} has ended ({view.state}), so it cannot be cancelled.")
        return self.view(run_id)

    def view(self, run_id: str) -> RunView:
        """Describe a run.

        Args:
            run_id: the whole id.

        Raises:
            Problem: there is no such run.
        """
        if (known := self.view_in_memory(run_id)) is not None:
            return known
        debug = self._options.debug_errors
        position, stored = self.queue.position(run_id), self.queue.find_stored(run_id)
        if position is not None and stored is not None:
            return queued_view(stored, position)
        record = self.project.record(run_id)
        if record is not None:
            return record_view(record, stored, debug=debug)
        if (served := self.served(run_id)) is not None:  # it has started meanwhile
            return live_view(served, debug=debug)
        if stored is None or stored.state == ENDED:  # without its record, which was removed
            raise unknown_run(run_id)
        return queued_view(stored, self.queue.position(run_id))

    def view_in_memory(self, run_id: str) -> RunView | None:
        """Describe a run without reading the store; None if that is not enough.

        Args:
            run_id: the whole id.
        """
        if (served := self.served(run_id)) is not None:
            return live_view(served, debug=self._options.debug_errors)
        position, accepted = self.queue.position(run_id), self.queue.waiting(run_id)
        return waiting_view(accepted, position) if accepted is not None and position is not None else None

    def views(self, limit: int) -> list[RunView]:
        """Describe the newest runs, and the one that this server runs, although many may have been queued after it.

        Args:
            limit: maximum number of runs.
        """
        debug = self._options.debug_errors
        found = {each.session_id: summary_view(each, debug=debug) for each in self.project.summaries(limit)}
        for stored in self.queue.newest(limit):
            if stored.run_id not in found and stored.state != ENDED:
                found[stored.run_id] = queued_view(stored, None)
            elif stored.state == CANCELLED:
                found[stored.run_id].state = "cancelled"
        for place, run_id in list(enumerate(self.queue.ids()))[-limit:]:
            if (accepted := self.queue.waiting(run_id)) is not None:
                found[run_id] = waiting_view(accepted, place)
            elif (kept := self.queue.find_stored(run_id)) is not None:
                found[run_id] = queued_view(kept, place)
        with self._lock:
            current = [self._current] if self._current is not None else []
            served = [*self._recent.values(), *current]
        found |= {each.accepted.run_id: live_view(each, debug=debug) for each in served}
        shown = sorted(found, reverse=True)[:limit]
        shown[limit - 1 :] = [each.accepted.run_id for each in current if each.accepted.run_id not in shown] or shown[limit - 1 :]
        return [found[run_id] for run_id in shown]

    def served(self, run_id: str) -> ServedRun | None:
        """Return a run that this server runs, or ran not long ago; None for any other."""
        with self._lock:
            if self._current is not None and self._current.accepted.run_id == run_id:
                return self._current
            return self._recent.get(run_id)

    @property
    def is_running(self) -> bool:
        """Whether a run is running."""
        return self._current is not None

    def on_end(self, run_id: str, function: Callable[[], None]) -> Callable[[], None]:
        """Call a function when a run of this server has ended, or when the server ends; at once if there is nothing to wait for.

        Args:
            run_id: the run.
            function: called in any thread; it must return quickly.

        Returns:
            Ends that, so that nothing is kept for clients that have gone.
        """
        forget = self._waiters.add(run_id, function)
        with self._lock:
            is_running = self._current is not None and self._current.accepted.run_id == run_id
            has_ended = not is_running and self.queue.position(run_id) is None
        if has_ended or self._is_drained:
            self._waiters.call(run_id)
        return forget

    # --- the end of the server -------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Start no more runs, and wait for the current one; after the grace time it is interrupted.

        Clients that wait for a queued run are then answered, and streams of events end: this server will not run it.
        """
        self.queue.close()
        with self._lock:
            current = self._current
        if current is not None and not current.handle.wait(self._options.grace):
            self.interrupt()
        if self._starter.ident is not None:  # the server may end before it has begun to run anything
            self._starter.join()
        self._answer_who_waits()
        self.events.end_streams()

    def _answer_who_waits(self) -> None:
        self._is_drained = True
        self._waiters.call_all()

    def interrupt(self) -> None:
        """Stop the current run, because the server ends."""
        with self._lock:
            current = self._current
        if current is not None:
            current.handle.cancel()

    def close(self) -> None:
        """End the threads; what is queued stays in the store."""
        self.queue.close()
        self._ending.set()
        for thread in (each for each in (self._starter, self._keeper) if each.ident is not None):
            thread.join()
        self._answer_who_waits()
        self.events.close()
        self.queue.finish()

    # --- in the threads --------------------------------------------------------------------------------------------------

    def _start_all(self) -> None:
        while not self.queue.is_closed:
            try:
                found = self.queue.wait()
                if found is not None:
                    self._run(*found)
            except Exception:  # of the store, for example
                _logger.exception("A run of the queue cannot be started or ended. The queue goes on in %g s.", _RETRY_SECONDS)
                self.queue.wait_for_close(_RETRY_SECONDS)

    def _run(self, run_id: str, accepted: Accepted | None) -> None:
        with self._lock:
            if self.queue.is_closed or self.queue.position(run_id) is None:
                return  # the server ends, or the run was cancelled
            served = None
            if accepted is not None:
                usual = self._durations.usual(accepted.body)
                served = start_run(self._service, accepted, self.events.observer(run_id), usual)
            if served is None:
                self.queue.end(run_id, LOST, has_succeeded=False)
            self.queue.pop(run_id)
            self._current = served
        if served is None:
            self.events.end(run_id, state="lost")
            self._waiters.call(run_id)
            return
        served.handle.add_done_callback(lambda _handle: self._end(served))
        served.is_noted.wait()

    def _end(self, served: ServedRun) -> None:
        """Note the end of a run; called by the thread that ran it, so that a client that waits is answered without delay."""
        run_id, handle = served.accepted.run_id, served.handle
        served.finished = served.clock.now()
        error, seconds = handle.exception(), served.finished - served.started
        try:
            self._durations.note(served.accepted.body, seconds, has_succeeded=error is None)
            with self._lock:
                self._current = None
                self._recent[run_id] = served
                while len(self._recent) > self._options.keep_results:
                    self._recent.popitem(last=False)
            self.metrics.ended(served.state, seconds)
            self.events.end(run_id, **end_facts(served, debug=self._options.debug_errors))
        finally:  # also if the file of events cannot be written: the client is answered, and the queue is kept
            self._waiters.call(run_id)
            try:
                if error is not None and served.state == "failed":
                    log_failure(run_id, error)
                self.queue.end(run_id, CANCELLED if served.state == "cancelled" else ENDED, has_succeeded=error is None)
            finally:
                served.is_noted.set()

    def _keep(self) -> None:
        while not self._ending.wait(_KEEP_SECONDS):
            try:
                self.events.forget(before=self.queue.keep())
                self._adopt()
                if (store := self._service.store) is not None:
                    store.save_unsaved()  # or runs that have ended stay shown as running
            except (StoreError, OSError) as exc:
                _logger.warning("The store of the server cannot be updated: %s", exc)
            except Exception:  # the thread must go on: other servers take over the runs of one that is silent
                _logger.exception("The store of the server cannot be updated.")

    def _adopt(self) -> None:
        def accept(run_id: str) -> None:
            if not self.events.exists(run_id):  # the other server was killed before it had written the first event
                asked = self.queue.find(run_id)
                self.events.begin(run_id, resumes=asked.resumes if asked is not None else None)

        waiting, lost = self.queue.adopt(accept)
        for run_id in lost:
            if not self.events.has_ended(run_id):
                self.events.end(run_id, state=self.view(run_id).state)
        if waiting or lost:
            _logger.info("An earlier server left %d runs that are queued again, and %d that are not.", len(waiting), len(lost))
