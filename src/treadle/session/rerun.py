"""A recorded run, made ready to be run again: its params, environment and arguments, as they were given.

Job: turn a record back into what `Session.create` and `session.run` take, refuse what the record does not hold (secrets are
masked in it), and say what is not as it was: code, Python, packages. State: none. Neighbours: `record.py` and `masking.py` made
what is read here; `request.py` names the arguments.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.config.params import merge_params
from treadle.config.writing import TextOf
from treadle.errors import SessionError
from treadle.observe.store.diff import ABSENT, Change, diff_values
from treadle.secrets import MASK
from treadle.session.facts import GitProbe, installed_versions
from treadle.session.request import RunRequest
from treadle.session.sources import sources_digest

if TYPE_CHECKING:
    from treadle.observe.store import SessionRecord


@dataclass(frozen=True, slots=True)
class Rerun:
    """What repeats a run.

    Attributes:
        env: the configuration environment, None for the default one.
        conf_source: where the configuration is read; None for what the settings say.
        extra_params: the session's params.
        arguments: the arguments of `session.run` that were given, by name.
    """

    env: str | None = None
    conf_source: str | None = None
    extra_params: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)


def rerun_of(record: SessionRecord, *, default_conf_source: str | Path, params: Mapping[str, Any] | None = None) -> Rerun:
    """Read from a record how its last run is repeated.

    Args:
        record: the session.
        default_conf_source: the folder of configuration that the project's settings name.
        params: params over those of the record, among them the secrets that it does not hold.

    Returns:
        What to give to `Session.create` and `session.run`.

    Raises:
        SessionError: nothing ran in that session, it was given data by a program, or secrets of it are not given.
    """
    if not record.runs:
        msg = f"Session {record.session_id} has no run that could be repeated: it ended before one began."
        raise SessionError(msg, session_id=record.session_id)
    known = {each.name for each in fields(RunRequest)}
    arguments = {name: value for name, value in record.runs[-1].params.items() if name in known}
    if arguments.get("inputs"):
        msg = (
            f"Session {record.session_id} was given data by a program, for {', '.join(arguments['inputs'])}, and its record does "
            "not hold data. Run it from a program again, with session.run(inputs=...)."
        )
        raise SessionError(msg, session_id=record.session_id)
    extra_params = merge_params(record.extra_params, params or {})
    _refuse_masked(record, extra_params, "--params")
    _refuse_objects(record, extra_params)
    _refuse_masked(record, arguments.get("runner_params", {}), "treadle run --runner-params")
    own = Path(record.conf_source) == Path(record.project_path) / default_conf_source
    return Rerun(record.env, None if own else record.conf_source, extra_params, arguments)


def changes_since(record: SessionRecord) -> tuple[Change, ...]:
    """Say what is not as it was when a session ran, so that its run cannot be repeated exactly.

    Args:
        record: the session.

    Returns:
        The commit where it is another one now; that the files of code and configuration are others, whether they are
        committed or not; Python and distributions whose version is another.
    """
    changes: list[Change] = []
    commit = GitProbe(Path(record.project_path)).facts().commit
    if record.git_commit != commit:
        changes.append(Change("commit", record.git_commit or ABSENT, commit or ABSENT))
    if record.sources is not None:
        sources = sources_digest(record.package_name, Path(record.project_path), Path(record.conf_source))
        if record.sources != sources:
            changes.append(Change("files of code and configuration (digest)", record.sources, sources or ABSENT))
    elif record.git_commit == commit and record.git_dirty:
        changes.append(Change("commit", f"{commit} with changes not committed", commit))
    return (*changes, *diff_values(record.versions, installed_versions()))


def _refuse_masked(record: SessionRecord, values: Mapping[str, Any], flag: str) -> None:
    masked = list(masked_names(values))
    if masked:
        msg = (
            f"Session {record.session_id} was given secrets, which its record does not hold: {', '.join(masked)}. Give them "
            f"again: {flag} {','.join(f'{name}=…' for name in masked)}"
        )
        raise SessionError(msg, session_id=record.session_id)


def _refuse_objects(record: SessionRecord, values: Mapping[str, Any]) -> None:
    objects = list(_object_names(values, ""))
    if objects:
        msg = (
            f"Session {record.session_id} was given objects by a program, for {', '.join(objects)}, and its record has only "
            f"their texts. Give others with --params {','.join(f'{name}=…' for name in objects)}, or run it from a program again."
        )
        raise SessionError(msg, session_id=record.session_id)


def _object_names(value: Any, name: str) -> Iterator[str]:
    if isinstance(value, TextOf):
        yield name
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield from _object_names(each, f"{name}.{key}" if name else f"{key}")


def masked_names(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Find the params whose values are masked.

    Args:
        values: params.
        prefix: what stands before their names.

    Yields:
        Their dotted names.
    """
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from masked_names(value, f"{prefix}{name}.")
        elif any(isinstance(each, str) and MASK in each for each in _elements(value)):
            yield f"{prefix}{name}"


def _elements(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
