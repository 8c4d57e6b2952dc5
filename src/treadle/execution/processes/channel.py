"""Messages over a connected local socket: length-prefixed pickles, optionally with file descriptors.

Used by the parent and the workers. The worker's end blocks. The parent's end never does: it buffers what the socket does not
accept and sends it when the socket is writable again, so the two sides cannot deadlock when both send much.

A frame is a header (payload length, number of descriptors) and a pickled list of messages. All messages posted since the last
flush are pickled together and sent as one frame. Descriptors are sent as SCM_RIGHTS with the first bytes of their frame
(unix(7)), so they have arrived when the frame is complete. A worker takes its end along when it is started (`connection.py`), so
only data of the pool's own processes is unpickled.
"""

from __future__ import annotations

import array
import contextlib
import errno
import os
import pickle
import select
import socket
import struct
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from treadle.execution.protocol.wire import from_wire, to_wire
from treadle.forks import fork_safe

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_HEADER = struct.Struct("<QI")
_READ_BYTES = 1 << 16  # the C library maps and unmaps larger buffers each time, which takes four times as long as the read
MAX_DESCRIPTORS = 250
"""Maximum number of descriptors in a frame: the kernel's SCM_MAX_FD is 253."""


class ChannelClosedError(ConnectionError):
    """The other process has closed the connection or has ended."""


