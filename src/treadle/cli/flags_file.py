"""Flags from a file: `treadle run --config nightly.yml` takes the flags that the command line does not give from there.

The file is YAML or JSON; its keys are the names of the flags (with `-` or `_`), at the top or under `run:`. Keeps no state.
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
    import yaml

    section = context.command.name or ""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else None
        message = f"The flags file {path} is broken in line {line}: {exc.problem}. Correct it there."
        raise ConfigError(message, file=str(path), line=line) from exc
    except (OSError, ValueError, yaml.YAMLError) as exc:
        message = f"The flags file {path} cannot be read: {exc}"
        raise ConfigError(message, file=str(path)) from exc
    if isinstance(content, dict) and isinstance(content.get(section), dict):
        content = content[section]
    if content is None:
        content = {}
    if not isinstance(content, dict):
        message = (
            f"The flags file {path} must hold flags and their values, such as `runner: parallel`, not a {type(content).__name__}."
        )
        raise ConfigError(message, file=str(path))
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

    try:
        option.type.convert(value, option, context)
    except (click.BadParameter, ConfigError) as exc:
        said = exc.message if isinstance(exc, click.BadParameter) else str(exc)
        message = f"The flags file {path} sets {key!r} to {value!r}, which cannot be: {said}"
        raise ConfigError(message, file=str(path), key=str(key)) from exc
