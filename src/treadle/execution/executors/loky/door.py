"""The socket at which a pool's workers connect: it accepts, and sees each handshake through, without ever blocking.

State: the listening socket and the handshakes under way. Neighbours: `pool.py` has the selector, `handshake.py` the steps.
"""

from __future__ import annotations

import errno
import selectors
import socket
import time
from typing import TYPE_CHECKING

from treadle.execution.processes.handshake import Handshake

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.execution.executors.events import PoolEvent

_BACKLOG = 16
"""Connections that may wait to be accepted, at least."""

_NO_MORE_FILES = (errno.EMFILE, errno.ENFILE)


class Door:
    """Accepts the connections of a pool's workers.

    Args:
        path: of the socket.
        key: the pool's key.
        workers: how many may connect.
        selector: the pool's; what is registered with it is called with a mask, and returns events.
        enter: called with the number and the socket of each worker that has proved itself; False if it is not wanted.
    """

    def __init__(
        self,
        path: str,
        key: bytes,
        workers: int,
        selector: selectors.BaseSelector,
        enter: Callable[[int, socket.socket], bool],
    ) -> None:
        self._key = key
        self._selector = selector
        self._enter = enter
        self._handshakes: list[Handshake] = []
        self._sock = socket.socket(socket.AF_UNIX)
        try:
            self._sock.bind(path)
            self._sock.listen(max(workers, _BACKLOG))
            self._sock.setblocking(False)  # noqa: FBT003 - the socket's own signature
            selector.register(self._sock, selectors.EVENT_READ, self._accept)
        except BaseException:
            self._sock.close()
            raise

    def _accept(self, _mask: int) -> list[PoolEvent]:
        try:
            sock, _address = self._sock.accept()
        except OSError as exc:
            if exc.errno in _NO_MORE_FILES:
                raise  # the peer would wait, and be reported here, for ever
            return []  # it is gone again
        try:
            handshake = Handshake(sock, self._key)
        except OSError:
            sock.close()
        else:
            self._handshakes.append(handshake)
            self._selector.register(sock, selectors.EVENT_READ, lambda _mask: self._proceed(handshake))
        return []

    def _proceed(self, handshake: Handshake) -> list[PoolEvent]:
        try:
            number = handshake.proceed()
        except BlockingIOError:
            return []
        except OSError:  # a worker that died (its slot's end is found out), or no worker of this pool
            self._drop(handshake)
            return []
        if number is not None:
            self._handshakes.remove(handshake)
            self._selector.unregister(handshake.sock)
            if not self._enter(number, handshake.sock):
                handshake.sock.close()
        return []

    def _drop(self, handshake: Handshake) -> None:
        self._handshakes.remove(handshake)
        self._selector.unregister(handshake.sock)
        handshake.sock.close()

    def seconds_to_wait(self, timeout: float | None) -> float | None:
        """Close the connections of peers that have taken too long, and return how long the pool may wait.

        Args:
            timeout: how long it wants to; None is for ever.
        """
        if not self._handshakes:
            return timeout
        now = time.monotonic()
        for handshake in [each for each in self._handshakes if each.deadline <= now]:
            self._drop(handshake)
        return min([each.deadline - now for each in self._handshakes] + ([] if timeout is None else [timeout]), default=None)

    def close(self) -> None:
        """Close this process's descriptors."""
        for handshake in self._handshakes:
            handshake.sock.close()
        self._handshakes.clear()
        self._sock.close()
