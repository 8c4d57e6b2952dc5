"""Configure a project's logging in the parent process, and copy logger levels to workers.

Job: configure logging from an environment variable, from `logging.yml` in the configuration, or with a default (rich on a
terminal, plain lines elsewhere, both on standard error); take a picklable snapshot of logger levels that a worker can apply.
State: none of its own; it changes Python's logging. Neighbours: commands and notebooks call `configure_logging`; the parallel
runner sends `LoggingLevels` to its workers and installs their handlers.
"""

from __future__ import annotations

import copy
import logging
import os
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from treadle.errors import ConfigError, MissingConfigError
from treadle.named_tuple import NamedTuple
from treadle.project.current import configured_project, is_configured
from treadle.project.log_errors import report_write_errors_once

node_here: ContextVar[tuple[str, str] | None] = ContextVar("treadle_node_here", default=None)
"""The node that runs in this context and the label of its worker, for log records; set if nodes run in this process."""

ENVIRONMENT_VARIABLE = "TREADLE_LOGGING_CONFIG"
DEFAULT_CONF_SOURCE = "conf"
_FILE_NAMES = ("logging.yml", "logging.yaml", "logging.json")
_PLAIN_FORMAT = "%(asctime)s %(levelname)-8s %(name)s: %(message)s"


class LoggerLevel(NamedTuple):
    """The state of a logger that is not in its default state."""

    name: str
    level: int
    propagate: bool
    disabled: bool


class LoggingLevels(NamedTuple):
    """A snapshot of everything that determines whether a log record is created.

    Attributes:
        root_level: level of the root logger.
        disable: the level passed to `logging.disable`; 0 by default.
        capture_warnings: whether warnings are redirected to logging.
        loggers: the loggers that are not in their default state, sorted by name.
    """

    root_level: int = logging.WARNING
    disable: int = 0
    capture_warnings: bool = False
    loggers: tuple[LoggerLevel, ...] = ()


if TYPE_CHECKING:
    from pathlib import Path

    from treadle.project.configured import ConfiguredProject

    _StreamHandler = logging.StreamHandler[Any]
else:
    _StreamHandler = logging.StreamHandler  # takes no type argument before Python 3.11


