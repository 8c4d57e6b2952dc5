"""What a run was asked for, as one value: the arguments of `Session.run`, names made tuples.

No state. Neighbours: `session.py` makes one a run, hands parts of it to hooks and to the record, and `resume.py` writes it
as a command line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from treadle.errors import SessionError


@dataclass(frozen=True, slots=True)
class RunRequest:
    """The arguments of a run; empty means not given.

    `runner` is its name or dotted path, None for the default one; `runner_params` is what it is made with. `inputs` are the
    datasets that values were given for; the values themselves are no words, and are not kept.
    """

    pipeline_names: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    node_names: tuple[str, ...] = ()
    from_nodes: tuple[str, ...] = ()
    to_nodes: tuple[str, ...] = ()
    from_inputs: tuple[str, ...] = ()
    to_outputs: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    load_versions: Mapping[str, str] = field(default_factory=dict)
    only_missing_outputs: bool = False
    runner: str | None = None
    runner_params: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    on_failure: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """List the arguments for hooks.

        Returns:
            Each argument by its name, names as lists.
        """
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def given(self) -> dict[str, Any]:
        """List the arguments for the record.

        Returns:
            Those of `as_dict` that were given.
        """
        return {name: value for name, value in self.as_dict().items() if value}


def names_of(value: Any, argument: str) -> tuple[str, ...]:
    """Make a tuple of one name, several, or none.

    Args:
        value: what was given.
        argument: what it was given as, for the message.

    Returns:
        The names in order, each once.

    Raises:
        SessionError: it is no text and no texts.
    """
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    names = tuple(dict.fromkeys(value)) if isinstance(value, Iterable) else (value,)
    for name in names:
        if not isinstance(name, str):
            msg = f"session.run takes {argument} as a name or a list of names, not {value!r}."
            raise SessionError(msg)
    return names


def versions_of(value: Mapping[str, str] | Iterable[str] | None) -> dict[str, str]:
    """Make a mapping of the versions to load.

    Args:
        value: dataset to version, or `dataset:version` texts.

    Returns:
        Dataset to version.

    Raises:
        SessionError: a text is not of that form.
    """
    if isinstance(value, Mapping):
        return {str(name): str(version) for name, version in value.items()}
    versions: dict[str, str] = {}
    for pair in names_of(value, "load_versions"):
        name, colon, version = pair.partition(":")
        if not (colon and name and version):
            msg = f"session.run takes load_versions as {{'dataset': 'version'}} or ['dataset:version'], and {pair!r} is neither."
            raise SessionError(msg)
        versions[name] = version
    return versions


def failure_policy_of(value: str | None) -> str | None:
    """Check what a failure is to mean for the rest of a run.

    Args:
        value: `"stop"`, `"continue"` or None.

    Returns:
        The same.

    Raises:
        SessionError: it is something else.
    """
    from treadle.pipeline.policy import read_failure_policy

    try:
        return None if value is None else read_failure_policy(value).value
    except ValueError as exc:
        msg = f"session.run was given on_failure={value!r}; {exc}."
        raise SessionError(msg) from None
