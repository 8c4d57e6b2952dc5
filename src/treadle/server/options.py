"""The options of a server, as one value. State: none; it is immutable."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from treadle.errors import ServerError

TOKEN_VARIABLE = "TREADLE_SERVER_TOKEN"  # noqa: S105 - the name of the environment variable, not a token
_SHORTEST_TOKEN = 16


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a server behaves.

    Attributes:
        host: the address to listen on.
        port: the port; 0 for any free one.
        token: what clients must send; None if none is needed, which is only allowed on a loopback address.
        allowed_hosts: further values of the header `Host` that are accepted on a loopback address.
        max_queued: how many runs may wait; more are refused.
        max_body: bytes of the longest request that is accepted.
        grace: seconds that the current run may take to end after SIGTERM.
        heartbeat: seconds of silence after which a stream of events gets a comment, so that connections stay open.
        keep_results: how many ended runs keep their outputs in memory.
        debug_errors: whether errors in responses contain paths of this machine and tracebacks.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    max_queued: int = 1000
    max_body: int = 10 * 2**20
    grace: float = 30.0
    heartbeat: float = 15.0
    keep_results: int = 100
    debug_errors: bool = False

    @property
    def is_loopback(self) -> bool:
        """Whether only programs of this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def check(self) -> None:
        """Raise if other machines could connect without a token.

        Raises:
            ServerError: they could.
        """
        if self.token is None and not self.is_loopback:
            msg = (
                f"The server does not listen on {self.host} without a token, because anyone who can reach this machine could run "
                f"the project. Put a secret of at least {_SHORTEST_TOKEN} characters into the environment variable "
                f"{TOKEN_VARIABLE} or into a file for --token-file, or listen on 127.0.0.1."
            )
            raise ServerError(msg)


def read_token(file: Path | None = None) -> str | None:
    """Return the token that clients must send.

    Args:
        file: a file that contains it; by default the environment variable `TREADLE_SERVER_TOKEN` is used.

    Returns:
        The token; None if neither has one.

    Raises:
        ServerError: the file cannot be read, or the token is too short.
    """
    source, token = f"environment variable {TOKEN_VARIABLE}", os.environ.get(TOKEN_VARIABLE)
    if file is not None:
        source = f"file {file}"
        try:
            token = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            msg = f"The token cannot be read from the {source}: {exc}. Give --token-file a text file that this user can read."
            raise ServerError(msg) from exc
    if token is None or (file is None and not token):
        return None
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        msg = (
            f"The token in the {source} is not usable: it must have at least {_SHORTEST_TOKEN} printable ASCII characters. "
            'Make one with `python -c "import secrets; print(secrets.token_urlsafe())"`.'
        )
        raise ServerError(msg)
    return token
