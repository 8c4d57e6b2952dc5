"""The ids of a session's trace, and whether an environment asks for one."""

from __future__ import annotations

import pytest
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from treadle.trace_ids import asks_for_traces, span_id, trace_of, traceparent_of

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_opentelemetry_reads_the_variable():
    """What is put into TRACEPARENT is what OpenTelemetry's propagator reads."""
    trace, span = trace_of("session", None), span_id("session", 1, "a node\ud800")
    context = TraceContextTextMapPropagator().extract({"traceparent": traceparent_of(trace.trace_id, span)})
    found = get_current_span(context).get_span_context()
    assert (f"{found.trace_id:032x}", f"{found.span_id:016x}") == (trace.trace_id, span)


def test_a_given_trace_is_joined():
    """The session has the trace and the parent of its environment."""
    assert trace_of("session", GIVEN) == tuple(GIVEN.split("-")[1:3])


@pytest.mark.parametrize("invalid", ["", "text", GIVEN[:-1], GIVEN.upper(), f"00-{'0' * 32}-b7ad6b7169203331-01"])
def test_an_invalid_one_is_ignored(invalid):
    """An invalid value, or one of zeros only, starts a trace of the session's own."""
    assert trace_of("session", invalid) == trace_of("session", None)
    assert trace_of("session", None).parent is None


@pytest.mark.parametrize(
    ("environment", "asks"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
        ({"TRACEPARENT": GIVEN}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, True),
        ({"TRACEPARENT": GIVEN, "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_who_asks_for_traces(environment, asks):
    """A span or an exporter in the environment asks for traces, unless OpenTelemetry is disabled."""
    assert asks_for_traces(environment) is asks