class StderrHandler(_StreamHandler):
    """Write plain lines to the current `sys.stderr`, even if it has been replaced."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    def format(self, record: logging.LogRecord) -> str:
        """Format a record, with control characters escaped."""
        from treadle.printable import printable

        return printable(super().format(record))

    @property
    def stream(self) -> Any:
        """The current standard error, without the wrapper that prefixes lines with the node, as log records name their node."""
        return getattr(sys.stderr, "unlabelled", sys.stderr)

    @stream.setter
    def stream(self, value: Any) -> None:
        msg = f"this handler always writes to the current sys.stderr, not to {value!r}"
        raise AttributeError(msg)


class RunFields(logging.Filter):
    """Add the fields `node` and `worker` to each record, so that formatters can use `%(node)s` and `%(worker)s`.

    Records from worker processes already have them. Outside nodes, `node` is `-`; in the main process, `worker` is `main`.
    `configure_logging` adds this filter to every handler; a program that configures logging itself must add it to handlers
    whose formats use the fields.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add missing fields; never drop a record."""
        node, worker = node_here.get() or ("-", "main")
        if getattr(record, "worker", None) is None:
            record.worker = worker
            record.node = getattr(record, "node", None) or node
        elif getattr(record, "node", None) is None:
            record.node = "-"
        return True


def configure_logging(
    conf: Mapping[str, Any] | None = None,
    *,
    project_path: Path | str | None = None,
    conf_source: str | Path = DEFAULT_CONF_SOURCE,
    package_name: str | None = None,
) -> None:
    """Configure logging for a project.

    The first available source is used: `conf`, the file named by TREADLE_LOGGING_CONFIG, `logging.yml` at the top of the
    configuration folder or archive, the default. The schema is that of `logging.config.dictConfig`, with four additions:
    `version` is optional, existing loggers stay enabled, file names are relative to the project and their folders are created,
    and formats may use the fields of `RunFields`. A file may only name handler, formatter, filter and queue classes; other
    callables must be listed in the setting LOGGING_FACTORIES.

    Args:
        conf: a configuration, used unchanged.
        project_path: the project's root; the working directory by default.
        conf_source: the configuration folder or archive, relative to the project's root.
        package_name: the package whose INFO records the default configuration shows; by default the configured project's.

    Raises:
        MissingConfigError: TREADLE_LOGGING_CONFIG names a file that does not exist.
        ConfigError: the configuration is invalid, or names a callable that is not allowed.
    """
    from pathlib import Path

    root = Path.cwd() if project_path is None else Path(project_path).resolve()
    if conf is not None:
        _apply(conf, root, None)
        return
    found = _configuration_text(root, conf_source)
    if found is not None:
        from treadle.config.parsing import parse_config
        from treadle.project.logging_callables import check_callables

        text, file = found
        read = parse_config(text, file)
        project = _configured()
        settings = project.settings if project is not None else None
        check_callables(read, settings.LOGGING_FACTORIES if settings else (), file)
        _apply(read, root, file)
        return
    if package_name is None and (project := _configured()) is not None:
        package_name = project.package_name
    if logging.root.handlers or _is_terminal():
        _apply(default_configuration(package_name), root, None)
        return
    _apply_default(default_configuration(package_name))


def default_configuration(package_name: str | None = None) -> dict[str, Any]:
    """Return the logging configuration for a project that has none.

    Args:
        package_name: a package whose INFO records are shown in addition to Treadle's.

    Returns:
        A configuration for `logging.config.dictConfig`: rich if standard error is a terminal, else plain lines.
    """
    loggers = {name: {"level": "INFO"} for name in ("treadle", package_name) if name}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": {"format": _PLAIN_FORMAT}},
        "handlers": {"console": _rich_handler() if _is_terminal() else {"()": StderrHandler, "formatter": "plain"}},
        "loggers": loggers,
        "root": {"level": "WARNING", "handlers": ["console"]},
    }


def snapshot_levels() -> LoggingLevels:
    """Take a snapshot of this process's logger levels.

    Returns:
        A small picklable value with the loggers that are not in their default state.
    """
    manager = logging.root.manager
    different = [
        LoggerLevel(name, logger.level, bool(logger.propagate), bool(logger.disabled))
        for name, logger in list(manager.loggerDict.items())
        if isinstance(logger, logging.Logger) and (logger.level != logging.NOTSET or not logger.propagate or logger.disabled)
    ]
    return LoggingLevels(
        root_level=logging.root.level,
        disable=manager.disable,
        capture_warnings=getattr(logging, "_warnings_showwarning", None) is not None,
        loggers=tuple(sorted(different, key=lambda each: each.name)),
    )


def apply_levels(levels: LoggingLevels, replacing: LoggingLevels | None = None) -> None:
    """Apply the logger levels of another process; handlers are not changed.

    Args:
        levels: the snapshot to apply.
        replacing: the snapshot applied before, if any: loggers that are only in it are reset to their default state.
    """
    for gone in {each.name for each in (replacing.loggers if replacing else ())} - {each.name for each in levels.loggers}:
        _set_level(LoggerLevel(gone, logging.NOTSET, propagate=True, disabled=False))
    for each in levels.loggers:
        _set_level(each)
    if logging.root.level != levels.root_level:  # each change clears what all loggers know of the levels above them
        logging.root.setLevel(levels.root_level)
    if logging.root.manager.disable != levels.disable:
        logging.disable(levels.disable)
    logging.captureWarnings(levels.capture_warnings)


def _set_level(each: LoggerLevel) -> None:
    logger = logging.getLogger(each.name)
    if logger.level != each.level:
        logger.setLevel(each.level)
    logger.propagate = each.propagate
    logger.disabled = each.disabled


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _rich_handler() -> dict[str, Any]:
    from rich.console import Console

    return {
        "class": "treadle.project.terminal_logging.TerminalHandler",
        "console": Console(stderr=True),
        "rich_tracebacks": True,
        "show_path": False,
        "omit_repeated_times": False,
        "log_time_format": "%Y-%m-%d %H:%M:%S",
    }


def _configured() -> ConfiguredProject | None:
    """Return the project of this process; None if it has none."""
    return configured_project() if is_configured() else None


def _configuration_text(root: Path, conf_source: str | Path) -> tuple[str, str] | None:
    """Return the text of the project's logging configuration and its file name for messages; None if there is none."""
    from pathlib import Path

    from treadle.config.source import FolderSource, open_source

    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        file = root / Path(named).expanduser()
        if not file.is_file():
            msg = f"{ENVIRONMENT_VARIABLE} names {file}, which is not a file. Correct the variable or unset it."
            raise MissingConfigError(msg, file=str(file), key=ENVIRONMENT_VARIABLE)
        return FolderSource(file.parent).read("", file.name), str(file)
    place = root / Path(conf_source).expanduser()
    if not place.exists():
        return None
    project = _configured()
    base_env = project.settings.CONFIG_LOADER_ARGS.get("base_env", "base") if project is not None else "base"
    source = open_source(place, base_env or "")
    name = next((name for name in _FILE_NAMES if source.has_file("", name)), None)
    return None if name is None else (source.read("", name), source.describe("", name))


def _apply_default(conf: Mapping[str, Any]) -> None:
    """Apply the default configuration where nothing is configured yet; it takes less time than the import of `logging.config`."""
    handler = StderrHandler()
    handler.setFormatter(logging.Formatter(_PLAIN_FORMAT))
    handler.addFilter(RunFields())
    logging.root.addHandler(handler)
    logging.root.setLevel(conf["root"]["level"])
    for name, logger in conf["loggers"].items():
        logging.getLogger(name).setLevel(logger["level"])


def _apply(conf: Mapping[str, Any], root: Path, file: str | None) -> None:
    import logging.config

    prepared: dict[str, Any] = {"version": 1, "disable_existing_loggers": False, **copy.copy(dict(conf))}
    handlers = prepared.get("handlers")
    try:
        if isinstance(handlers, Mapping):
            prepared["handlers"] = {name: _anchored(handler, root) for name, handler in handlers.items()}
        logging.config.dictConfig(prepared)
    except (ValueError, TypeError, AttributeError, ImportError, OSError) as exc:  # OSError: a log file cannot be created
        cause = f": {exc.__cause__}" if exc.__cause__ is not None else ""
        where = file or "the given configuration"
        msg = f"Logging cannot be configured from {where}: {exc}{cause}. It follows the schema of logging.config.dictConfig."
        raise ConfigError(msg, file=file) from exc
    for logger in (logging.root, *logging.root.manager.loggerDict.values()):
        for handler in getattr(logger, "handlers", ()):  # a placeholder has none
            if not any(isinstance(each, RunFields) for each in handler.filters):
                handler.addFilter(RunFields())
            report_write_errors_once(handler)


def _anchored(handler: Any, root: Path) -> Any:
    """Resolve a handler's file name relative to the project, and create its folder."""
    if not isinstance(handler, Mapping) or not isinstance(handler.get("filename"), str):
        return handler
    file = root / os.path.expanduser(handler["filename"])  # noqa: PTH111 - a string, also where there is no home folder
    file.parent.mkdir(parents=True, exist_ok=True)
    return {**handler, "filename": str(file)}
