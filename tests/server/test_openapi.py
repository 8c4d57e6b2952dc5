"""The description of the endpoints: generated requests are answered as it says, and never with a server error."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

CHECKS = [not_a_server_error, response_schema_conformance, status_code_conformance]
UNKNOWN = "2020-01-01T00.00.00.000Z-aaaaaaaa"
OPERATIONS = [
    *("POST /runs", "GET /runs", "GET /runs/{run_id}", "POST /runs/{run_id}/cancel", "POST /runs/{run_id}/resume"),
    *("GET /runs/{run_id}/events", "GET /runs/{run_id}/outputs/{name}", "GET /runs/{run_id}/report"),
    *("GET /health", "GET /ready", "GET /metrics", "POST /run", "GET /snapshot"),
]


@pytest.fixture(scope="module")
def operations(server):
    """The operations of the description, by method and path."""
    description = schemathesis.openapi.from_dict(server.client.get("/openapi.json").json())
    return {each.ok().label: each.ok() for each in description.get_all_operations()}


def test_the_description_has_every_endpoint(operations):
    """Each endpoint is described, and has a test below."""
    assert sorted(operations) == sorted(OPERATIONS)


@pytest.mark.parametrize("label", OPERATIONS)
def test_answers_are_as_described(label, operations, server):
    """Valid requests made from the description get one of the described answers, with the described body."""

    @settings(max_examples=6, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operations[label].as_strategy())
    def ask(case):
        if label.endswith("/events"):
            case.path_parameters["run_id"] = UNKNOWN  # the stream of a run that goes on would not end
        if "wait" in (case.query or {}):
            case.query["wait"] = 0
        case.call_and_validate(base_url=server.url, checks=CHECKS, timeout=30)

    ask()
