"""Authenticate a worker's connection: each side proves that it has the pool's key before anything is unpickled.

::

    parent                                        worker
    challenge (random bytes) ──────────────────►
                        ◄─────────────────────── worker number, the worker's challenge, proof
    proof ─────────────────────────────────────►

A proof is an HMAC over the other side's challenge. The worker's side blocks. The parent's side never does: a silent peer is one
more socket in the pool's selector until its deadline. State: that of one connection.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import socket
import struct
import time

HANDSHAKE_SECONDS = 60.0
"""How long the handshake may take before the parent closes the connection."""

_CHALLENGE_BYTES = 32
_ANSWER = struct.Struct(">I32s32s")  # number, challenge, proof


class Handshake:
    """The parent's side of one connection.

    Args:
        sock: the connected socket.
        key: the pool's key.
    """

    def __init__(self, sock: socket.socket, key: bytes) -> None:
        self.sock = sock
        self.deadline = time.monotonic() + HANDSHAKE_SECONDS
        self._key = key
        self._challenge = os.urandom(_CHALLENGE_BYTES)
        self._received = b""
        sock.setblocking(False)  # noqa: FBT003 - the socket's own signature
        sock.send(self._challenge)  # a new socket has room for it

    def proceed(self) -> int | None:
        """Read the available bytes and, once the answer is complete, check it and send the parent's proof.

        Returns:
            The worker's number once its proof is correct; None while the answer is incomplete.

        Raises:
            OSError: the peer has closed the connection or is not a worker of this pool.
        """
        data = self.sock.recv(_ANSWER.size - len(self._received))
        if not data:
            msg = "the peer has closed the connection"
            raise ConnectionError(msg)
        self._received += data
        if len(self._received) < _ANSWER.size:
            return None
        number, challenge, proof = _ANSWER.unpack(self._received)
        if not hmac.compare_digest(proof, _prove(self._key, b"worker", self._challenge)):
            msg = "the peer does not have the pool's key"
            raise ConnectionError(msg)
        self.sock.send(_prove(self._key, b"parent", challenge))
        return int(number)


def connect_to_parent(address: str, number: int, key: bytes) -> socket.socket:
    """Connect to the parent and authenticate: the worker's side.

    Args:
        address: path of the pool's socket.
        number: the worker's number.
        key: the pool's key.

    Returns:
        The connected socket.

    Raises:
        OSError: no process listens at the address, or the process is not the parent.
    """
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.connect(address)
        proof = _prove(key, b"worker", _receive(sock, _CHALLENGE_BYTES))
        challenge = os.urandom(_CHALLENGE_BYTES)
        sock.sendall(_ANSWER.pack(number, challenge, proof))
        is_parent = hmac.compare_digest(_receive(sock, len(proof)), _prove(key, b"parent", challenge))
    except BaseException:
        sock.close()
        raise
    if not is_parent:
        sock.close()
        msg = f"the process that listens at {address} is not the parent of this worker"
        raise ConnectionError(msg)
    return sock


def _prove(key: bytes, side: bytes, challenge: bytes) -> bytes:
    return hmac.digest(key, side + challenge, hashlib.sha256)


def _receive(sock: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        data = sock.recv(size - len(received))
        if not data:
            msg = "the parent has closed the connection"
            raise ConnectionError(msg)
        received += data
    return received
