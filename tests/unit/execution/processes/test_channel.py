"""Channel: framed messages with file descriptors over a local socket."""

from __future__ import annotations

import gc
import os
import pickle
import resource
import selectors
import socket
import threading
from pathlib import Path

import pytest

from treadle.execution.processes.channel import Channel, ChannelClosedError


@pytest.fixture
def ends():
    """Make the two ends of a connection: the parent's, which never blocks, and the worker's, which does."""
    made = []

    def make(buffer_bytes=None):
        parent, worker = socket.socketpair()
        if buffer_bytes is not None:
            for sock in (parent, worker):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        made[:] = [Channel(parent, blocking=False), Channel(worker, blocking=True)]
        return made

    yield make
    for channel in made:
        channel.close()


def open_descriptors():
    gc.collect()  # what nobody has any more is closed first, and not in the middle of a test
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_messages_arrive_whole_and_in_order(ends):
    """Messages are received one at a time, complete and in order."""
    parent, worker = ends()
    for number in range(50):
        parent.send({"number": number, "payload": b"x" * number})
    assert [worker.receive()[0]["number"] for _ in range(50)] == list(range(50))


def test_a_message_sent_during_a_flush_follows_it(ends):
    """A finalizer that prints while this thread flushes does not block, and its message is sent too."""
    parent, worker = ends()

    class Speaks:
        def __reduce__(self):
            worker.send("meanwhile")
            return str, ("first",)

    worker.send(Speaks())
    assert [message for message, _ in parent.receive_ready()] == ["first", "meanwhile"]


def test_an_unpicklable_message_does_not_affect_others(ends):
    """The caller gets the error; messages that were posted before are sent by the next flush, with their descriptors."""
    parent, worker = ends()
    before = open_descriptors()
    worker.post("first", [os.dup(0)])
    worker.post("second")
    with pytest.raises((AttributeError, pickle.PicklingError), match="local"):
        worker.send(lambda: None, [os.dup(0)])
    worker.send("third")
    received = parent.receive_ready()
    assert [(message, len(descriptors)) for message, descriptors in received] == [("first", 1), ("second", 0), ("third", 0)]
    os.close(received[0][1][0])
    assert open_descriptors() == before


def test_posted_messages_wait_for_a_flush(ends):
    """Posted messages are sent together by the next flush or send."""
    parent, worker = ends()
    worker.post("one")
    worker.post("two")
    assert worker.wants_to_write
    assert parent.receive_ready() == []
    worker.send("three")
    assert not worker.wants_to_write
    assert parent.receive_ready() == [("one", []), ("two", []), ("three", [])]


def test_nothing_to_read_is_no_message(ends):
    """`receive_ready` does not block at either end."""
    for channel in ends():
        assert channel.receive_ready() == []


def test_a_message_larger_than_the_buffers_is_sent_in_parts(ends):
    """The parent keeps what the socket does not accept, and sends it with the next flush."""
    parent, worker = ends(4096)
    big = os.urandom(1_000_000)
    parent.send(big)
    assert parent.wants_to_write
    received = []
    reader = threading.Thread(target=lambda: received.append(worker.receive()))
    reader.start()
    with selectors.DefaultSelector() as selector:
        selector.register(parent, selectors.EVENT_WRITE)
        while parent.wants_to_write:
            selector.select()
            parent.flush()
    reader.join()
    assert received == [(big, [])]


def test_both_sides_may_flood_each_other(ends):
    """If both sides send much at the same time, both receive all of it."""
    parent, worker = ends(4096)
    messages = [os.urandom(3000) for _ in range(200)]
    echoed = []

    def serve():
        for message in messages:
            worker.send(message)
        echoed.extend(worker.receive()[0] for _ in messages)

    thread = threading.Thread(target=serve)
    thread.start()
    for message in messages:
        parent.send(message)
    received = []
    with selectors.DefaultSelector() as selector:
        selector.register(parent, selectors.EVENT_READ | selectors.EVENT_WRITE)
        while parent.wants_to_write or len(received) < len(messages):
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if parent.wants_to_write else 0)
            selector.modify(parent, events)
            for _key, mask in selector.select():
                if mask & selectors.EVENT_WRITE:
                    parent.flush()
                if mask & selectors.EVENT_READ:
                    received += [message for message, _ in parent.receive_ready()]
    thread.join()
    assert received == messages
    assert echoed == messages


def test_many_threads_may_send_at_once(ends):
    """Messages that several threads send at the same time do not mix."""
    parent, worker = ends()
    threads = [threading.Thread(target=lambda name=name: [worker.send((name, index)) for index in range(100)]) for name in "abcd"]
    for thread in threads:
        thread.start()
    received = []
    with selectors.DefaultSelector() as selector:
        selector.register(parent, selectors.EVENT_READ)
        while len(received) < 400:
            selector.select()
            received += [message for message, _ in parent.receive_ready()]
    for thread in threads:
        thread.join()
    for name in "abcd":
        assert [index for sender, index in received if sender == name] == list(range(100))


def test_descriptors_are_sent_with_their_message(ends, tmp_path):
    """The receiver gets a new descriptor of the same file, closed on exec, with its message."""
    parent, worker = ends()
    for number in range(3):
        path = tmp_path / str(number)
        path.write_text(str(number))
        worker.send(number, [os.open(path, os.O_RDONLY) for _ in range(number)])
        worker.send("between")
    received = [item for item in parent.receive_ready() if item[0] != "between"]
    assert [message for message, _ in received] == [0, 1, 2]
    for number, descriptors in received:
        assert len(descriptors) == number
        for fd in descriptors:
            assert not os.get_inheritable(fd)
            assert os.pread(fd, 10, 0) == str(number).encode()
            os.close(fd)


