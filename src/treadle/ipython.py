"""Treadle in IPython and Jupyter: `%load_ext treadle.ipython`, then `%reload_treadle` and `%load_node`.

The extension adds `context`, `catalog`, `session` and `pipelines` of a project to the user's namespace, reloads them after the
project has changed, and opens a node's code in a cell. The commands `treadle ipython` and `treadle jupyter` start such a shell.
State: one `Notebook` per shell, with the loaded project and its session.
"""

from __future__ import annotations

import argparse
import atexit
import os
import shlex
import time
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from treadle.errors import ProjectNotFoundError, TreadleError, UnknownNameError
from treadle.pipeline.source import notebook_cell
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from IPython.core.interactiveshell import InteractiveShell

    from treadle.events import Event, Observer
    from treadle.pipeline import Node
    from treadle.project import ProjectMetadata
    from treadle.session import Session

PROJECT_VARIABLE = "TREADLE_PROJECT"
"""The environment variable with the project's folder, if it is not the working directory; `treadle jupyter` sets it."""
_SECONDS_SHOWN = 0.2
"""Minimum seconds between two updates of the progress line."""
NAMES = ("context", "catalog", "session", "pipelines")
"""The names added to the user's namespace."""


class Notebook:
    """The project and session of a shell, loaded by `%reload_treadle`.

    Args:
        shell: the IPython shell.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._root: Path | None = None
        self._session: Session | None = None
        self._saved_runs = 0

    def reload(self, line: str = "") -> None:
        """Reload the project with its changed code, and create a new session.

        `%reload_treadle [path] [--env ENV] [--params model.depth=3,city=Oslo] [--conf-source PATH]`

        Args:
            line: the arguments of the magic.

        Raises:
            UsageError: a flag is unknown, or the project is invalid; shown without a traceback.
        """
        _without_traceback(self._reload, line)

    def load_node(self, line: str) -> None:
        """Write the code of a node into the next cell: load its inputs, its function and the call: `%load_node name`.

        Args:
            line: name of the node.

        Raises:
            UsageError: no node has this name.
        """
        _without_traceback(self._load_node, line.strip())

    def keep_record(self, *_: object) -> None:
        """Save the record after a cell that ran a pipeline, because kernels are often killed."""
        if self._session is not None and self._session.store["runs"] > self._saved_runs:
            self._saved_runs = self._session.store["runs"]
            self._session.save()

    def close(self) -> None:
        """Close the session, and record it if it has run."""
        session, self._session = self._session, None
        # A session without a run is not recorded.
        if session is not None and session.store["runs"]:
            session.close()

    def load_if_found(self) -> None:
        """Load the project of the working directory; print a message if there is none or it is invalid."""
        if _current_project() is None:
            self._say("No Treadle project at or above this folder. Load one with %reload_treadle PATH.")
            return
        try:
            self._reload("")
        except TreadleError as exc:
            self._say(f"{exc}\nCorrect the error, then load the project with %reload_treadle.")

    def _reload(self, line: str) -> None:
        from treadle.config.params import merge_params, parse_params
        from treadle.project import bootstrap_project, configured_project
        from treadle.project.logging import configure_logging
        from treadle.session import Session

        given = _arguments(line)
        project = bootstrap_project(self._find(given.path))
        self._root = project.project_path
        configured = configured_project()
        conf_source = given.conf_source or configured.settings.CONF_SOURCE
        configure_logging(project_path=project.project_path, conf_source=conf_source)
        session_class: type[Any] = configured.settings.SESSION_CLASS or Session
        session: Session = session_class.create(
            project.project_path,
            env=given.env,
            extra_params=reduce(merge_params, map(parse_params, given.params), {}) or None,
            conf_source=given.conf_source,
            command=f"%reload_treadle {line}".strip(),
        )
        session.watching = _watching
        context = session.load_context()
        catalog = context.catalog  # reads the configuration
        self.close()  # close the old session only after the new one was created successfully
        self._session, self._saved_runs = session, 0
        self._shell.user_ns.update(
            {"context": context, "catalog": catalog, "session": session, "pipelines": configured.pipelines}
        )
        self._greet(project, session)

    def _find(self, given: str | None) -> Path:
        from treadle.project import find_project

        if given is not None:
            path = Path(given).expanduser().absolute()
            return (find_project(path) if path.is_dir() else None) or path
        found = self._root or _current_project()
        if found is None:
            msg = f"There is no project at or above {Path.cwd()}. Pass its path: %reload_treadle path/to/project."
            raise ProjectNotFoundError(msg, file=str(Path.cwd()))
        return found

    def _load_node(self, name: str) -> None:
        if self._session is None:
            msg = "No project is loaded yet. Load one first: %reload_treadle path/to/project."
            raise ProjectNotFoundError(msg)
        catalog = self._session.load_context().catalog
        self._shell.set_next_input(notebook_cell(_find_node(name), known=lambda dataset: dataset in catalog))

    def _greet(self, project: ProjectMetadata, session: Session) -> None:
        env = session.store["env"]
        where = f" in the environment {env}" if env else ""
        self._say(f"{project.project_name}{where}: {', '.join(NAMES)} are ready; session {session.session_id}.")

    def _say(self, text: str) -> None:
        print(text)  # noqa: T201 - output for the user of the shell


class CellProgress:
    """Show the progress of a run in one line below the cell.

    Args:
        show: replaces the shown text.
    """

    def __init__(self, show: Callable[[str], None]) -> None:
        from treadle.observe.run_progress import RunProgress

        self._progress = RunProgress()
        self._show = show
        self._shown = 0.0

    def __call__(self, event: Event, /) -> None:
        """Handle one event; update the text at most a few times per second."""
        self._progress.update(event)
        now = time.monotonic()
        if self._progress.total and (self._progress.finished is not None or now - self._shown >= _SECONDS_SHOWN):
            self._shown = now
            self._show(self._text())

    def _text(self) -> str:
        progress = self._progress
        end = progress.finished.at if progress.finished is not None else time.time()
        failed = f", {len(progress.failed)} failed" if progress.failed else ""
        busy = f": {', '.join(node for node, _ in progress.busy.values())}" if progress.busy else ""
        return f"{progress.done}/{progress.total} nodes in {end - progress.started:.1f} s ({progress.description}){failed}{busy}"


@contextmanager
def _watching() -> Iterator[Sequence[Observer]]:
    """Show the progress of the run inside the block: as a display on a terminal, as one line in a notebook."""
    from IPython.core.getipython import get_ipython
    from IPython.display import DisplayHandle

    from treadle.observe.progress import watched

    shell = get_ipython()
    if shell is None or getattr(shell, "kernel", None) is None:
        with watched() as observers:
            yield observers
        return
    handle: Any = DisplayHandle()  # type: ignore[no-untyped-call]  # IPython is untyped
    first = [True]

    def show(text: str) -> None:
        bundle = {"text/plain": text}
        handle.display(bundle, raw=True) if first.pop() else handle.update(bundle, raw=True)
        first.append(False)

    yield (CellProgress(show),)


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the magics and load the project of the working directory; `%load_ext treadle.ipython` calls this function.

    Args:
        shell: the IPython shell.
    """
    notebook = Notebook(shell)
    # The docstrings of these functions are the help of the magics.
    for name, magic in (("reload_treadle", notebook.reload), ("load_node", notebook.load_node)):
        shell.magics_manager.register_function(magic, magic_kind="line", magic_name=name)
    shell.events.register("post_run_cell", notebook.keep_record)
    atexit.register(notebook.close)
    notebook.load_if_found()


