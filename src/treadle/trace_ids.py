"""The ids of a session's trace: of the session, its runs, and their nodes.

They follow from the session's id, so a worker can name the span of a node while the node runs, long before the span is exported.
If the environment of the session has a TRACEPARENT (https://www.w3.org/TR/trace-context/), the trace is that one. State: none.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING

from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "TRACEPARENT"
"""The environment variable that names the current span to programs and libraries."""
_ASKING = (VARIABLE, "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER")
_FORMAT = r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}"


def asks_for_traces(environment: Mapping[str, str]) -> bool:
    """Return whether an environment asks for traces: it names a span or an exporter, and OpenTelemetry is not disabled.

    Args:
        environment: the environment variables.
    """
    asks = any(environment.get(name) for name in _ASKING)
    return asks and environment.get("OTEL_SDK_DISABLED", "").lower() != "true"


class Trace(NamedTuple):
    """The trace of a session.

    Attributes:
        trace_id: 32 hexadecimal digits.
        parent: span id of the program that started the session; None if it has no span.
    """

    trace_id: str
    parent: str | None


def trace_of(session_id: str, traceparent: str | None) -> Trace:
    """Return the trace of a session.

    Args:
        session_id: the session's id.
        traceparent: TRACEPARENT of its environment, if it is set; an invalid one is ignored, as the standard demands.
    """
    given = re.fullmatch(_FORMAT, traceparent) if traceparent else None
    return Trace(given[1], given[2]) if given else Trace(_digest(16, session_id), None)


def span_id(session_id: str, *path: object) -> str:
    """Return the id of a span: 16 hexadecimal digits.

    Args:
        session_id: the session's id.
        *path: nothing for the session; the run's number for a run; the run's number and the node's name for a node.
    """
    return _digest(8, session_id, *path)


def traceparent_of(trace_id: str, span: str) -> str:
    """Return the value of TRACEPARENT for a span.

    Args:
        trace_id: the id of its trace.
        span: its id.
    """
    return f"00-{trace_id}-{span}-01"


def _digest(size: int, *path: object) -> str:
    text = "\0".join(map(str, path))
    return blake2b(text.encode("utf-8", "backslashreplace"), digest_size=size).hexdigest()
