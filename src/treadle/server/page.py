"""The page for people at `/`: the runs of the project, live, each with its report.

It is rendered here, with every name escaped; a script of a few lines replaces the rows. State: none. Neighbour: `app.py` adds it.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from fastapi import Request
from fastapi.responses import HTMLResponse, Response

from treadle.server.access import runs_of
from treadle.server.problems import Problem

if TYPE_CHECKING:
    from fastapi import FastAPI
    from jinja2 import Environment

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_SHOWN = 100
_FILES = {"page.css": "text/css", "page.js": "text/javascript"}


def add_endpoints(app: FastAPI) -> None:
    """Add the page.

    Args:
        app: the application.
    """

    @app.get("/", include_in_schema=False, response_class=HTMLResponse)
    def show_page(request: Request) -> HTMLResponse:
        runs = runs_of(request)
        return _rendered("page.html", project=runs.project.name, runs=runs.views(_SHOWN))

    @app.get("/page/runs", include_in_schema=False, response_class=HTMLResponse)
    def show_rows(request: Request) -> HTMLResponse:
        return _rendered("rows.html", runs=runs_of(request).views(_SHOWN))

    @app.get("/page/{name}", include_in_schema=False)
    def show_file(name: str) -> Response:
        if name not in _FILES:
            raise Problem(404, "UnknownFile", "There is no such file.")
        return Response(_text(name), media_type=_FILES[name])


def _rendered(template: str, **values: Any) -> HTMLResponse:
    content = _environment().get_template(template).render(now=time.time(), **values)
    return HTMLResponse(content, headers={"Content-Security-Policy": _POLICY})


@cache
def _environment() -> Environment:
    from jinja2 import DictLoader, Environment, StrictUndefined

    templates = DictLoader({name: _text(name) for name in ("page.html", "rows.html")})
    environment = Environment(autoescape=True, undefined=StrictUndefined, loader=templates, trim_blocks=True)
    environment.filters["iso"] = lambda at: _moment(at).isoformat(timespec="seconds")
    environment.filters["clock"] = lambda at: f"{_moment(at).astimezone():%Y-%m-%d %H:%M:%S}"
    return environment


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, timezone.utc)


@cache
def _text(name: str) -> str:
    return (files("treadle.server") / "page_files" / name).read_text(encoding="utf-8")
