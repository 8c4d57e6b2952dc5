"""The socket that a pool's workers connect to: it accepts connections and performs the handshakes, without blocking.

State: the listening socket and the unfinished handshakes. Runs in the parent. Neighbours: `slots.py` has the selector,
`handshake.py` the steps of a handshake.
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
"""Minimum number of connections that may wait to be accepted."""

_TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)


class ConnectionListener:
    """Accept the connections of a pool's workers.

    Args:
        path: path of the socket.
        key: the pool's authentication key.
        workers: number of workers.
        selector: the pool's selector; the callbacks registered with it get an event mask and return pool events.
        on_connected: called with the number and the socket of each authenticated worker; False refuses the connection.
    """

    def __init__(
        self,
        path: str,
        key: bytes,
        workers: int,
        selector: selectors.BaseSelector,
        on_connected: Callable[[int, socket.socket], bool],
    ) -> None:
        self._key = key
        self._selector = selector
        self._on_connected = on_connected
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
            if exc.errno in _TOO_MANY_FILES:
                raise  # otherwise the peer would wait forever, and the selector report it forever
            return []  # the peer has disconnected already
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
        except OSError:  # a worker that died, which its slot reports, or a peer that is not a worker of this pool
            self._drop(handshake)
            return []
        if number is not None:
            self._handshakes.remove(handshake)
            self._selector.unregister(handshake.sock)
            if not self._on_connected(number, handshake.sock):
                handshake.sock.close()
        return []

    def _drop(self, handshake: Handshake) -> None:
        self._handshakes.remove(handshake)
        self._selector.unregister(handshake.sock)
        handshake.sock.close()

    def seconds_to_wait(self, timeout: float | None) -> float | None:
        """Close the connections of peers that took too long, and return how long the pool may wait for events.

        Args:
            timeout: seconds that it intends to wait; None for no limit.
        """
        if not self._handshakes:
            return timeout
        now = time.monotonic()
        for handshake in [each for each in self._handshakes if each.deadline <= now]:
            self._drop(handshake)
        return min([each.deadline - now for each in self._handshakes] + ([] if timeout is None else [timeout]), default=None)

    def close(self) -> None:
        """Close the sockets."""
        for handshake in self._handshakes:
            handshake.sock.close()
        self._handshakes.clear()
        self._sock.close()