class Channel:
    """One end of the connection between the parent and a worker.

    Args:
        sock: a connected stream socket. The channel takes ownership and closes it.
        blocking: True at the worker's end.
    """

    def __init__(self, sock: socket.socket, *, blocking: bool) -> None:
        self._sock = sock
        self._sock.setblocking(blocking)
        self.lock = fork_safe(threading.RLock())
        """Held while messages are posted and sent. Reentrant, because a finalizer or signal handler may print meanwhile."""
        self._flushing = False
        self._posted: list[tuple[Any, int]] = []  # messages of the next frame, each with its number of descriptors
        self._posted_descriptors: list[int] = []
        self._unsent: deque[tuple[memoryview, Sequence[int]]] = deque()
        self._received = bytearray()
        self._parsed = 0  # number of bytes of `_received` that are already parsed
        self._descriptors: deque[int] = deque()
        self._messages: deque[tuple[Any, list[int]]] = deque()

    def fileno(self) -> int:
        """Return the socket's descriptor, for a selector."""
        return self._sock.fileno()

    # --- sending ---------------------------------------------------------------------------------------------------------

    def send(self, message: Any, descriptors: Sequence[int] = ()) -> None:
        """Post a message and flush.

        Args:
            message: any picklable value. It must not be changed afterwards.
            descriptors: open files for the other process. The channel closes them in this process once they are sent.

        Raises:
            ChannelClosedError: the other process has closed the connection or has ended.
        """
        self.post(message, descriptors)
        self.flush()

    def post(self, message: Any, descriptors: Sequence[int] = ()) -> int:
        """Queue a message until the next `flush` or `send`, so that many small messages cost one pickle and one system call.

        Args:
            message: any picklable value. It must not be changed afterwards.
            descriptors: open files for the other process. The channel closes them in this process once they are sent.

        Returns:
            The number of messages in the queue.
        """
        with self.lock:
            if descriptors:
                if len(descriptors) > MAX_DESCRIPTORS:
                    msg = f"a message carries at most {MAX_DESCRIPTORS} descriptors, not {len(descriptors)}"
                    raise ValueError(msg)
                if len(self._posted_descriptors) + len(descriptors) > MAX_DESCRIPTORS:
                    self._make_frame()
                self._posted_descriptors += descriptors
            self._posted.append((message, len(descriptors)))
            return len(self._posted)

    def post_all(self, messages: Iterable[Any]) -> None:
        """Queue messages without descriptors until the next `flush` or `send`, as `post` does with one."""
        with self.lock:
            self._posted += [(message, 0) for message in messages]

    def flush(self) -> None:
        """Send the posted messages. The parent's end keeps what the socket does not accept now for the next flush.

        Raises:
            ChannelClosedError: the other process has closed the connection or has ended.
        """
        with self.lock:
            if self._flushing:
                return  # called by a finalizer or signal handler during a flush of this thread, which sends the new messages too
            self._flushing = True
            try:
                self._make_frame()
                self._write_frames()
                while self._posted:  # posted by a finalizer or signal handler during the flush
                    self._make_frame()
                    self._write_frames()
            finally:
                self._flushing = False

    @property
    def wants_to_write(self) -> bool:
        """Whether there are unsent messages."""
        return bool(self._posted or self._unsent)

    def _make_frame(self) -> None:
        """Pickle the posted messages into one frame and queue it for writing."""
        if self._posted:
            posted, descriptors = self._posted, self._posted_descriptors
            self._posted, self._posted_descriptors = [], []
            try:
                payload = pickle.dumps(to_wire(posted), protocol=5)
            except Exception:  # pickling runs code of any class: the caller gets the error, the other messages stay queued
                self._drop_unpicklable(posted, descriptors)
                raise
            frame = _HEADER.pack(len(payload), len(descriptors)) + payload
            self._unsent.append((memoryview(frame), descriptors))

    def _drop_unpicklable(self, posted: list[tuple[Any, int]], descriptors: list[int]) -> None:
        """Put the messages that can be pickled back into the queue; close the descriptors of the others."""
        remaining = iter(descriptors)
        kept: list[tuple[Any, int]] = []
        kept_descriptors: list[int] = []
        for message, count in posted:
            of_message = [next(remaining) for _ in range(count)]
            try:
                pickle.dumps(message, protocol=5)
            except Exception:  # noqa: BLE001 - the caller raises it
                for fd in of_message:
                    os.close(fd)
            else:
                kept.append((message, count))
                kept_descriptors += of_message
        self._posted, self._posted_descriptors = kept + self._posted, kept_descriptors + self._posted_descriptors

    def _write_frames(self) -> None:
        while self._unsent:
            frame, descriptors = self._unsent[0]
            try:
                if descriptors:
                    sent = self._sock.sendmsg(
                        [frame], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))], _NO_SIGNAL
                    )
                    self._unsent[0] = (frame, ())  # first, so that an interrupt cannot make another flush close them again
                    for fd in descriptors:
                        os.close(fd)
                else:
                    sent = self._sock.send(frame, _NO_SIGNAL)
            except BlockingIOError:
                return
            except OSError as exc:
                msg = "the other process has closed the connection or has ended"
                raise ChannelClosedError(msg) from exc
            if sent == len(frame):
                self._unsent.popleft()
            else:
                self._unsent[0] = (frame[sent:], ())

    # --- receiving -------------------------------------------------------------------------------------------------------

    def wait_readable(self, seconds: float) -> bool:
        """Wait until the next message has arrived, at least in part.

        Args:
            seconds: the longest wait.

        Returns:
            False if nothing has arrived.
        """
        if self._messages:
            return True
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def receive(self) -> tuple[Any, list[int]]:
        """Return the next message and its descriptors. Blocks until there is one.

        Raises:
            ChannelClosedError: the other process has closed the connection or has ended.
        """
        while not self._messages:
            self._read()
            self._parse()
        return self._messages.popleft()

    def receive_all(self) -> list[tuple[Any, list[int]]]:
        """Return all messages that have arrived. Blocks until there is at least one.

        Raises:
            ChannelClosedError: the other process has closed the connection or has ended.
        """
        while not self._messages:
            self._read()
            self._parse()
        messages = list(self._messages)
        self._messages.clear()
        return messages

    def receive_ready(self) -> list[tuple[Any, list[int]]]:
        """Return all messages that have arrived, without blocking.

        Raises:
            ChannelClosedError: the other process has closed the connection or has ended, and all its messages were returned.
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
        """Read from the socket once.

        Returns:
            True if the socket may have more data: the read filled the buffer, or it returned descriptors (a read stops after
            the bytes that descriptors were sent with). False if the socket is empty.
        """
        try:
            data, ancillary, message_flags, _address = self._sock.recvmsg(
                _READ_BYTES, _ROOM_FOR_DESCRIPTORS, _CLOSE_ON_EXEC | flags
            )
        except BlockingIOError:
            return False
        except OSError as exc:
            msg = "the other process has closed the connection or has ended"
            raise ChannelClosedError(msg) from exc
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors = array.array("i")
                descriptors.frombytes(payload[: len(payload) - len(payload) % descriptors.itemsize])
                self._descriptors.extend(descriptors)
        if message_flags & _TRUNCATED:  # `close` closes those that have arrived
            msg = "this process may not open more files (ulimit -n), so it cannot receive a value that another process sent"
            raise OSError(errno.EMFILE, msg)
        if not data:
            msg = "the other process has closed the connection"
            raise ChannelClosedError(msg)
        self._received += data
        return len(data) == _READ_BYTES or bool(ancillary)

    def _parse(self) -> None:
        """Unpickle the complete frames that were read."""
        while len(self._received) - self._parsed >= _HEADER.size:
            start = self._parsed + _HEADER.size
            length, _count = _HEADER.unpack_from(self._received, self._parsed)
            end = start + length
            if len(self._received) < end:
                break
            with memoryview(self._received) as view, view[start:end] as payload:
                frame = pickle.loads(payload)  # noqa: S301 - both ends belong to the pool
            self._parsed = end
            for tag, converted, count in frame:
                messages = from_wire(tag, converted)
                if count:
                    self._messages.append((messages[0], [self._descriptors.popleft() for _ in range(count)]))
                else:
                    self._messages.extend([(message, []) for message in messages])
        if self._parsed:
            del self._received[: self._parsed]
            self._parsed = 0

    def close(self) -> None:
        """Shut down the connection, even if a forked child has a copy of the socket, and close all descriptors."""
        with contextlib.suppress(OSError):  # the connection may be down already
            self._sock.shutdown(socket.SHUT_RDWR)
        self.abandon()

    def abandon(self) -> None:
        """Close the descriptors of this process without shutting down the connection: for a forked child's inherited copy."""
        self._sock.close()
        received = [fd for _message, descriptors in self._messages for fd in descriptors]
        unsent = [fd for _frame, descriptors in self._unsent for fd in descriptors]
        for fd in (*self._descriptors, *received, *unsent, *self._posted_descriptors):
            os.close(fd)
        self._descriptors.clear()
        self._messages.clear()
        self._unsent.clear()
        self._posted, self._posted_descriptors = [], []
        self.lock = fork_safe(threading.RLock())  # a thread of the parent that the child lacks may hold the inherited lock


# Plain integers: combining two enum members costs more than the system call.
_NO_SIGNAL = int(getattr(socket, "MSG_NOSIGNAL", 0))
_DO_NOT_WAIT = int(socket.MSG_DONTWAIT)
_CLOSE_ON_EXEC = int(getattr(socket, "MSG_CMSG_CLOEXEC", 0))
_TRUNCATED = int(socket.MSG_CTRUNC)
_ROOM_FOR_DESCRIPTORS = socket.CMSG_LEN(MAX_DESCRIPTORS * array.array("i").itemsize)
