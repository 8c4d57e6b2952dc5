"""The links of a pool: one to each worker of the cluster, as workers come and go.

State: the links, by the numbers of the workers. Runs in the driver: the event loop of the client adds links, the thread of the
run removes them. Neighbours: `pool.py` owns it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from treadle.errors import RunnerError
from treadle.execution.executors.dask.link import Link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_WATCH_SECONDS = 0.25
"""How often the scheduler is asked for its workers."""
_ATTEMPTS = 3
"""How often a connection to a worker is tried."""


class Links:
    """The links of a pool.

    Args:
        client: the client of the cluster.
        pool: id of the pool.
        max_workers: the most workers to use; None for all.
        notify: takes a link and a message of it. Called on the client's event loop.
        run: sets a link's worker up, and passes its messages on until its stream ends.
    """

    def __init__(
        self,
        client: Any,
        pool: str,
        max_workers: int | None,
        notify: Callable[[Link, Any], None],
        run: Callable[[Link], Any],
    ) -> None:
        self._client, self._pool, self._max_workers = client, pool, max_workers
        self._notify, self._run_link = notify, run
        self._links: dict[int, Link] = {}
        self._labels: dict[int, str] = {}
        self._failures: dict[str, int] = {}  # by address: how often the worker could not be connected to
        self._is_watching = self._is_closed = False

    def __iter__(self) -> Iterator[Link]:
        return iter(list(self._links.values()))

    def get(self, worker: int) -> Link | None:
        """Return the link to a worker, None if there is none.

        Args:
            worker: number of the worker.
        """
        return self._links.get(worker)

    def has(self, link: Link) -> bool:
        """Return whether a link is in use."""
        return self._links.get(link.number) is link

    def at(self, address: str) -> list[Link]:
        """Return the links to an address, one at the most."""
        return [link for link in self if link.address == address]

    def label(self, worker: int) -> str:
        """Return the label of a worker, also of one that is gone."""
        return self._labels.get(worker, f"worker-{worker}")

    @property
    def is_full(self) -> bool:
        """Whether no further worker would be used. One that retires is replaced, since it runs only what no other one can."""
        return self._max_workers is not None and sum(not link.is_leaving for link in self) >= self._max_workers

    def remove(self, link: Link, reason: str | None) -> None:
        """Forget a link whose stream has ended.

        Args:
            link: the link.
            reason: why its worker could not be set up; None if it was.

        Raises:
            RunnerError: the worker could not be connected to several times.
        """
        del self._links[link.number]
        link.tasks.release()
        if reason is not None:
            self._failures[link.address] = self._failures.get(link.address, 0) + 1
            if self._failures[link.address] == _ATTEMPTS:
                msg = (
                    f"The dask worker at {link.address} cannot be reached from this process: {reason}. Treadle connects to each "
                    "worker, not only to the scheduler. Run where the workers' network can be reached."
                )
                raise RunnerError(msg, name="dask")

    def stop(self) -> None:
        """Add no more links."""
        self._is_closed = True

    def clear(self) -> None:
        """Forget all links."""
        for link in self:
            link.tasks.release()
        self._links.clear()

    # --- the event loop of the client ------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Link the workers of the cluster, as they come, unless that is done already."""
        if not self._is_watching:
            self._is_watching = True
            self._client.loop.add_callback(self._watch)

    async def _watch(self) -> None:
        while not self._is_closed:
            try:
                workers = (await self._client.scheduler.identity())["workers"]
            except OSError:
                workers = {}  # `health.py` notices a scheduler that is gone
            for link in self:
                link.tasks.release_finished()
                link.note_status(workers.get(link.address, {}).get("status"))
            self._add(workers)
            await asyncio.sleep(_WATCH_SECONDS)

    def _add(self, workers: Iterable[str]) -> None:
        linked = {link.address for link in self}
        for address in workers:
            if self._is_closed or self.is_full:
                return
            if address not in linked and self._failures.get(address, 0) < _ATTEMPTS:
                number = next(each for each in range(1, len(self._links) + 2) if each not in self._links)
                link = self._links[number] = Link(self._client, address, number, self._pool, self._notify)
                self._labels[number] = link.label
                asyncio.ensure_future(self._run_link(link))  # noqa: RUF006 - the link's messages report its end
