"""The endpoints of runs. What they do is in `runs.py`; here is how they are asked and what they answer.

State: none. Neighbour: `app.py` adds them to the application.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Header, Path, Query, Request
from fastapi.responses import HTMLResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from treadle.server.access import runs_of, wait_for_end
from treadle.server.models import ErrorBody, RunBody, RunList, RunView
from treadle.server.outputs import Format, output_response
from treadle.server.problems import Problem
from treadle.server.streams import event_stream

if TYPE_CHECKING:
    from fastapi import FastAPI

    from treadle.server.options import ServerOptions
    from treadle.server.runs import Runs

RunId = Annotated[str, Path(max_length=64, pattern=r"^[A-Za-z0-9.\-]+$")]
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255)]
Wait = Annotated[float, Query(ge=0, le=3600, description="Seconds to wait for the end of the run.")]

ERRORS: dict[int | str, dict[str, Any]] = {code: {"model": ErrorBody} for code in (400, 401, 403, 413, 421, 422, 503)}
_UNKNOWN: dict[int | str, dict[str, Any]] = {**ERRORS, 404: {"model": ErrorBody}}
_QUEUES: dict[int | str, dict[str, Any]] = {**ERRORS, 409: {"model": ErrorBody}, 429: {"model": ErrorBody}}
_REPORT_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; sandbox allow-scripts allow-popups"
)
"""A report is one file with its own script. The sandbox lets it use nothing of this server."""


def add_runs(app: FastAPI) -> None:
    """Add the endpoints that accept, describe, cancel and resume runs.

    Args:
        app: the application.
    """

    @app.post("/runs", status_code=202, responses={**_QUEUES, 200: {"model": RunView, "description": "The run has ended."}})
    async def submit_run(request: Request, response: Response, body: RunBody, key: Key = None, wait: Wait = 0) -> RunView:
        """Queue a run. Its id is known at once; `wait` waits for its end."""
        runs = runs_of(request)
        run_id = await run_in_threadpool(runs.submit, body, key=key)
        return await _accepted(runs, run_id, response, wait)

    @app.get("/runs", responses=ERRORS)
    def list_runs(request: Request, limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> RunList:
        """List the newest runs of the project, also those that the command line started."""
        return RunList(runs=runs_of(request).views(limit))

    @app.get("/runs/{run_id}", responses=_UNKNOWN)
    async def show_run(request: Request, run_id: RunId, wait: Wait = 0) -> RunView:
        """Describe a run."""
        runs = runs_of(request)
        if runs.view_in_memory(run_id) is None:
            await run_in_threadpool(runs.view, run_id)  # a problem if there is none
        return await wait_for_end(runs, run_id, wait)

    @app.post("/runs/{run_id}/cancel", responses={**_UNKNOWN, 409: {"model": ErrorBody}})
    def cancel_run(request: Request, run_id: RunId) -> RunView:
        """Cancel a run: at once if it is queued, otherwise as soon as its nodes can be stopped."""
        return runs_of(request).cancel(run_id)

    @app.post("/runs/{run_id}/resume", status_code=202, responses={**_UNKNOWN, **_QUEUES, 200: {"model": RunView}})
    async def resume_run(request: Request, response: Response, run_id: RunId, key: Key = None, wait: Wait = 0) -> RunView:
        """Queue a run that continues one that failed, was cancelled or was lost: nodes that succeeded do not run again."""
        runs = runs_of(request)
        return await _accepted(runs, await run_in_threadpool(runs.resume, run_id, key=key), response, wait)


def add_contents(app: FastAPI, options: ServerOptions) -> None:
    """Add the endpoints that send what a run has made: its events, outputs and report.

    Args:
        app: the application.
        options: of the server.
    """

    @app.get(
        "/runs/{run_id}/events", responses={**_UNKNOWN, 200: {"content": {"text/event-stream": {}}}}, response_class=Response
    )
    async def stream_events(
        request: Request, run_id: RunId, last_id: Annotated[str | None, Header(alias="Last-Event-ID", max_length=20)] = None
    ) -> StreamingResponse:
        """Stream the events of a run, those that have happened first. With `Last-Event-ID`, those after it."""
        runs = runs_of(request)
        if not await run_in_threadpool(runs.events.exists, run_id):
            await run_in_threadpool(runs.view, run_id)  # a problem if there is none
            raise Problem(404, "NoEvents", "This run was not made by a server, so it has no stream of events.")
        after = int(last_id) if last_id is not None and last_id.isascii() and last_id.isdigit() else 0
        stream = event_stream(runs.events, run_id, after, options.heartbeat)
        return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    @app.get(
        "/runs/{run_id}/outputs/{name:path}",  # a name may contain a slash
        responses={**_UNKNOWN, 406: {"model": ErrorBody}, 409: {"model": ErrorBody}, 410: {"model": ErrorBody}},
        response_class=Response,
    )
    def fetch_output(
        request: Request,
        run_id: RunId,
        name: str,
        wanted: Annotated[Format | None, Query(alias="format")] = None,
    ) -> Response:
        """Fetch an output of a run that has succeeded."""
        runs = runs_of(request)
        served = runs.served(run_id)
        if served is None:
            view = runs.view(run_id)
            if view.state == "queued":
                raise Problem(409, "NotEnded", f"The run {run_id} is queued, so it has no outputs yet.")
            msg = f"The outputs of the run {run_id} are no longer in the memory of this server. Files are where it saved them."
            raise Problem(410, "OutputGone", msg)
        if served.state != "succeeded":
            raise Problem(409, "NotSucceeded", f"The run {run_id} is {served.state}, so it has no outputs.")
        return output_response(served.handle.result(), name, wanted, debug=options.debug_errors)

    @app.get("/runs/{run_id}/report", responses={**_UNKNOWN, 409: {"model": ErrorBody}}, response_class=HTMLResponse)
    def show_report(request: Request, run_id: RunId) -> HTMLResponse:
        """Return the report of a run as one HTML page."""
        runs = runs_of(request)
        if runs.view(run_id).started is None:
            raise Problem(409, "NotStarted", f"The run {run_id} has not started, so there is nothing to report.")
        return HTMLResponse(runs.project.report(run_id), headers={"Content-Security-Policy": _REPORT_POLICY})


async def _accepted(runs: Runs, run_id: str, response: Response, wait: float) -> RunView:
    view = await wait_for_end(runs, run_id, wait)
    response.headers["Location"] = f"/runs/{run_id}"
    if wait and view.state not in ("queued", "running"):
        response.status_code = 200
    return view
