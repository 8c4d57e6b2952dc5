"""The description of the endpoints: generated requests are answered as it says, and clients can be generated from it."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

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


@pytest.fixture
def client_package(server, tmp_path, monkeypatch):
    """The package of a client that a generator makes from the description, without any warning."""
    (tmp_path / "openapi.json").write_bytes(server.client.get("/openapi.json").content)
    (tmp_path / "config.json").write_text(json.dumps({"post_hooks": []}))  # no formatter
    arguments = ["--path", "openapi.json", "--config", "config.json", "--meta", "none", "--output-path", "made_client"]
    command = [sys.executable, "-m", "openapi_python_client", "generate", *arguments, "--fail-on-warning"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("made_client")
    for name in [name for name in sys.modules if name.partition(".")[0] == "made_client"]:
        del sys.modules[name]


def test_a_generated_client_runs_the_pipeline(client_package, server):
    """It posts a run and waits for it, reads what it is, and gets an error as an object."""
    client = client_package.Client(base_url=server.url)
    endpoints = importlib.import_module("made_client.api.default")
    submit, show = (importlib.import_module(f"{endpoints.__name__}.{name}") for name in ("submit_run", "show_run"))
    models = importlib.import_module("made_client.models")
    body = models.RunBody(params=models.RunBodyParams.from_dict({"factor": 3}))
    with client:
        made = submit.sync(client=client, body=body, wait=60)
        assert isinstance(made, models.RunView)
        assert (made.state, made.nodes.done, made.outputs) == (models.RunViewState.SUCCEEDED, 6, ["v5"])
        assert show.sync(made.id, client=client).finished == made.finished
        wrong = submit.sync(client=client, body=models.RunBody(pipelines=["clening"]))
        assert isinstance(wrong, models.ErrorBody)
        assert wrong.error.type_ == "UnknownNameError"