def test_all_messages_are_read_across_descriptors(ends):
    """The kernel ends a read at descriptors; one call still returns every message that has arrived."""
    parent, worker = ends()
    read, write = os.pipe()
    for number in range(20):
        worker.send(number, [os.dup(read)])
    messages = parent.receive_ready()
    assert [message for message, _ in messages] == list(range(20))
    for fd in (read, write, *(fd for _, descriptors in messages for fd in descriptors)):
        os.close(fd)


def test_a_waiting_message_keeps_its_descriptors(ends):
    """Descriptors stay open until their message is sent, and are then closed in this process."""
    parent, worker = ends(4096)
    parent.send(b"x" * 500_000)
    read, write = os.pipe()
    parent.send("pipe", [read])
    assert os.fstat(read)
    os.write(write, b"through")
    os.close(write)
    received = []
    reader = threading.Thread(target=lambda: received.extend((worker.receive(), worker.receive())))
    reader.start()
    with selectors.DefaultSelector() as selector:
        selector.register(parent, selectors.EVENT_WRITE)
        while parent.wants_to_write:
            selector.select()
            parent.flush()
    reader.join()
    (fd,) = received[1][1]
    assert os.read(fd, 10) == b"through"
    os.close(fd)
    if read != fd:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(read)


def test_too_many_descriptors_are_refused(ends):
    """More descriptors than the kernel allows in a message are an error before anything is sent."""
    parent, _worker = ends()
    with pytest.raises(ValueError, match="at most 250 descriptors, not 251"):
        parent.send("many", [0] * 251)


def test_as_many_descriptors_as_allowed_arrive(ends):
    """250 descriptors arrive."""
    parent, worker = ends()
    read, write = os.pipe()
    parent.send("many", [os.dup(read) for _ in range(250)])
    _message, descriptors = worker.receive()
    assert len(descriptors) == 250
    for fd in (read, write, *descriptors):
        os.close(fd)


def test_a_closed_peer_is_an_error_on_both_ways(ends):
    """Reading from and writing to a closed connection raises an error."""
    parent, worker = ends()
    parent.close()
    with pytest.raises(ChannelClosedError, match=r"closed"):
        worker.receive()
    with pytest.raises(ChannelClosedError, match="closed"):
        worker.send("hello")


def test_messages_sent_before_closing_are_received(ends):
    """Messages that arrived before the other side closed are returned before the error."""
    parent, worker = ends()
    worker.send("last words")
    worker.close()
    assert parent.receive_ready() == [("last words", [])]
    with pytest.raises(ChannelClosedError):
        parent.receive_ready()


def test_closing_works_while_a_copy_of_the_socket_is_open(ends):
    """The other side sees the end of the connection, even if a forked child has a copy of the socket."""
    parent, worker = ends()
    copy = os.dup(parent.fileno())
    parent.close()
    with pytest.raises(ChannelClosedError):
        worker.receive()
    os.close(copy)


def test_abandoning_does_not_end_the_connection(ends):
    """A child that abandons its copy does not end the parent's connection."""
    parent, worker = ends()
    Channel(socket.socket(fileno=os.dup(parent.fileno())), blocking=False).abandon()
    parent.send("still here")
    assert worker.receive() == ("still here", [])


def test_closing_closes_every_descriptor():
    """Sent, waiting and unread descriptors are all closed with the channel."""
    before = open_descriptors()
    left, right = socket.socketpair()
    for sock in (left, right):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    parent, worker = Channel(left, blocking=False), Channel(right, blocking=True)
    read, write = os.pipe()
    parent.send("arrives unread", [os.dup(read)])
    parent.send(b"x" * 500_000)
    parent.send("waits", [read, write])
    assert parent.wants_to_write
    assert worker.receive_ready()[0][1]
    parent.close()
    worker.close()
    assert len(open_descriptors() - before) == 1  # the one that was handed out is the receiver's
    for name in open_descriptors() - before:
        os.close(int(name))


def test_waiting_until_something_has_arrived(ends):
    parent, worker = ends()
    assert not worker.wait_readable(0)
    parent.send("first")
    parent.send("second")
    assert worker.wait_readable(10)
    assert worker.receive() == ("first", [])
    assert worker.wait_readable(0)  # it may have read the second message already


def test_descriptors_that_arrived_are_closed_if_there_is_no_room_for_the_others():
    """The kernel installs as many as fit; the message is lost."""
    before = open_descriptors()
    parent, worker = (Channel(sock, blocking=True) for sock in socket.socketpair())
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    parent.send("files", [os.open(os.devnull, os.O_RDONLY) for _ in range(3)])
    probe = [os.open(os.devnull, os.O_RDONLY) for _ in range(3)]
    for fd in probe:
        os.close(fd)
    resource.setrlimit(resource.RLIMIT_NOFILE, (sorted(probe)[1] + 1, limits[1]))  # room for two of them
    try:
        with pytest.raises(OSError, match="may not open more files"):
            worker.receive()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    for channel in (parent, worker):
        channel.close()
    assert open_descriptors() == before
