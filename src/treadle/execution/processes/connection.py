"""One end of a socket pair that a new process takes along: the private connection between the parent and a worker.

Nothing listens, so no other process can connect, and the worker can send messages before the parent reads them. A forked process
inherits the descriptor; otherwise multiprocessing sends it with the process's arguments. State: the socket.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Connection:
    """The worker's end; it can be pickled only as an argument of a process that is being started.

    Args:
        sock: a connected socket. This process closes its copy once the process has been started.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def __reduce__(self) -> tuple[Callable[[Any], Connection], tuple[Any]]:
        from multiprocessing.reduction import DupFd

        return _received, (DupFd(self.sock.fileno()),)


def _received(descriptor: Any) -> Connection:
    """Unpickle in the new process."""
    sock = socket.socket(fileno=descriptor.detach())
    sock.set_inheritable(False)
    return Connection(sock)
