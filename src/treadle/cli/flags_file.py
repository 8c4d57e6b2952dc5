"""Read flags from a file: `treadle run --config nightly.yml` uses its values for flags that are not on the command line.

The file is YAML or JSON, parsed like a configuration file; its keys are the names of flags (with `-` or `_`), at the top level or
under `run:`. State: none. Neighbours: `run.py` calls `fill_flags` for its option `--config`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.errors import ConfigError
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

    import click


def fill_flags(context: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    """Use a flags file as the defaults of a command; the callback of an eager option.

    Args:
        context: click's context of the command.
        parameter: the option that names the file.
        path: the file; None if the option is not given.

    Returns:
        The path.

    Raises:
        ConfigError: the file cannot be read, or contains an unknown flag or an invalid value.
    """
    if path is not None:
        flags = {name: option for name, option in _flags(context.command).items() if option is not parameter}
        values = _read(path, context, flags)
        context.default_map = {**(context.default_map or {}), **values}
    return path


def _flags(command: click.Command) -> dict[str, click.Parameter]:
    """Map every spelling of a command's flags in a file to the flag."""
    return {
        _spelling(text): option for option in command.params for text in (*option.opts, *option.secondary_opts, option.name or "")
    }


def _spelling(text: str) -> str:
    return text.lstrip("-").replace("-", "_")


def _read(path: Path, context: click.Context, flags: dict[str, click.Parameter]) -> dict[str, Any]:
    from treadle.config.parsing import parse_config
    from treadle.config.source import FolderSource

    section = context.command.name or ""
    content = parse_config(FolderSource(path.parent).read("", path.name), str(path))
    if isinstance(content.get(section), dict):
        content = content[section]
    values: dict[str, Any] = {}
    for key, value in content.items():
        option = flags.get(_spelling(str(key)))
        if option is None or option.name is None:
            known = f"The flags are: {', '.join(sorted({o.name or '' for o in flags.values()}))}."
            hint = did_you_mean(close_names(_spelling(str(key)), flags, most=1), known)
            message = f"The flags file {path} sets {key!r}, which is not a flag of `treadle {section}`.{hint}"
            raise ConfigError(message, file=str(path), key=str(key))
        if value is not None:
            _check_value(path, context, key, option, value)
            # click expects a list of values for a flag that may be repeated.
            values[option.name] = [value] if getattr(option, "multiple", False) else value
    return values


def _check_value(path: Path, context: click.Context, key: Any, option: click.Parameter, value: Any) -> None:
    """Convert a value like the flag does, so that an error can name the file and key."""
    import click

    if isinstance(option.type, click.types.StringParamType) and not isinstance(value, str):
        message = f"The flags file {path} sets {key!r} to {value!r}, a {type(value).__name__}. Write a string, in quotes."
        raise ConfigError(message, file=str(path), key=str(key))
    try:
        option.type.convert(value, option, context)
    except (click.BadParameter, ConfigError) as exc:
        problem = exc.message if isinstance(exc, click.BadParameter) else str(exc)
        message = f"The flags file {path} sets {key!r} to {value!r}, which is invalid: {problem}"
        raise ConfigError(message, file=str(path), key=str(key)) from exc
