"""Flags from a file: `treadle run --config nightly.yml` takes the flags that the command line does not give from there.

The file is YAML or JSON, read like a file of configuration; its keys are the names of the flags (with `-` or `_`), at the top or
under `run:`. Keeps no state.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from treadle.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    import click


def fill_flags(context: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    """Take a flags file as the defaults of a command: the callback of an eager option.

    Args:
        context: click's context of the command.
        parameter: the option that names the file.
        path: the file, None where the option is not given.

    Returns:
        The path.

    Raises:
        ConfigError: the file cannot be read, names a flag that the command does not have, or gives it a wrong value.
    """
    if path is not None:
        flags = {name: option for name, option in _flags(context.command).items() if option is not parameter}
        values = _read(path, context, flags)
        context.default_map = {**(context.default_map or {}), **values}
    return path


def _flags(command: click.Command) -> dict[str, click.Parameter]:
    """List a command's flags by every spelling they have in a file."""
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
            close = difflib.get_close_matches(_spelling(str(key)), flags)
            hint = (
                f"did you mean {close[0]}?"
                if close
                else f"the flags are {', '.join(sorted({o.name or '' for o in flags.values()}))}."
            )
            message = f"The flags file {path} sets {key!r}, which is no flag of `treadle {section}`; {hint}"
            raise ConfigError(message, file=str(path), key=str(key))
        if value is not None:
            _check_value(path, context, key, option, value)
            # A flag that may be given several times takes a list of what it was given.
            values[option.name] = [value] if getattr(option, "multiple", False) else value
    return values


def _check_value(path: Path, context: click.Context, key: Any, option: click.Parameter, value: Any) -> None:
    """Convert a value as the flag will, so that an error can say where it stands."""
    import click

    if isinstance(option.type, click.types.StringParamType) and not isinstance(value, str):
        message = f"The flags file {path} sets {key!r} to {value!r}, a {type(value).__name__}. Write the text in quotes."
        raise ConfigError(message, file=str(path), key=str(key))
    try:
        option.type.convert(value, option, context)
    except (click.BadParameter, ConfigError) as exc:
        said = exc.message if isinstance(exc, click.BadParameter) else str(exc)
        message = f"The flags file {path} sets {key!r} to {value!r}, which cannot be: {said}"
        raise ConfigError(message, file=str(path), key=str(key)) from exc
