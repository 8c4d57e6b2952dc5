"""Messages over a connected local socket: length-framed pickles, with file descriptors beside them.

The worker's end blocks. The parent's end never does: what the socket will not take now waits in the channel until the
socket is writable again, so two sides that both have much to say cannot wait for each other.

A frame is a header (payload length, number of descriptors) and a pickle. Descriptors travel as SCM_RIGHTS with the first
bytes of their frame (unix(7)), so they are here when the frame is. Both ends have been authenticated before a channel is
made of their socket; nothing is unpickled that did not come from there.
"""

from __future__ import annotations

import array
import contextlib
import os
import pickle
import socket
import struct
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEADER = struct.Struct("<QI")
_READ_BYTES = 1 << 18
_MAX_DESCRIPTORS = 250
"""The kernel's SCM_MAX_FD is 253."""


class ChannelClosedError(ConnectionError):
    """The other side is gone."""


class Channel:
    """One end of a conversation between the parent and a worker.

    Args:
        sock: a connected, authenticated stream socket; the channel owns it from now on.
        blocking: True at the worker's end.
    """

    def __init__(self, sock: socket.socket, *, blocking: bool) -> None:
        self._sock = sock
        self._sock.setblocking(blocking)
        self._lock = threading.Lock()
        self._received = bytearray()
        self._parsed = 0  # bytes of it that are done with
        self._descriptors: deque[int] = deque()
        self._unsent: deque[tuple[bytearray | memoryview, Sequence[int]]] = deque()

    def fileno(self) -> int:
        """Return the socket's descriptor, for a selector."""
        return self._sock.fileno()

    # --- sending ---------------------------------------------------------------------------------------------------------

    def send(self, message: Any, descriptors: Sequence[int] = ()) -> None:
        """Send a message; at the parent's end, as much of it as the socket takes now.

        Args:
            message: any picklable value.
            descriptors: open files that the other side gets its own descriptors of.

        Raises:
            ChannelClosedError: the other side is gone.
        """
        self.post(message, descriptors)
        self.flush()

    def post(self, message: Any, descriptors: Sequence[int] = ()) -> None:
        """Keep a message until the next `flush` or `send`: many small ones then cost one call of the kernel.

        Args:
            message: any picklable value.
            descriptors: open files that the other side gets its own descriptors of.
        """
        if len(descriptors) > _MAX_DESCRIPTORS:
            msg = f"a message carries at most {_MAX_DESCRIPTORS} descriptors, not {len(descriptors)}"
            raise ValueError(msg)
        payload = pickle.dumps(message, protocol=5)
        header = _HEADER.pack(len(payload), len(descriptors))
        with self._lock:
            last = self._unsent[-1][0] if self._unsent and not descriptors else None
            if isinstance(last, bytearray) and len(last) < _READ_BYTES:
                last += header
                last += payload
            else:
                # Descriptors are duplicated, so that the caller may close its own before a waiting frame is sent.
                self._unsent.append((bytearray(header + payload), [os.dup(fd) for fd in descriptors]))

    def flush(self) -> None:
        """Send what is waiting, as far as the socket takes it."""
        with self._lock:
            self._flush()

    @property
    def wants_to_write(self) -> bool:
        """True while something waits to be sent."""
        return bool(self._unsent)

    def _flush(self) -> None:
        while self._unsent:
            frame, descriptors = self._unsent[0]
            try:
                if descriptors:
                    sent = self._sock.sendmsg(
                        [frame], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))], _NO_SIGNAL
                    )
                    for fd in descriptors:
                        os.close(fd)
                else:
                    sent = self._sock.send(frame, _NO_SIGNAL)
            except BlockingIOError:
                return
            except OSError as exc:
                msg = "the other side of the channel is gone"
                raise ChannelClosedError(msg) from exc
            if sent == len(frame):
                self._unsent.popleft()
            else:
                self._unsent[0] = (memoryview(frame)[sent:], ())

    # --- receiving -------------------------------------------------------------------------------------------------------

    def receive(self) -> tuple[Any, list[int]]:
        """Return the next message and its descriptors, waiting for it.

        Raises:
            ChannelClosedError: the other side is gone.
        """
        while (message := self._parse()) is None:
            self._read()
        return message

    def receive_ready(self) -> list[tuple[Any, list[int]]]:
        """Return the messages that are here now, without waiting.

        Raises:
            ChannelClosedError: the other side is gone and nothing of it is left to read.
        """
        closed = None
        try:
            while self._read(_DO_NOT_WAIT):
                pass
        except ChannelClosedError as exc:
            closed = exc
        messages = []
        while (message := self._parse()) is not None:
            messages.append(message)
        if closed is not None and not messages:
            raise closed
        return messages

    def _read(self, flags: int = 0) -> bool:
        """Read what there is; False where that would have to wait, or where this emptied the socket.

        A read ends with the bytes that descriptors came with, whatever is behind them.
        """
        try:
            data, ancillary, _flags, _address = self._sock.recvmsg(
                _READ_BYTES, socket.CMSG_LEN(_MAX_DESCRIPTORS * array.array("i").itemsize), _CLOSE_ON_EXEC | flags
            )
        except BlockingIOError:
            return False
        except OSError as exc:
            msg = "the other side of the channel is gone"
            raise ChannelClosedError(msg) from exc
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors = array.array("i")
                descriptors.frombytes(payload[: len(payload) - len(payload) % descriptors.itemsize])
                self._descriptors.extend(descriptors)
        if not data:
            msg = "the other side of the channel has closed it"
            raise ChannelClosedError(msg)
        self._received += data
        return len(data) == _READ_BYTES or bool(ancillary)

    def _parse(self) -> tuple[Any, list[int]] | None:
        start = self._parsed + _HEADER.size
        if len(self._received) < start:
            return None
        length, count = _HEADER.unpack_from(self._received, self._parsed)
        end = start + length
        if len(self._received) < end:
            if self._parsed:
                del self._received[: self._parsed]
                self._parsed = 0
            return None
        with memoryview(self._received) as view, view[start:end] as payload:
            message = pickle.loads(payload)  # noqa: S301 - both ends were authenticated
        self._parsed = end
        if end == len(self._received):
            self._received.clear()
            self._parsed = 0
        return message, [self._descriptors.popleft() for _ in range(count)]

    def close(self) -> None:
        """Say goodbye and close; a copy of the socket that a forked child inherited cannot keep it open."""
        with contextlib.suppress(OSError):  # it may not be connected any more, which is what closing wants
            self._sock.shutdown(socket.SHUT_RDWR)
        self.abandon()

    def abandon(self) -> None:
        """Close this process's descriptors only: what a forked child does with what it inherited."""
        self._sock.close()
        for fd in self._descriptors:
            os.close(fd)
        self._descriptors.clear()
        for _frame, descriptors in self._unsent:
            for fd in descriptors:
                os.close(fd)
        self._unsent.clear()


_NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)
_DO_NOT_WAIT = socket.MSG_DONTWAIT
_CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
