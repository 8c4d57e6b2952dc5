"""A session as OpenTelemetry spans: session, run, node, attempt (if there are several), and the phases of an attempt.

Spans are made in the parent from the record; no worker imports OpenTelemetry. Their ids follow from the session's
(`treadle.trace_ids`), so the spans of the user's own code in a node, which ran long before, have the right parent. State: none.
"""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from treadle.errors import SessionError
from treadle.events import Outcome
from treadle.observe.export.attempts import Attempt, attempts_of, end_of
from treadle.secrets import mask_patterns
from treadle.trace_ids import VARIABLE, span_id, trace_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from treadle.observe.store import ErrorRecord, RunRecord, SessionRecord

_NANOSECONDS = 1_000_000_000
_BATCH = 1000
"""Number of spans in a request."""
_IDS = ("traceId", "spanId", "parentSpanId")


def spans_of(session: SessionRecord) -> list[ReadableSpan]:
    """Return the spans of a session, each after its parent.

    Args:
        session: the session.
    """
    return list(_Spans(session).all())


def otlp_lines(session: SessionRecord) -> str:
    """Return the spans as OTLP in JSON, one request a line, as OpenTelemetry's file exporters write it.

    Args:
        session: the session.
    """
    from google.protobuf.json_format import MessageToDict
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    lines = []
    for spans in _batches(spans_of(session)):
        request = MessageToDict(encode_spans(spans), use_integers_for_enums=True)
        for resource in request.get("resourceSpans", ()):
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    _write_ids_in_hexadecimal(span)
        lines.append(json.dumps(request, separators=(",", ":"), ensure_ascii=False))
    return "\n".join(lines) + "\n"


def send(session: SessionRecord) -> int:
    """Send the spans to the endpoint that the OTEL_EXPORTER_OTLP_* variables of the environment name.

    Args:
        session: the session.

    Returns:
        The number of spans.

    Raises:
        SessionError: the endpoint did not accept them.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import SpanExportResult

    spans = spans_of(session)
    exporter = OTLPSpanExporter()
    try:
        for batch in _batches(spans):
            if exporter.export(batch) is not SpanExportResult.SUCCESS:
                endpoint = mask_patterns(exporter._endpoint)  # noqa: SLF001 - no public name
                msg = (
                    f"The endpoint {endpoint} did not accept the spans; OpenTelemetry has logged why. "
                    "Check OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_HEADERS, or write a file with --output FILE."
                )
                raise SessionError(msg, session_id=session.session_id)
    finally:
        exporter.shutdown()
    return len(spans)


def _batches(spans: Sequence[ReadableSpan]) -> Iterator[Sequence[ReadableSpan]]:
    return (spans[start : start + _BATCH] for start in range(0, len(spans), _BATCH))


def _write_ids_in_hexadecimal(span: dict[str, Any]) -> None:
    """Convert ids from base64, which is protobuf's JSON, to hexadecimal digits, which is that of OTLP."""
    for name in _IDS:
        if name in span:
            span[name] = base64.b64decode(span[name]).hex()


