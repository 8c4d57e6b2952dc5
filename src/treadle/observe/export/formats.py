"""The formats that sessions are exported to, by name, and the libraries that they need. State: none."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from treadle.errors import SessionError
from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.observe.store import SessionRecord

EXTRA = "treadle[export]"
"""What installs the libraries."""


class Format(NamedTuple):
    """A format.

    Attributes:
        suffix: the end of the names of its files.
        convert: the function that converts a session, as `module:name`; it returns text or bytes.
        libraries: the modules that it imports, which the extra installs.
    """

    suffix: str
    convert: str
    libraries: tuple[str, ...] = ()


_HERE = "treadle.observe.export"
FORMATS = {
    "perfetto": Format(".pftrace", f"{_HERE}.perfetto:perfetto_trace", ("perfetto.trace_builder.proto_builder",)),
    "otlp": Format(
        ".otlp.jsonl",
        f"{_HERE}.otlp:otlp_lines",
        ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter"),
    ),
    "openlineage": Format(".openlineage.jsonl", f"{_HERE}.openlineage:openlineage_lines", ("openlineage.client.event_v2",)),
    "json": Format(".json", f"{_HERE}.plain_json:session_json"),
}
"""All formats, by name."""


def export(session: SessionRecord, name: str) -> bytes:
    """Convert a session to a format.

    Args:
        session: the session.
        name: the name of the format.

    Returns:
        The content of the file.

    Raises:
        SessionError: a library that the format needs is not installed.
    """
    check_libraries(session, name)
    module, _, function = FORMATS[name].convert.partition(":")
    convert: Callable[[SessionRecord], str | bytes] = getattr(import_module(module), function)
    content = convert(session)
    return content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace")


def check_libraries(session: SessionRecord, name: str) -> None:
    """Raise if a library that a format needs is not installed.

    Args:
        session: the session that is to be exported.
        name: the name of the format.

    Raises:
        SessionError: a library is missing.
    """
    for library in FORMATS[name].libraries:
        try:
            import_module(library)
        except ImportError as exc:
            msg = (
                f"The session cannot be exported to the format {name!r}, because it needs the library "
                f"{library.partition('.')[0]}, which cannot be imported: {exc}. Install it with: pip install '{EXTRA}'."
            )
            raise SessionError(msg, session_id=session.session_id) from exc
