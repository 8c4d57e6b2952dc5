"""Messages over a connected local socket: length-framed pickles, with file descriptors beside them.

The worker's end blocks. The parent's end never does: what the socket will not take now waits in the channel until the
socket is writable again, so two sides that both have much to say cannot wait for each other.

A frame is a header (payload length, number of descriptors) and a pickled list of messages: what was posted since the last
flush travels, and is pickled, as one. Descriptors travel as SCM_RIGHTS with the first bytes of their frame (unix(7)), so
they are here when the frame is. Both ends have been authenticated before a channel is made of their socket; nothing is
unpickled that did not come from there.
"""

from __future__ import annotations

import array
import contextlib
import errno
import os
import pickle
import socket
import struct
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from treadle.execution.protocol.wire import from_wire, to_wire
from treadle.forks import fork_safe

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEADER = struct.Struct("<QI")
_READ_BYTES = 1 << 18
MAX_DESCRIPTORS = 250
"""Descriptors that a frame carries at most: the kernel's SCM_MAX_FD is 253."""


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
        self.lock = fork_safe(threading.RLock())
        """Held while messages are kept and sent; what a finalizer or a signal handler prints comes while this thread has it."""
        self._flushing = False
        self._posted: list[tuple[Any, int]] = []  # messages of the next frame, each with its number of descriptors
        self._posted_descriptors: list[int] = []
        self._unsent: deque[tuple[memoryview, Sequence[int]]] = deque()
        self._received = bytearray()
        self._parsed = 0  # bytes of it that are done with
        self._descriptors: deque[int] = deque()
        self._messages: deque[tuple[Any, list[int]]] = deque()

    def fileno(self) -> int:
        """Return the socket's descriptor, for a selector."""
        return self._sock.fileno()

    # --- sending ---------------------------------------------------------------------------------------------------------

    def send(self, message: Any, descriptors: Sequence[int] = ()) -> None:
        """Post a message and flush: at the parent's end, as much goes out as the socket takes now.

        Args:
            message: any picklable value that nobody changes any more.
            descriptors: open files that the other side gets; the channel closes them here once they are sent.

        Raises:
            ChannelClosedError: the other side is gone.
        """
        self.post(message, descriptors)
        self.flush()

    def post(self, message: Any, descriptors: Sequence[int] = ()) -> int:
        """Keep a message until the next `flush` or `send`: many small ones then cost one pickle and one system call.

        Args:
            message: any picklable value that nobody changes any more.
            descriptors: open files that the other side gets; the channel closes them here once they are sent.

        Returns:
            How many messages are kept now.
        """
        with self.lock:
            if descriptors:
                if len(descriptors) > MAX_DESCRIPTORS:
                    msg = f"a message carries at most {MAX_DESCRIPTORS} descriptors, not {len(descriptors)}"
                    raise ValueError(msg)
                if len(self._posted_descriptors) + len(descriptors) > MAX_DESCRIPTORS:
                    self._seal()
                self._posted_descriptors += descriptors
            self._posted.append((message, len(descriptors)))
            return len(self._posted)

    def flush(self) -> None:
        """Send what was posted, as far as the socket takes it.

        Raises:
            ChannelClosedError: the other side is gone.
        """
        with self.lock:
            if self._flushing:
                return  # this comes from within a flush of this very thread, which goes on with it
            self._flushing = True
            try:
                self._seal()
                self._flush()
                while self._posted:  # meanwhile
                    self._seal()
                    self._flush()
            finally:
                self._flushing = False

    @property
    def wants_to_write(self) -> bool:
        """True while something waits to be sent."""
        return bool(self._posted or self._unsent)

    def _seal(self) -> None:
        """Make a frame of what was posted."""
        if self._posted:
            posted, descriptors = self._posted, self._posted_descriptors
            self._posted, self._posted_descriptors = [], []
            try:
                payload = pickle.dumps([(*to_wire(message), count) for message, count in posted], protocol=5)
            except Exception:  # any class's own code; who sent it hears of it, and what others posted goes out all the same
                self._keep_what_pickles(posted, descriptors)
                raise
            frame = _HEADER.pack(len(payload), len(descriptors)) + payload
            self._unsent.append((memoryview(frame), descriptors))

    def _keep_what_pickles(self, posted: list[tuple[Any, int]], descriptors: list[int]) -> None:
        arrived = iter(descriptors)
        kept: list[tuple[Any, int]] = []
        kept_descriptors: list[int] = []
        for message, count in posted:
            own = [next(arrived) for _ in range(count)]
            try:
                pickle.dumps(message, protocol=5)
            except Exception:  # noqa: BLE001 - this is the one
                for fd in own:
                    os.close(fd)
            else:
                kept.append((message, count))
                kept_descriptors += own
        self._posted, self._posted_descriptors = kept + self._posted, kept_descriptors + self._posted_descriptors

    def _flush(self) -> None:
        while self._unsent:
            frame, descriptors = self._unsent[0]
            try:
                if descriptors:
                    sent = self._sock.sendmsg(
                        [frame], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))], _NO_SIGNAL
                    )
                    self._unsent[0] = (frame, ())  # an interrupt here must not have them closed twice
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
                self._unsent[0] = (frame[sent:], ())

    # --- receiving -------------------------------------------------------------------------------------------------------

    def receive(self) -> tuple[Any, list[int]]:
        """Return the next message and its descriptors, waiting for it.

        Raises:
            ChannelClosedError: the other side is gone.
        """
        while not self._messages:
            self._read()
            self._parse()
        return self._messages.popleft()

    def receive_all(self) -> list[tuple[Any, list[int]]]:
        """Return the messages that are here, waiting for the first.

        Raises:
            ChannelClosedError: the other side is gone.
        """
        while not self._messages:
            self._read()
            self._parse()
        messages = list(self._messages)
        self._messages.clear()
        return messages

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
        self._parse()
        if closed is not None and not self._messages:
            raise closed
        messages = list(self._messages)
        self._messages.clear()
        return messages

    def _read(self, flags: int = 0) -> bool:
        """Read what there is; False where that would have to wait, or where this emptied the socket.

        A read ends with the bytes that descriptors came with, whatever is behind them.
        """
        try:
            data, ancillary, answer, _address = self._sock.recvmsg(_READ_BYTES, _ROOM_FOR_DESCRIPTORS, _CLOSE_ON_EXEC | flags)
        except BlockingIOError:
            return False
        except OSError as exc:
            msg = "the other side of the channel is gone"
            raise ChannelClosedError(msg) from exc
        if answer & _CUT_SHORT:
            msg = "this process may not open more files (ulimit -n), so it cannot take what another one sent"
            raise OSError(errno.EMFILE, msg)
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

    def _parse(self) -> None:
        """Take the whole frames out of what was read."""
        while len(self._received) - self._parsed >= _HEADER.size:
            start = self._parsed + _HEADER.size
            length, _count = _HEADER.unpack_from(self._received, self._parsed)
            end = start + length
            if len(self._received) < end:
                break
            with memoryview(self._received) as view, view[start:end] as payload:
                frame = pickle.loads(payload)  # noqa: S301 - both ends were authenticated
            self._parsed = end
            for tag, message, count in frame:
                self._messages.append(
                    (from_wire(tag, message), [self._descriptors.popleft() for _ in range(count)] if count else [])
                )
        if self._parsed:
            del self._received[: self._parsed]
            self._parsed = 0

    def close(self) -> None:
        """Say goodbye and close; a copy of the socket that a forked child inherited cannot keep it open."""
        with contextlib.suppress(OSError):  # it may not be connected any more, which is what closing wants
            self._sock.shutdown(socket.SHUT_RDWR)
        self.abandon()

    def abandon(self) -> None:
        """Close this process's descriptors only: what a forked child does with what it inherited."""
        self._sock.close()
        received = [fd for _message, descriptors in self._messages for fd in descriptors]
        unsent = [fd for _frame, descriptors in self._unsent for fd in descriptors]
        for fd in (*self._descriptors, *received, *unsent, *self._posted_descriptors):
            os.close(fd)
        self._descriptors.clear()
        self._messages.clear()
        self._unsent.clear()
        self._posted, self._posted_descriptors = [], []
        self.lock = fork_safe(threading.RLock())  # the one that was inherited may be held by a thread that was not


# Plain integers: to combine two members of an enum costs more than the system call.
_NO_SIGNAL = int(getattr(socket, "MSG_NOSIGNAL", 0))
_DO_NOT_WAIT = int(socket.MSG_DONTWAIT)
_CLOSE_ON_EXEC = int(getattr(socket, "MSG_CMSG_CLOEXEC", 0))
_CUT_SHORT = int(socket.MSG_CTRUNC)
_ROOM_FOR_DESCRIPTORS = socket.CMSG_LEN(MAX_DESCRIPTORS * array.array("i").itemsize)
