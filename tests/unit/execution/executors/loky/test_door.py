"""The socket at which workers connect: who is let in, and that nobody can hold up the others."""

from __future__ import annotations

import selectors
import socket
import threading

import pytest

from treadle.execution.executors.loky.door import Door
from treadle.execution.processes import handshake
from treadle.execution.processes.handshake import connect_to_parent

KEY = b"the key of this pool"


class Gatekeeper:
    """A door with its selector, and who entered."""

    def __init__(self, path):
        self.path = str(path)
        self.selector = selectors.DefaultSelector()
        self.entered = {}
        self.door = Door(self.path, KEY, 2, self.selector, self.enter)

    def enter(self, number, sock):
        self.entered[number] = sock
        return True

    def turn(self, seconds=0.0):
        """Do what a pool does in its wait."""
        for key, mask in self.selector.select(self.door.seconds_to_wait(seconds)):
            key.data(mask)

    def turn_while(self, thread):
        while thread.is_alive():
            self.turn(0.01)

    def knock(self):
        stranger = socket.socket(socket.AF_UNIX)
        stranger.settimeout(20)
        stranger.connect(self.path)
        self.turn(20)
        assert len(stranger.recv(100)) == 32
        return stranger


@pytest.fixture
def gatekeeper(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path has to be short
    made = Gatekeeper("door")
    yield made
    made.door.close()
    made.selector.close()
    for sock in made.entered.values():
        sock.close()


def _worker(gatekeeper, number, key=KEY):
    outcome = []

    def connect():
        try:
            outcome.append(connect_to_parent(gatekeeper.path, number, key))
        except ConnectionError as exc:
            outcome.append(exc)

    thread = threading.Thread(target=connect)
    thread.start()
    gatekeeper.turn_while(thread)
    return outcome[0]


def test_a_worker_enters_while_others_are_silent(gatekeeper):
    """Peers that say nothing, or half of it, hold nobody up; what the worker sends next is not lost."""
    silent, slow = gatekeeper.knock(), gatekeeper.knock()
    slow.send(b"half")
    gatekeeper.turn(20)
    with _worker(gatekeeper, 2) as sock:
        sock.send(b"hello")
        assert list(gatekeeper.entered) == [2]
        assert gatekeeper.entered[2].recv(100) == b"hello"
    silent.close()
    slow.close()


def test_a_peer_without_the_key_is_turned_away(gatekeeper):
    """Nothing of what it sends is unpickled."""
    assert isinstance(_worker(gatekeeper, 1, b"another key"), ConnectionError)
    assert gatekeeper.entered == {}


def test_a_parent_without_the_key_is_found_out(tmp_path, monkeypatch):
    """A worker takes no orders from a process that listens in its parent's place."""
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("door")
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
            connect_to_parent("door", 1, KEY)
        thread.join()


def test_a_silent_peer_is_dropped_in_time(gatekeeper, monkeypatch):
    """The pool's wait ends when the first of them is due."""
    monkeypatch.setattr(handshake, "HANDSHAKE_SECONDS", 0.05)
    stranger = gatekeeper.knock()
    assert gatekeeper.door.seconds_to_wait(None) <= 0.05
    while gatekeeper.door._handshakes:
        gatekeeper.turn(1)
    assert stranger.recv(1) == b""
    assert gatekeeper.door.seconds_to_wait(None) is None
    stranger.close()
