"""The endpoints of Kedro's server, in its shapes, for clients that were written for it: `POST /run` and `GET /snapshot`.

Unlike Kedro's, a run that fails is not answered with HTTP 200, and a run waits in the same queue as all others.

State: none. Neighbours: `app.py` has the other endpoints, `/health` included; `treadle.inspection` makes the snapshot.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from starlette.concurrency import run_in_threadpool

from treadle.config.params import parse_params
from treadle.errors import ConfigError, StoreError
from treadle.server.access import runs_of, wait_for_end
from treadle.server.models import ErrorBody, ErrorView, Name, Names, RunBody, Version
from treadle.server.problems import Problem, error_view, log_failure

if TYPE_CHECKING:
    from fastapi import FastAPI

    from treadle.server.models import RunView

_WRONG_REQUESTS = frozenset({"ConfigError", "PipelineError", "SessionError", "UnknownNameError"})
"""The errors of a run that ask for another request."""
_PARAMS = "Params as a JSON object, or as `name=value` pairs: `city=Paris,model.depth=3`."
_LONGEST = 24 * 3600.0
"""Seconds that a request may wait for its run."""


class KedroRun(BaseModel):
    """What to run, by Kedro's names."""

    model_config = ConfigDict(extra="forbid")

    pipeline_names: Names | None = None
    node_names: Names | None = None
    from_nodes: Names | None = None
    to_nodes: Names | None = None
    from_inputs: Names | None = None
    to_outputs: Names | None = None
    namespaces: Names | None = None
    tags: Names | None = None
    load_versions: dict[Name, Version] | None = None
    params: dict[Name, JsonValue] | None = None
    only_missing_outputs: bool = False
    runner: str | None = Field(default=None, description="Refused unless it is the runner of the server.", max_length=200)
    is_async: bool = Field(default=False, description="Refused unless it is how the server runs.")


class KedroError(BaseModel):
    """An error, in Kedro's shape."""

    type: str
    message: str

    @classmethod
    def of(cls, error: ErrorView) -> KedroError:
        """Return an error of Treadle's server in Kedro's shape.

        Args:
            error: the error.
        """
        return cls(type=error.type, message=error.message)


class KedroResult(BaseModel):
    """How a run ended, in Kedro's shape."""

    status: Literal["success", "failure"]
    run_id: str = Field(description="Empty if the run was refused.")
    duration_ms: float
    error: KedroError | None = None


def add_endpoints(app: FastAPI) -> None:
    """Add Kedro's endpoints.

    Args:
        app: the application.
    """
    errors: dict[int | str, dict[str, Any]] = {code: {"model": ErrorBody} for code in (400, 401, 413)}
    failures: dict[int | str, dict[str, Any]] = {code: {"model": KedroResult} for code in (429, 500, 503)}
    failures[422] = {"model": KedroResult | ErrorBody}

    @app.post("/run", responses=errors | failures, response_model_exclude_none=True)
    async def run_like_kedro(request: Request, response: Response, body: KedroRun) -> KedroResult:
        """Run and wait for the end, as Kedro's server does; a run that fails is answered with 500 or 422."""
        runs = runs_of(request)
        content = body.model_dump(exclude_none=True, exclude={"runner", "is_async"})
        try:
            _check_runner(body, runs.project.runner)
            run_id = await run_in_threadpool(runs.submit, RunBody.model_validate(content))
        except Problem as exc:
            response.status_code = exc.status
            response.headers.update(exc.headers)
            return KedroResult(status="failure", run_id="", duration_ms=0.0, error=KedroError.of(exc.error))
        except StoreError as exc:
            log_failure("POST /run", 503, exc)
            response.status_code = 503
            return KedroResult(status="failure", run_id="", duration_ms=0.0, error=KedroError.of(error_view(exc, debug=False)))
        view = await wait_for_end(runs, run_id, _LONGEST)
        result = _result(view)
        if view.state == "queued":  # the server ends; the request must not be sent again
            response.status_code = 503
        elif result.error is not None:
            response.status_code = 422 if result.error.type in _WRONG_REQUESTS else 500
        return result

    @app.get("/snapshot", responses={code: {"model": ErrorBody} for code in (401, 422, 500)})
    def snapshot(
        request: Request, params: Annotated[str | None, Query(description=_PARAMS, max_length=100_000)] = None
    ) -> dict[str, Any]:
        """Describe the project: its pipelines, datasets and the names of its params, in Kedro's shape."""
        return {"status": "success", **runs_of(request).project.snapshot(_params(params))}


def _check_runner(body: KedroRun, runner: Any) -> None:
    kind = type(runner)
    names = {runner.name, kind.__name__, f"{kind.__module__}.{kind.__qualname__}", f"kedro.runner.{kind.__name__}"}
    if body.runner is not None and body.runner not in names:
        raise Problem(422, "RunnerError", f"This server runs everything with the runner '{runner.name}'. Leave out `runner`.")
    if body.is_async and not runner.is_async:
        raise Problem(
            422, "RunnerError", "Whether data are loaded in threads is chosen when the server starts. Leave out `is_async`."
        )


def _result(view: RunView) -> KedroResult:
    begun = view.started or view.submitted or 0.0
    milliseconds = round(((view.finished or begun) - begun) * 1000, 2)
    if view.state == "succeeded":
        return KedroResult(status="success", run_id=view.id, duration_ms=milliseconds)
    error = KedroError(type="RunError", message=f"The run is {view.state}.")
    if view.state == "queued":
        msg = f"The server is shutting down. The run {view.id} stays queued: it runs when the server has started again."
        error = KedroError(type="ShuttingDown", message=msg)
    elif view.error is not None:
        error = KedroError.of(view.error)
    return KedroResult(status="failure", run_id=view.id, duration_ms=milliseconds, error=error)


def _params(text: str | None) -> dict[str, Any]:
    text = (text or "").strip()
    try:
        given = json.loads(text) if text.startswith(("{", "[")) else parse_params(text) if text else {}
    except (ValueError, RecursionError, ConfigError):
        given = None
    if not isinstance(given, dict):
        msg = 'Give params as a JSON object, or as Kedro does: params={"model": {"depth": 3}}, params=model.depth=3.'
        raise Problem(422, "InvalidRequest", msg)
    return given
