"""The runs that a server has accepted and that have not started: in the store, so that they survive the server.

State: the waiting runs in order, and the requests with secrets, which are only in memory. Neighbours: `runs.py` starts the runs;
`treadle.observe.store.queue_access` keeps them.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import secrets
import threading
import time
from collections import OrderedDict, deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from treadle.errors import ServerError
from treadle.forks import fork_safe
from treadle.observe.store.liveness import this_process
from treadle.observe.store.queued_run import ENDED, LOST, QUEUED, QueuedRun
from treadle.server.models import RunBody
from treadle.server.problems import Problem
from treadle.session.identity import new_session_id
from treadle.session.masking import mask_params

if TYPE_CHECKING:
    from collections.abc import Callable

_logger = logging.getLogger(__name__)

_FORGET_AFTER = 7 * 24 * 3600.0
"""Seconds after which an ended run can no longer be resumed with its inputs, and its key may be used again."""

_MOST_DIGESTS = 10_000
"""Number of requests whose secrets are compared with those of later ones with the same key."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A run as the server accepted it.

    Attributes:
        run_id: its id.
        body: what was asked for.
        resumes: the run that it resumes, if any.
        submitted: when it was accepted, in seconds since the epoch.
    """

    run_id: str
    body: RunBody
    resumes: str | None
    submitted: float


class RunQueue:
    """The waiting runs of a project.

    Args:
        store: keeps the runs; None if nothing is recorded.
        package_name: the project's package.
        most: how many runs may wait.

    Raises:
        ServerError: the store cannot keep a queue.
    """

    def __init__(self, store: Any, package_name: str, most: int) -> None:
        if getattr(store, "queue_run", None) is None:
            msg = (
                "The server keeps its queue in Treadle's own session store, and this project has another one. Remove "
                "SESSION_STORE_CLASS from settings.py."
            )
            raise ServerError(msg)
        store.keep_open()
        self._store = store
        self._package = package_name
        self._most = most
        self._submitting = fork_safe(threading.Lock())
        self._changed = fork_safe(threading.Condition())
        self._waiting: OrderedDict[str, Accepted | None] = OrderedDict()  # None: it is only in the store
        self._secret: dict[str, Accepted] = {}  # until they have succeeded, or can no longer be resumed
        self._digest_key = secrets.token_bytes(32)
        self._with_secrets: OrderedDict[str, bytes] = OrderedDict()  # digests of requests with secrets and keys, by run
        self._ended: deque[tuple[str, str, bool]] = deque()  # whose end is not yet in the store: run, state, keeps request
        self._states: dict[str, str] = {}  # of the runs whose end is not yet in the store
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def position(self, run_id: str) -> int | None:
        """Return how many runs wait before a run; None if it does not wait."""
        with self._changed:
            if run_id not in self._waiting:
                return None
            return next(place for place, each in enumerate(self._waiting) if each == run_id)

    def waiting(self, run_id: str) -> Accepted | None:
        """Return what was asked for in a waiting run; None if it does not wait, or is only in the store."""
        with self._changed:
            return self._waiting.get(run_id)

    def ids(self) -> list[str]:
        """Return the ids of the waiting runs, in order."""
        with self._changed:
            return list(self._waiting)

    def add(
        self,
        body: RunBody,
        *,
        resumes: str | None,
        key: str | None,
        retry_after: Callable[[], int],
        accept: Callable[[str], None],
    ) -> str:
        """Append a run.

        Args:
            body: what to run.
            resumes: the run that it resumes, if any.
            key: the client's key; a second request with it returns the id of the first one's run.
            retry_after: returns the seconds after which a client may try again.
            accept: called with the id of a new run before it can start.

        Returns:
            The id of the run.

        Raises:
            Problem: the queue is full or closed, or the key was used for another request.
        """
        content = body.model_dump(mode="json")
        masked = content | {each: mask_params(content[each]) for each in ("params", "inputs")}
        has_secrets = masked != content
        digest = hashlib.sha256(json.dumps([masked, resumes], sort_keys=True).encode()).hexdigest()
        with self._submitting:
            if key is not None and (known := self._store.find_queued_by_key(self._package, key)) is not None:
                return self._same(known, digest, content)
            if self._is_closed:
                raise Problem(503, "ShuttingDown", "The server is shutting down. Try again later.", retry_after=retry_after())
            if len(self._waiting) >= self._most:
                msg = f"{self._most} runs are waiting, which is the limit of this server. Try again later."
                raise Problem(429, "QueueFull", msg, retry_after=retry_after())
            accepted = Accepted(new_session_id(), body, resumes, time.time())
            request = json.dumps({"body": masked, "resumes": resumes})
            run = QueuedRun(
                accepted.run_id,
                self._package,
                accepted.submitted,
                QUEUED,
                request,
                digest,
                has_secrets,
                key,
                this_process(),
                accepted.submitted,
            )
            stored = self._store.queue_run(run)
            if stored.run_id != accepted.run_id:  # another server was faster
                return self._same(stored, digest, content)
            accept(run.run_id)
            if has_secrets:
                self._secret[run.run_id] = accepted
                if key is not None:
                    self._remember(run.run_id, content)
            self._append(run.run_id, accepted if len(request) < _SMALL else None)
            return run.run_id

    def wait(self) -> tuple[str, Accepted | None] | None:
        """Wait for the next run, which stays in the queue.

        Returns:
            Its id, and what was asked for if that is known; None when the queue is closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            if self._is_closed:
                return None
            run_id, accepted = next(iter(self._waiting.items()))
        return run_id, accepted or self.find(run_id)

    def pop(self, run_id: str, ends_as: str | None = None) -> bool:
        """Remove a waiting run, which starts or ends in a state; return False if it does not wait any more."""
        with self._changed:
            if run_id not in self._waiting:
                return False
            if ends_as is not None:
                self._states[run_id] = ends_as  # from now on, so that it is never in neither place
            del self._waiting[run_id]
            return True

    def find(self, run_id: str) -> Accepted | None:
        """Return what was asked for in a run that was accepted; None if that is not known any more."""
        if run_id in self._secret:
            return self._secret[run_id]
        run = self.find_stored(run_id)
        if run is None or not run.request or run.has_secrets:
            return None
        try:
            content = json.loads(run.request)
            return Accepted(run_id, RunBody.model_validate(content["body"]), content["resumes"], run.submitted)
        except (ValueError, TypeError, KeyError):  # pydantic's errors are ValueErrors
            _logger.warning("What was asked for in the run %s was stored by another version of Treadle, and is refused.", run_id)
            return None

    def find_stored(self, run_id: str) -> QueuedRun | None:
        """Return what is known of a run of this project that was accepted, from the store; its end may be known before."""
        state = self._states.get(run_id)
        found: QueuedRun | None = self._store.find_queued(run_id)
        if found is None or found.package_name != self._package:
            return None
        return found._replace(state=state) if state is not None else found

    def newest(self, limit: int) -> list[QueuedRun]:
        """Return the newest runs that wait in this or another server, were cancelled, or were lost before they started."""
        found: tuple[QueuedRun, ...] = self._store.newest_queued(self._package, limit)
        return [run._replace(state=self._states.get(run.run_id, run.state)) for run in found]

    def end(self, run_id: str, state: str, *, has_succeeded: bool) -> None:
        """Note that a run has ended, as `CANCELLED`, `ENDED` or `LOST`; what was asked for is kept while it can be resumed.

        A run that has succeeded is noted in the store later, with others: its session says already how it ended.

        Raises:
            StoreError: the database cannot be written; `keep` tries again.
        """
        self._states[run_id] = state
        self._ended.append((run_id, state, not has_succeeded))
        if has_succeeded:
            self._secret.pop(run_id, None)
        else:
            self._note_ended()

    def adopt(self, accept: Callable[[str], None]) -> tuple[list[str], list[str]]:
        """Take over the runs of a server that is gone.

        Args:
            accept: called with the id of each run that waits, before it can start.

        Returns:
            The runs that wait now; and those that are lost, because they had started, or because only that server knew their
            secrets.
        """
        waiting, lost = [], []
        for run in self._store.adopt_queued(self._package):
            has_started = self._has_started(run.run_id)
            if run.has_secrets or has_started:
                lost.append(run.run_id)
                self._store.end_queued([run.run_id], ENDED if has_started else LOST, keeps_request=True)
            else:
                waiting.append(run.run_id)
                accept(run.run_id)
                self._append(run.run_id, None)
        return waiting, lost

    def keep(self) -> float:
        """Note in the store that this server is alive; return the time before which ended runs are forgotten."""
        self._note_ended()
        before = time.time() - _FORGET_AFTER
        self._store.keep_queue(self._package, forget_before=before)
        for run_id, accepted in list(self._secret.items()):
            if accepted.submitted < before and run_id not in self._waiting:
                self._secret.pop(run_id, None)
        return before

    def close(self) -> None:
        """Let no more runs start or be accepted; those that wait stay in the store."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def wait_for_close(self, seconds: float) -> None:
        """Wait until the queue is closed, but not longer than some seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed, seconds)

    def finish(self) -> None:
        """Write what is left to the store, and close it."""
        try:
            self._note_ended()
        finally:
            self._store.close()

    def _note_ended(self) -> None:
        """Note the ends of runs in the store; if that fails, they are kept for the next call."""
        by_state: dict[tuple[str, bool], list[str]] = {}
        with suppress(IndexError):  # none is left; another thread may take some, too, so their number says nothing
            while True:
                run_id, state, keeps_request = self._ended.popleft()
                by_state.setdefault((state, keeps_request), []).append(run_id)
        try:
            while by_state:
                (state, keeps_request), run_ids = next(iter(by_state.items()))
                self._store.end_queued(run_ids, state, keeps_request=keeps_request)
                del by_state[state, keeps_request]
                for run_id in run_ids:
                    self._states.pop(run_id, None)
        except BaseException:
            self._ended.extend((run_id, *key) for key, run_ids in by_state.items() for run_id in run_ids)
            raise

    @property
    def is_closed(self) -> bool:
        """Whether no more runs are accepted."""
        return self._is_closed

    def _append(self, run_id: str, accepted: Accepted | None) -> None:
        with self._changed:
            self._waiting[run_id] = accepted
            self._changed.notify_all()

    def _same(self, run: QueuedRun, digest: str, content: dict[str, Any]) -> str:
        """Return the id of a run that was accepted with the same key.

        The digest in the store is of the masked request, because a short secret could be guessed from a digest. Secrets are
        compared by digests with a key that only this process has, so those of another server's request are not compared.

        Raises:
            Problem: the request was another one.
        """
        known = self._with_secrets.get(run.run_id)
        if run.digest != digest or (known is not None and not hmac.compare_digest(known, self._whole_digest(content))):
            msg = f"The Idempotency-Key was used before, for another request, which made the run {run.run_id}. Use a new key."
            raise Problem(409, "KeyConflict", msg)
        return run.run_id

    def _remember(self, run_id: str, content: dict[str, Any]) -> None:
        self._with_secrets[run_id] = self._whole_digest(content)
        while len(self._with_secrets) > _MOST_DIGESTS:
            self._with_secrets.popitem(last=False)

    def _whole_digest(self, content: dict[str, Any]) -> bytes:
        """Return a digest of a request with its secrets, which can only be compared with the key of this process."""
        return hmac.digest(self._digest_key, json.dumps(content, sort_keys=True).encode(), "sha256")

    def _has_started(self, run_id: str) -> bool:
        return bool(self._store.has_session(run_id))


_SMALL = 1 << 14
"""Longer requests are read from the store again when their run starts."""
