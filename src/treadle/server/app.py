"""The application: its start and end, its endpoints, and how it answers errors.

State: that of the application, in `app.state.runs`, from its start to its end. Neighbours: `endpoints.py` has the endpoints of
runs, `kedro_api.py` those of Kedro, `page.py` the page for people, `security.py` the checks of every request, `serving.py` runs
the application with uvicorn.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

import treadle
from treadle.errors import TreadleError
from treadle.secrets import register_secrets
from treadle.server import endpoints, kedro_api, page
from treadle.server.access import runs_of
from treadle.server.models import Health, Ready
from treadle.server.options import ServerOptions
from treadle.server.problems import Problem, error_view, log_failure, public_text, status_of
from treadle.server.runs import Runs
from treadle.server.security import Guard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from treadle.session import ServiceSession

_SERVER_ERROR, _UNAVAILABLE = 500, 503

_STORE_SECONDS = 5
"""After how many seconds a client may try again if the session store could not be used."""


def create_app(make_service: Callable[[], ServiceSession], options: ServerOptions | None = None) -> FastAPI:
    """Create the application; any ASGI server can run it.

    Args:
        make_service: creates the service that runs the project; called when the application starts.
        options: of the server.

    Returns:
        The application. Its service is closed when it ends; a run that is still running then is interrupted.

    Raises:
        ServerError: other machines could connect without a token.
    """
    options = options or ServerOptions()
    options.check()
    register_secrets(options.token)  # nodes inherit the environment, which an error of theirs may show

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service = await run_in_threadpool(make_service)
        try:
            runs = app.state.runs = await run_in_threadpool(Runs, service, options)
            await run_in_threadpool(runs.start)
            try:
                yield
            finally:
                runs.queue.close()  # first, so that no run starts after the current one was interrupted
                runs.interrupt()
                await run_in_threadpool(runs.close)
        finally:
            await run_in_threadpool(service.close, cancel=True)

    app = FastAPI(
        title="Treadle",
        version=treadle.__version__,
        description="Run the pipelines of one project.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,  # the names of methods in generated clients
    )
    app.state.options = options
    _add_handlers(app, options)
    endpoints.add_runs(app)
    endpoints.add_contents(app, options)
    _add_states(app)
    kedro_api.add_endpoints(app)
    page.add_endpoints(app)
    app.add_middleware(Guard, options=options)
    return app


def _add_states(app: FastAPI) -> None:
    @app.head("/health", include_in_schema=False)  # some monitors ask so
    @app.get("/health")
    async def health() -> Health:
        """Say that the server answers."""
        return Health(treadle_version=treadle.__version__, kedro_version=treadle.__version__)

    @app.head("/ready", include_in_schema=False)
    @app.get("/ready", responses={503: {"model": Ready}})
    async def ready(request: Request, response: Response) -> Ready:
        """Say whether the server accepts runs."""
        runs = runs_of(request)
        response.status_code = 503 if runs.queue.is_closed else 200
        return Ready(ready=not runs.queue.is_closed, queued=len(runs.queue), running=int(runs.is_running))

    @app.get("/metrics", responses=endpoints.ERRORS, response_class=Response)
    def metrics(request: Request) -> Response:
        """Return numbers for Prometheus."""
        return Response(runs_of(request).metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_handlers(app: FastAPI, options: ServerOptions) -> None:
    @app.exception_handler(Problem)
    async def problem(_request: Request, exc: Problem) -> JSONResponse:
        return _error(exc.status, exc.error.model_dump(exclude_none=True), exc.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, exc: RequestValidationError) -> JSONResponse:
        wrong = [f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in exc.errors()[:10]]
        return _error(422, {"type": "InvalidRequest", "message": public_text("; ".join(wrong))})

    @app.exception_handler(HTTPException)
    async def refused(_request: Request, exc: HTTPException) -> JSONResponse:
        return _error(exc.status_code, {"type": "HTTPError", "message": public_text(str(exc.detail))}, exc.headers)

    @app.exception_handler(TreadleError)
    async def failed(request: Request, exc: TreadleError) -> JSONResponse:
        status = status_of(exc)
        if status >= _SERVER_ERROR:
            log_failure(f"{request.method} {request.url.path}", status, exc)
        headers = {"Retry-After": str(_STORE_SECONDS)} if status == _UNAVAILABLE else None
        return _error(status, error_view(exc, debug=options.debug_errors).model_dump(exclude_none=True), headers)

    @app.exception_handler(Exception)
    async def broken(_request: Request, exc: Exception) -> JSONResponse:
        view = error_view(exc, debug=True) if options.debug_errors else None
        shown = view.model_dump(exclude_none=True) if view else {"type": "InternalError", "message": "The server has a defect."}
        return _error(500, shown)


def _error(status: int, error: dict[str, Any], headers: Any = None) -> JSONResponse:
    return JSONResponse({"error": error}, status_code=status, headers=dict(headers or {}))
