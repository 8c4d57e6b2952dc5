"""The socket that workers connect to: which peers are accepted, and that no peer can block the others."""

from __future__ import annotations

import selectors
import socket
import threading

import pytest

from treadle.execution.executors.loky.listener import ConnectionListener
from treadle.execution.processes import handshake
from treadle.execution.processes.handshake import connect_to_parent

KEY = b"the key of this pool"


class ListeningPool:
    """A listener with its selector, and the workers that connected."""

    def __init__(self, path):
        self.path = str(path)
        self.selector = selectors.DefaultSelector()
        self.connected = {}
        self.listener = ConnectionListener(self.path, KEY, 2, self.selector, self.worker_connected)

    def worker_connected(self, number, sock):
        self.connected[number] = sock
        return True

    def wait(self, seconds=0.0):
        """Handle events as a pool does in its `wait`."""
        for key, mask in self.selector.select(self.listener.seconds_to_wait(seconds)):
            key.data(mask)

    def wait_while(self, thread):
        while thread.is_alive():
            self.wait(0.01)

    def connect(self):
        stranger = socket.socket(socket.AF_UNIX)
        stranger.settimeout(20)
        stranger.connect(self.path)
        self.wait(20)
        assert len(stranger.recv(100)) == 32
        return stranger


@pytest.fixture
def pool(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path has to be short
    made = ListeningPool("socket")
    yield made
    made.listener.close()
    made.selector.close()
    for sock in made.connected.values():
        sock.close()


def _worker(pool, number, key=KEY):
    outcome = []

    def connect():
        try:
            outcome.append(connect_to_parent(pool.path, number, key))
        except ConnectionError as exc:
            outcome.append(exc)

    thread = threading.Thread(target=connect)
    thread.start()
    pool.wait_while(thread)
    return outcome[0]


def test_a_worker_connects_while_other_peers_are_silent(pool):
    """Peers that send nothing, or half of a handshake, do not block a worker; what it sends next is not lost."""
    silent, slow = pool.connect(), pool.connect()
    slow.send(b"half")
    pool.wait(20)
    with _worker(pool, 2) as sock:
        sock.send(b"hello")
        assert list(pool.connected) == [2]
        assert pool.connected[2].recv(100) == b"hello"
    silent.close()
    slow.close()


def test_a_peer_without_the_key_is_refused(pool):
    """Nothing that it sends is unpickled."""
    assert isinstance(_worker(pool, 1, b"another key"), ConnectionError)
    assert pool.connected == {}


def test_a_parent_without_the_key_is_refused(tmp_path, monkeypatch):
    """A worker accepts no commands from a process that listens in its parent's place."""
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        listener.listen()

        def pretend():
            sock, _address = listener.accept()
            with sock:
                sock.sendall(bytes(32))
                sock.recv(68, socket.MSG_WAITALL)
                sock.sendall(bytes(32))

        thread = threading.Thread(target=pretend)
        thread.start()
        with pytest.raises(ConnectionError, match="is not the parent of this worker"):
            connect_to_parent("socket", 1, KEY)
        thread.join()


def test_a_silent_peer_is_dropped_in_time(pool, monkeypatch):
    """The pool's wait ends when the first handshake is due."""
    monkeypatch.setattr(handshake, "HANDSHAKE_SECONDS", 0.05)
    stranger = pool.connect()
    assert pool.listener.seconds_to_wait(None) <= 0.05
    while pool.listener._handshakes:
        pool.wait(1)
    assert stranger.recv(1) == b""
    assert pool.listener.seconds_to_wait(None) is None
    stranger.close()
