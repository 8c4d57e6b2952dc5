"""Run the server with uvicorn, until a signal ends it.

::

    SIGTERM, SIGHUP, Ctrl-C ──▶ accept no runs (503), finish or interrupt the current run ──▶ answer what waits for it ──▶ end
    a second signal ──▶ interrupt the current run now

State: whether the end has begun. Neighbours: `app.py` makes the application; `treadle.cli.server` calls this.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import socket
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from treadle.errors import ServerError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import FrameType

    from fastapi import FastAPI

    from treadle.server.options import ServerOptions
    from treadle.server.runs import Runs

_BACKLOG = 2048
"""How many connections may wait to be accepted."""

_CLOSE_SECONDS = 5
"""How long open connections may take to end once the current run has ended."""

_LONGEST_HEAD = 64 << 10
"""Bytes of the headers of a request that a client may send before they end."""


_HEAD_SECONDS = 30.0
"""How long the headers of a request may take, from the connection or from their first byte on."""


def _last_answer(status: str, message: str, *headers: str) -> bytes:
    """Return an answer after which the connection is closed, as in `app.py`."""
    body = json.dumps({"error": {"type": "ServerError", "message": message}})
    lines = (
        f"HTTP/1.1 {status}",
        "Content-Type: application/json",
        *headers,
        "Connection: close",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join((*lines, "", body)).encode("ascii")


_TOO_MANY = _last_answer(
    "503 Service Unavailable", "The server has too many open connections. Try again later.", "Retry-After: 1"
)
_TOO_LONG = _last_answer("431 Request Header Fields Too Large", f"The headers of a request may have {_LONGEST_HEAD} bytes.")


def open_socket(options: ServerOptions) -> socket.socket:
    """Listen on the address of a server.

    Args:
        options: of the server.

    Raises:
        ServerError: the port is taken, or the address is not one of this machine.
    """
    where = f"{options.host}:{options.port}"
    try:
        family, _, _, _, address = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)[0]
        opened = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as exc:
        advice = f"The address {options.host} cannot be used: {exc.strerror or exc}."
        if exc.errno == errno.EADDRINUSE:
            advice = f"Port {options.port} is used by another program. Choose another one with --port; 0 is any free one."
        elif exc.errno == errno.EACCES:
            advice = f"This user may not listen on port {options.port}. Choose one above 1023 with --port."
        msg = f"The server cannot listen on {where}. {advice}"
        raise ServerError(msg) from exc
    opened.set_inheritable(False)
    # Connections inherit it; asyncio sets it only for sockets that were made with the number of the protocol. Without it, the
    # second part of an answer waits up to 40 ms for the client's acknowledgement of the first.
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened


def serve(app: FastAPI, opened: socket.socket, *, announce: Callable[[], None]) -> None:
    """Answer requests until a signal arrives and the current run has ended.

    Args:
        app: the application.
        opened: where it listens.
        announce: called when the application has started.

    Raises:
        TreadleError: the application cannot start: the runner or the project is wrong.
    """
    most = most_connections()
    config = uvicorn.Config(
        app,
        http=_Connection,
        # asyncio accepts that many connections before it asks about the first one.
        backlog=_BACKLOG if most is None else max(min(_BACKLOG, most // 8), 1),
        log_config=None,  # the project's logging is configured already
        access_log=False,
        server_header=False,
        lifespan="off",  # `_Server.serve` starts and ends the application
        timeout_graceful_shutdown=_CLOSE_SECONDS,
    )
    server = _Server(config, app, announce)
    running = weakref.ref(server)

    def leave_sockets() -> None:
        if (known := running()) is not None:
            known.leave_sockets(opened)

    os.register_at_fork(after_in_child=leave_sockets)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # of a closed terminal; `nohup` ignores it
        signal.signal(signal.SIGHUP, server.handle_exit)
    server.run(sockets=[opened])


class _Connection(HttpToolsProtocol):
    """A connection of a client, refused if clients would leave the runs too few open files.

    The parser collects the path and the headers of a request in memory, however long they are, and uvicorn waits for them for
    ever, before anyone can see whether the client has a token: here both are limited.
    """

    _requests = 0
    """How many requests have begun."""
    _in_head = False
    """Whether the headers of the last one have not ended."""
    _head_size = 0
    """Bytes received of them, without the part that arrived with what was before them."""
    _timeout: asyncio.TimerHandle | None = None
    """Closes the connection if they take too long."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as the base class
        """Begin to read requests, or answer at once that there are too many connections."""
        super().connection_made(transport)
        self._limit_time()
        most = most_connections()
        if most is not None and len(self.connections) > most:
            transport.write(_TOO_MANY)
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived, and end the connection if the headers of a request are too long."""
        before = self._requests if self._in_head else None
        super().data_received(data)
        if self._in_head and self._requests == before:
            self._head_size += len(data)
            if self._head_size > _LONGEST_HEAD and not self.transport.is_closing():
                self.transport.write(_TOO_LONG)
                self.transport.close()

    def on_message_begin(self) -> None:
        """Begin to count the bytes of the headers."""
        super().on_message_begin()
        self._requests += 1
        self._in_head, self._head_size = True, 0
        self._limit_time()

    def on_headers_complete(self) -> None:
        """Stop to count them."""
        self._in_head = False
        self._end_time_limit()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._end_time_limit()
        super().connection_lost(exc)

    def _limit_time(self) -> None:
        self._end_time_limit()
        self._timeout = self.loop.call_later(_HEAD_SECONDS, self.transport.close)

    def _end_time_limit(self) -> None:
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None


def most_connections() -> int | None:
    """Return how many connections there may be at once: half as many as open files; None if that is not limited."""
    limit, _most = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if limit == resource.RLIM_INFINITY else max(limit // 2, 1)


class _Server(uvicorn.Server):
    """A server that finishes its current run before it ends."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._app = app
        self._announce = announce
        self._is_draining = False

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, answer requests, and end the application.

        Uvicorn would log the traceback of an application that cannot start, and hide its error from the command.
        """
        with self.capture_signals():
            async with self._app.router.lifespan_context(self._app):
                if not self.should_exit:
                    self._announce()
                await super().serve(sockets)

    def leave_sockets(self, opened: socket.socket) -> None:
        """Give up the sockets of the server in a forked child, such as a worker.

        As long as the child has them, a client does not notice that the server has closed its connection, and the port is taken.

        Args:
            opened: where the server listens.
        """
        transports: list[Any] = [each.transport for each in self.server_state.connections]
        sockets = [opened, *(each.get_extra_info("socket") for each in transports if each is not None)]
        nothing = os.open(os.devnull, os.O_RDWR)
        for each in sockets:
            with suppress(OSError, AttributeError):  # it is closed already
                os.dup2(nothing, each.fileno(), inheritable=False)  # not closed: its object may close the number once more
        os.close(nothing)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - of the base class
        """Begin the end of the server: the handler of SIGTERM and SIGINT."""
        runs: Runs | None = getattr(self._app.state, "runs", None)
        if runs is None:  # it has not started yet
            self.should_exit = True
            return
        work: Any = runs.interrupt if self._is_draining else self._drain
        self._is_draining = True
        threading.Thread(target=work, name="treadle-server-end", daemon=True).start()

    def _drain(self) -> None:
        try:
            self._app.state.runs.drain()
        finally:
            self.should_exit = True