def _current_project() -> Path | None:
    from treadle.project import find_project

    return find_project(Path(os.environ.get(PROJECT_VARIABLE) or Path.cwd()))


def _find_node(name: str) -> Node:
    """Find a node in the pipelines of the project, the default one first."""
    from treadle.project import configured_project

    pipelines = configured_project().pipelines
    known: dict[str, Node] = {}
    for pipeline in sorted(pipelines, key=lambda each: each != "__default__"):
        for node in pipelines[pipeline].nodes:
            known.setdefault(node.name, node)
        if name in known:
            return known[name]
    close = close_names(name, known)
    hint = did_you_mean(close, f"The nodes are: {', '.join(known)}.")
    msg = f"No pipeline of the project has a node {name!r}.{hint}" if name else f"%load_node takes a node's name.{hint}"
    raise UnknownNameError(msg, name=name, close=close)


class _MagicParser(argparse.ArgumentParser):
    """Parses the arguments of a magic; raises UsageError instead of exiting the process."""

    def error(self, message: str) -> NoReturn:
        from IPython.core.error import UsageError

        problem = f"{message}. {self.format_usage().strip()}"
        raise UsageError(problem)


def _arguments(line: str) -> argparse.Namespace:
    parser = _MagicParser(prog="%reload_treadle", add_help=False, allow_abbrev=False)
    parser.add_argument("path", nargs="?")
    parser.add_argument("--env", "-e")
    parser.add_argument("--params", action="append", default=[])
    parser.add_argument("--conf-source")
    try:
        words = shlex.split(line)
    except ValueError as exc:  # an unclosed quote
        parser.error(f"{exc} in {line.strip()}")
    return parser.parse_args(words)


def _without_traceback(do: Callable[[str], Any], line: str) -> None:
    """Call a function, and show a TreadleError as one paragraph without Treadle's traceback."""
    from IPython.core.error import UsageError

    try:
        do(line)
    except TreadleError as exc:
        raise UsageError(str(exc)) from exc
