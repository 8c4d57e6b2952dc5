"""`treadle server start`: serve the project over HTTP.

State: none. Neighbours: `treadle.server` has the server, which needs the extra `treadle[server]`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from treadle.cli import completion, options, values
from treadle.cli.groups import SuggestingGroup
from treadle.cli.invocation import typed_command
from treadle.cli.values import join_params
from treadle.errors import ServerError
from treadle.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

_NEEDED = frozenset({"fastapi", "prometheus_client", "pydantic", "starlette", "uvicorn"})


@click.group(cls=SuggestingGroup)
def server() -> None:
    """Serve the project over HTTP."""


@server.command("start")
@click.option(
    "--host", "-H", default="127.0.0.1", show_default=True, help="Address to listen on. Any but a loopback address needs a token."
)
@click.option(
    "--port", "-p", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port to listen on; 0 is any free one."
)
@options.env
@options.params
@options.conf_source
@click.option(
    "--runner",
    metavar="RUNNER",
    default="parallel",
    show_default=True,
    help="Runner of all runs: its name, or the path of its class.",
    shell_complete=completion.runners,
)
@click.option("--workers", type=click.IntRange(min=1), metavar="NUMBER", help="How many nodes run at the same time.")
@click.option("--runner-params", type=values.params, multiple=True, metavar="PARAMS", help="Arguments of the runner.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="A file with the token that clients must send. By default TREADLE_SERVER_TOKEN is used, if it is set.",
)
@click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="Another name by which clients of this machine call it.",
)
@click.option("--max-queued", type=click.IntRange(min=1), default=1000, show_default=True, help="How many runs may wait.")
@click.option(
    "--max-body", type=click.IntRange(min=1), default=10 * 2**20, show_default=True, help="Bytes of the longest request."
)
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    help="Seconds that the current run gets after SIGTERM.",
)
@click.option(
    "--keep-results",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="How many ended runs keep their outputs in memory.",
)
@click.option("--debug-errors", is_flag=True, help="Show paths of this machine and tracebacks in responses.")
@options.project
@click.pass_context
def start(  # noqa: PLR0913 - one argument per flag
    context: click.Context,
    *,
    host: str,
    port: int,
    env: str | None,
    params: tuple[Mapping[str, Any], ...],
    conf_source: str | None,
    runner: str,
    workers: int | None,
    runner_params: tuple[Mapping[str, Any], ...],
    token_file: Path | None,
    allowed_hosts: tuple[str, ...],
    max_queued: int,
    max_body: int,
    grace: float,
    keep_results: int,
    debug_errors: bool,
) -> None:
    """Serve the project until Ctrl-C or SIGTERM.

    Runs are queued, and run one after the other on warm workers. The queue survives the server.

    \b
    treadle server start
    treadle server start --workers 4 --port 0
    treadle server start --host 0.0.0.0 --token-file /run/secrets/token
    """  # noqa: D301 - \b tells click not to rewrap the following lines
    try:
        from treadle.server import ServerOptions, create_app
        from treadle.server.options import read_token
        from treadle.server.serving import open_socket, serve
    except ModuleNotFoundError as exc:
        if exc.name not in _NEEDED:
            raise
        msg = f"The server needs the package {exc.name}, which is not installed. Install it with: pip install 'treadle[server]'"
        raise ServerError(msg) from exc
    from treadle.cli.location import check_environment, enter_any_project, start_logging
    from treadle.session import ServiceSession

    chosen = ServerOptions(
        host=host,
        port=port,
        token=read_token(token_file),
        allowed_hosts=allowed_hosts,
        max_queued=max_queued,
        max_body=max_body,
        grace=grace,
        keep_results=keep_results,
        debug_errors=debug_errors,
    )
    chosen.check()
    project_path = enter_any_project(context)
    check_environment(project_path, env, conf_source)
    start_logging(project_path, conf_source)
    given = join_params((*runner_params, {} if workers is None else {"max_workers": workers}))

    def make_service() -> ServiceSession:
        return ServiceSession.create(
            project_path,
            env=env,
            extra_params=join_params(params),
            conf_source=conf_source,
            runner=runner,
            runner_params=given,
            command=typed_command(context),
        )

    app = create_app(make_service, chosen)
    with open_socket(chosen) as opened:
        address, actual = opened.getsockname()[:2]
        shown = f"[{address}]" if ":" in address else address
        text = printable(f"Serving {project_path.name} at http://{shown}:{actual} (Ctrl-C ends it)")
        serve(app, opened, announce=lambda: click.echo(text))
