"""The OpenTelemetry export, read back with OpenTelemetry's own protobuf classes, from a file and by a collector."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from treadle.errors import SessionError
from treadle.observe.export.otlp import otlp_lines, send, spans_of
from treadle.trace_ids import span_id

# Of how protobuf reads bytes, since Python 3.15.
pytestmark = pytest.mark.filterwarnings("ignore:invalid character .* in URL-safe Base64:FutureWarning")

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def spans_in(request):
    return [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]


def read(session):
    """Return the spans of the file's requests."""
    found = []
    for line in otlp_lines(session).splitlines():
        request = json.loads(line)
        for span in request["resourceSpans"][0]["scopeSpans"][0]["spans"]:
            for name in {"traceId", "spanId", "parentSpanId"} & set(
                span
            ):  # OTLP's JSON has hexadecimal digits, protobuf's base64
                span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
        found += spans_in(ParseDict(request, ExportTraceServiceRequest()))
    return found


def path_of(span, by_id):
    parent = by_id.get(span.parent_span_id)
    return (*(path_of(parent, by_id) if parent is not None else ()), span.name)


def test_the_tree_of_spans(make_session):
    """Session, run, node, attempts of a node with several, phases; all in one trace, with times within their parent."""
    session = make_session()
    spans = read(session)
    by_id = {span.span_id: span for span in spans}
    hostile = session.runs[0].nodes[1].node
    run = ("treadle session", "run train")
    assert [path_of(span, by_id) for span in spans] == [
        run[:1],
        run,
        (*run, "split"),
        *((*run, "split", phase) for phase in ("load", "run", "save")),
        (*run, hostile),
        (*run, hostile, "attempt 1"),
        (*run, hostile, "attempt 2"),
    ]
    assert len(by_id) == len(spans)
    assert len({span.trace_id for span in spans}) == 1
    for span in spans:
        parent = by_id.get(span.parent_span_id, span)
        assert parent.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano <= parent.end_time_unix_nano


def test_a_failure(make_session):
    """A failed node has the status of an error and its exception as an event."""
    (span,) = (each for each in read(make_session()) if each.name == "attempt 2")
    assert (span.status.code, span.status.message) == (Status.STATUS_CODE_ERROR, "bad \x1b[31m")
    (event,) = span.events
    assert {each.key: each.value.string_value for each in event.attributes} == {
        "exception.type": "ValueError",
        "exception.message": "bad \x1b[31m",
        "exception.stacktrace": "Traceback\nbad",
    }


def test_the_callers_trace_is_joined(make_session):
    """TRACEPARENT of the session's environment gives the trace and the parent; an invalid one is ignored."""
    whole = spans_of(make_session(environment={"TRACEPARENT": GIVEN}))[0]
    assert f"{whole.context.trace_id:032x}" == GIVEN.split("-")[1]
    assert f"{whole.parent.span_id:016x}" == GIVEN.split("-")[2]
    alone = spans_of(make_session(environment={"TRACEPARENT": "00-zz-11-01"}))[0]
    assert alone.parent is None


def test_ids_follow_from_the_session(make_session):
    """Two exports have the same ids, which a node knows while it runs."""
    first, second = spans_of(make_session()), spans_of(make_session())
    assert [each.context.span_id for each in first] == [each.context.span_id for each in second]
    assert span_id(make_session().session_id, 1, "split") in {f"{each.context.span_id:016x}" for each in first}


def test_a_running_session(running):
    """A session that runs has spans up to now, without an outcome."""
    spans = {span.name: span for span in read(running)}
    assert spans["treadle session"].end_time_unix_nano == 14_500_000_000
    assert spans["run train"].status.code == Status.STATUS_CODE_UNSET


@pytest.fixture
def collector(monkeypatch):
    """Start an endpoint that answers with a code; return what it receives."""
    received = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append(ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(server.answer)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.answer = 200
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield server, received
    server.shutdown()
    thread.join()
    server.server_close()


def test_spans_are_sent_to_the_endpoint_of_the_environment(make_session, collector):
    """A collector receives the same spans; if it refuses them, the error names the endpoint."""
    server, received = collector
    session = make_session()
    assert send(session) == len(read(session))
    assert [span.span_id for request in received for span in spans_in(request)] == [span.span_id for span in read(session)]
    server.answer = 400
    with pytest.raises(SessionError, match=f"127.0.0.1:{server.server_port}/v1/traces did not accept the spans"):
        send(session)


def test_a_password_of_the_endpoint_is_masked(make_session, collector, monkeypatch):
    """The error of an endpoint that refuses the spans shows its address without the password."""
    server, _received = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://me:hunter2hunter2@127.0.0.1:{server.server_port}")
    server.answer = 400
    with pytest.raises(SessionError, match=r"http://me:\*\*\*@127.0.0.1") as caught:
        send(make_session())
    assert "hunter2" not in str(caught.value)
