"""Repeat a recorded run with the params, environment and arguments that it was given.

Job: convert a record to the arguments of `Session.create` and `session.run`, reject values that the record does not contain
(secrets are masked), and list what has changed since: code, Python, packages. State: none. Neighbours: `record.py` and
`masking.py` made the record; `request.py` names the arguments.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.config.params import merge_params
from treadle.config.writing import TextOf
from treadle.errors import SessionError
from treadle.secrets import MASK
from treadle.session.facts import GitProbe, installed_versions
from treadle.session.request import RunRequest
from treadle.session.sources import sources_digest

if TYPE_CHECKING:
    from treadle.observe.store import SessionRecord
    from treadle.observe.store.diff import Change


@dataclass(frozen=True, slots=True)
class Rerun:
    """The arguments that repeat a run.

    Attributes:
        env: the configuration environment; None for the default.
        conf_source: the configuration source; None for that of the settings.
        extra_params: the params of the session.
        arguments: the given arguments of `session.run`, by name.
    """

    env: str | None = None
    conf_source: str | None = None
    extra_params: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)


def rerun_of(
    record: SessionRecord,
    *,
    default_conf_source: str | Path,
    default_env: str | None = None,
    params: Mapping[str, Any] | None = None,
) -> Rerun:
    """Return the arguments that repeat the last run of a session.

    Args:
        record: the session.
        default_conf_source: the configuration folder of the project's settings.
        default_env: the environment of a session that named none; `TREADLE_ENV` may name another one today.
        params: params that override those of the record, including the secrets, which the record does not contain.

    Returns:
        The arguments for `Session.create` and `session.run`.

    Raises:
        SessionError: the session has no run, a program passed data to it, or its secrets are missing from `params`.
    """
    if not record.runs:
        msg = (
            f"Session {record.session_id} cannot be repeated: it ended before a run began. `treadle sessions list` shows others."
        )
        raise SessionError(msg, session_id=record.session_id)
    known = set(RunRequest._fields)
    arguments = {name: value for name, value in record.runs[-1].params.items() if name in known}
    if arguments.get("inputs"):
        msg = (
            f"Session {record.session_id} cannot be repeated: a program passed it data for {', '.join(arguments['inputs'])}, and "
            "records do not contain data. Run it again from a program, with session.run(inputs=...)."
        )
        raise SessionError(msg, session_id=record.session_id)
    extra_params = merge_params(record.extra_params, params or {})
    _refuse_masked(record, extra_params, "--params")
    _refuse_objects(record, extra_params)
    _refuse_masked(record, arguments.get("runner_params", {}), "treadle run --runner-params")
    own = Path(record.conf_source) == Path(record.project_path) / default_conf_source
    return Rerun(record.env or default_env, None if own else record.conf_source, extra_params, arguments)


def changes_since(record: SessionRecord) -> tuple[Change, ...]:
    """List the changes since a session that may make a repeated run differ.

    Args:
        record: the session.

    Returns:
        Changes of the commit, of the code and configuration files (committed or not), and of Python and package versions.
    """
    from treadle.observe.store.diff import ABSENT, Change, diff_values

    changes: list[Change] = []
    commit = GitProbe(Path(record.project_path)).facts().commit
    if record.git_commit != commit:
        changes.append(Change("commit", record.git_commit or ABSENT, commit or ABSENT))
    if record.sources is not None:
        sources = sources_digest(record.package_name, Path(record.project_path), Path(record.conf_source))
        if record.sources != sources:
            changes.append(Change("files of code and configuration (digest)", record.sources, sources or ABSENT))
    elif record.git_commit == commit and record.git_dirty:
        changes.append(Change("commit", f"{commit} with uncommitted changes", commit))
    return (*changes, *diff_values(record.versions, installed_versions()))


def _refuse_masked(record: SessionRecord, values: Mapping[str, Any], flag: str) -> None:
    masked = list(masked_names(values))
    if masked:
        msg = (
            f"Session {record.session_id} used secrets, which its record does not contain: {', '.join(masked)}. Pass them "
            f"again: {flag} {','.join(f'{name}=…' for name in masked)}"
        )
        raise SessionError(msg, session_id=record.session_id)


def _refuse_objects(record: SessionRecord, values: Mapping[str, Any]) -> None:
    objects = list(_object_names(values, ""))
    if objects:
        msg = (
            f"Session {record.session_id} cannot be repeated: a program passed it objects for {', '.join(objects)}, and its "
            f"record contains only their text. Pass values with --params {','.join(f'{name}=…' for name in objects)}, or run it "
            "again from a program."
        )
        raise SessionError(msg, session_id=record.session_id)


def _object_names(value: Any, name: str) -> Iterator[str]:
    if isinstance(value, TextOf):
        yield name
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield from _object_names(each, f"{name}.{key}" if name else f"{key}")


def masked_names(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the names of params whose values are masked.

    Args:
        values: params.
        prefix: prefix of their dotted names.

    Yields:
        The dotted names.
    """
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from masked_names(value, f"{prefix}{name}.")
        elif any(isinstance(each, str) and MASK in each for each in _elements(value)):
            yield f"{prefix}{name}"


def _elements(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
