"""The checks that every request passes before it reaches an endpoint, and the headers that every response gets.

A server on a loopback address needs no token, but the browser of this machine can reach it on behalf of any website. So the
header `Host` must name a loopback address (a website could otherwise have its own name resolve to 127.0.0.1), and a request that
a browser sends for another origin is refused. On any other address a token is needed.

State: none. Neighbour: `app.py` puts the middleware around the application.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from treadle.server.options import ServerOptions

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_WITHOUT_TOKEN = frozenset({"/health", "/ready"})
"""What a load balancer asks for; it says nothing about the project."""
_CHANGES_NOTHING = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"x-frame-options", b"DENY"),
)
_POLICY = b"default-src 'none'; frame-ancestors 'none'"


class Guard:
    """Refuse requests that are not allowed.

    Args:
        application: gets the others.
        options: of the server.
    """

    def __init__(self, application: Application, options: ServerOptions) -> None:
        self._application = application
        self._token = None if options.token is None else options.token.encode()
        self._hosts = _LOOPBACK_HOSTS | {each.lower() for each in options.allowed_hosts} if options.is_loopback else None
        self._max_body = options.max_body

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Check a request."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _value in message["headers"]}
                extra = [*_HEADERS, (b"content-security-policy", _POLICY)]
                message["headers"] = [*message["headers"], *(each for each in extra if each[0] not in given)]
            await send(message)

        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _refuse(send_with_headers, *refusal)
            return
        await self._with_limit(scope, receive, send_with_headers)

    def _refusal(self, scope: MutableMapping[str, Any], headers: dict[bytes, bytes]) -> tuple[int, str, str] | None:
        host = headers.get(b"host", b"").decode("latin-1")
        if self._hosts is not None and _host_name(host) not in self._hosts:
            return 421, "WrongHost", "The header Host names another machine. Use the address that the server printed."
        origin = headers.get(b"origin")
        if origin is not None and _place(origin.decode("latin-1")) != host:
            return 403, "WrongOrigin", "A page of another website may not use this server."
        if scope["method"] not in _CHANGES_NOTHING and headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin"):
            return 403, "WrongOrigin", "A page of another website may not use this server."
        if self._token is not None and scope["path"] not in _WITHOUT_TOKEN and not self._knows_token(headers):
            return 401, "Unauthorized", "Send the token of the server in the header `Authorization: Bearer TOKEN`."
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._max_body:
            return 413, "TooLarge", f"A request may have at most {self._max_body} bytes."
        return None

    def _knows_token(self, headers: dict[bytes, bytes]) -> bool:
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"basic":  # of a browser, which asks its user; any user name
            try:
                _user, _, given = base64.b64decode(given, validate=True).partition(b":")
            except binascii.Error:
                return False
        elif scheme.lower() != b"bearer":
            return False
        return self._token is not None and hmac.compare_digest(given.strip(), self._token)

    async def _with_limit(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Call the application; a body without a declared length is cut off at the limit."""
        received, is_refused = 0, False

        async def limited() -> Message:
            nonlocal received, is_refused
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_body and not is_refused:
                is_refused = True
                await _refuse(send, 413, "TooLarge", f"A request may have at most {self._max_body} bytes.")
                raise _TooLargeError
            return message

        async def unless_refused(message: Message) -> None:
            if not is_refused:  # the application answers the exception, too
                await send(message)

        with suppress(_TooLargeError):
            await self._application(scope, limited, unless_refused)


class _TooLargeError(Exception):
    """The body of a request is longer than the limit."""


def _host_name(host: str) -> str:
    """Return the name in a header `Host`, without the port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _place(origin: str) -> str | None:
    """Return the host and port in a header `Origin`; None if it is no URL."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


async def _refuse(send: Send, status: int, type_name: str, message: str) -> None:
    body = json.dumps({"error": {"type": type_name, "message": message}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers += [(b"www-authenticate", b'Bearer realm="treadle"'), (b"www-authenticate", b'Basic realm="treadle"')]
    if status == 413:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