class _Spans:
    """Make the spans of a session. State: its trace, resource and scope."""

    def __init__(self, session: SessionRecord) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self._session = session
        version = session.versions.get("treadle", "unknown")
        self._trace = trace_of(session.session_id, session.environment.get(VARIABLE))
        about = {
            "service.name": session.package_name,
            "service.version": session.git_commit,
            "host.name": session.host,
            "process.pid": session.pid,
            "telemetry.sdk.name": "treadle",
            "telemetry.sdk.language": "python",
            "telemetry.sdk.version": version,
        }
        self._resource = Resource({name: value for name, value in about.items() if value is not None})
        self._scope = InstrumentationScope("treadle", version)

    def all(self) -> Iterator[ReadableSpan]:
        """Yield the spans, each after its parent."""
        session = self._session
        end = session.finished or max(
            (end_of(session, run) for run in session.runs), default=session.heartbeat or session.started
        )
        facts = {
            "treadle.session_id": session.session_id,
            "treadle.state": session.state.value,
            "treadle.command": session.command,
        }
        whole = span_id(session.session_id)
        yield self._span(
            "treadle session", whole, self._trace.parent, (session.started, end), facts, session.outcome, session.error
        )
        for run in session.runs:
            yield from self._run(run, whole)

    def _run(self, run: RunRecord, parent: str) -> Iterator[ReadableSpan]:
        session = self._session
        span = span_id(session.session_id, run.number)
        facts = {
            "treadle.pipelines": run.pipelines,
            "treadle.runner": run.runner,
            "treadle.start_method": run.start_method,
            "treadle.workers": run.worker_count,
            "treadle.nodes": run.node_count,
        }
        times = (run.started, end_of(session, run))
        yield self._span(" ".join(("run", *run.pipelines)), span, parent, times, facts, run.outcome, run.error)
        by_node: defaultdict[str, list[Attempt]] = defaultdict(list)
        for attempt in attempts_of(session, run):
            by_node[attempt.record.node].append(attempt)
        for node, attempts in by_node.items():
            path = (session.session_id, run.number, node)
            yield from self._node(path, attempts, span)

    def _node(self, path: tuple[Any, ...], attempts: list[Attempt], parent: str) -> Iterator[ReadableSpan]:
        span, last = span_id(*path), attempts[-1]
        times = (attempts[0].start, max(each.end for each in attempts))
        facts = {"treadle.node": last.record.node, "treadle.attempts": len(attempts), "treadle.worker": last.record.worker}
        sizes = {f"treadle.bytes.{dataset}": size for dataset, size in last.record.sizes}
        yield self._span(last.record.node, span, parent, times, {**facts, **sizes}, last.record.outcome, last.record.error)
        if len(attempts) == 1:
            yield from self._phases(path, last, span)
            return
        for each in attempts:
            number, record = each.record.attempt, each.record
            inner = span_id(*path, number)
            about = {"treadle.attempt": number, "treadle.worker": record.worker}
            yield self._span(f"attempt {number}", inner, span, (each.start, each.end), about, record.outcome, record.error)
            yield from self._phases((*path, number), each, inner)

    def _phases(self, path: tuple[Any, ...], attempt: Attempt, parent: str) -> Iterator[ReadableSpan]:
        for phase in attempt.phases:
            yield self._span(phase.name, span_id(*path, phase.name), parent, (phase.start, phase.end), {}, None, None)

    def _span(
        self,
        name: str,
        span: str,
        parent: str | None,
        times: tuple[float, float],
        facts: Mapping[str, Any],
        outcome: Outcome | None,
        error: ErrorRecord | None,
    ) -> ReadableSpan:
        from opentelemetry.sdk.trace import Event, ReadableSpan
        from opentelemetry.trace import SpanKind, Status, StatusCode

        start, end = (round(time * _NANOSECONDS) for time in times)
        events = []
        status = StatusCode.OK if outcome is Outcome.SUCCEEDED else StatusCode.UNSET
        if error is not None:
            about = {
                "exception.type": error.type_name,
                "exception.message": error.message,
                "exception.stacktrace": error.traceback,
            }
            events.append(Event("exception", about, end))
        if outcome in {Outcome.FAILED, Outcome.INTERRUPTED}:
            status = StatusCode.ERROR
        description = (error.message if error else "interrupted") if status is StatusCode.ERROR else None
        if outcome is not None:
            facts = {**facts, "treadle.outcome": outcome.value}
        return ReadableSpan(
            name,
            context=self._context(span),
            parent=self._context(parent) if parent is not None else None,
            resource=self._resource,
            attributes={name: value for name, value in facts.items() if value is not None},
            events=events,
            kind=SpanKind.INTERNAL,
            status=Status(status, description),
            start_time=start,
            end_time=max(start, end),
            instrumentation_scope=self._scope,
        )

    def _context(self, span: str) -> Any:
        from opentelemetry.trace import SpanContext, TraceFlags

        return SpanContext(
            int(self._trace.trace_id, 16), int(span, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)
        )
