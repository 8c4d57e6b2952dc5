"""The arguments of `Session.run` as one value, normalised.

State: none. Neighbours: `session.py` creates a request for each run and passes parts of it to hooks and to the record;
`resume.py` writes it as a command line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from treadle.errors import SessionError
from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from treadle.execution.runners.choice import RunnerChoice


_NONE_GIVEN: Final[Mapping[str, Any]] = {}
"""No versions and no parameters; never changed."""


class RunRequest(NamedTuple):
    """The arguments of a run; empty means not given.

    `runner` is a name or dotted path, None for the default runner, and `runner_params` are its arguments. `inputs` holds only
    the names of the datasets that were given values.
    """

    pipeline_names: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    node_names: tuple[str, ...] = ()
    from_nodes: tuple[str, ...] = ()
    to_nodes: tuple[str, ...] = ()
    from_inputs: tuple[str, ...] = ()
    to_outputs: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    load_versions: Mapping[str, str] = _NONE_GIVEN
    only_missing_outputs: bool = False
    runner: str | None = None
    runner_params: Mapping[str, Any] = _NONE_GIVEN
    inputs: tuple[str, ...] = ()
    on_failure: str | None = None
    skip_unchanged: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return all arguments as a dictionary, for hooks.

        Returns:
            Arguments by name; tuples become lists.
        """
        return {name: list(value) if isinstance(value, tuple) else value for name, value in self._asdict().items()}

    def filled(self, recorded: Mapping[str, Any]) -> RunRequest:
        """Return the request with the arguments of an earlier run for those that are not given.

        Args:
            recorded: the arguments, by name, as `given` returns them.
        """
        given = self.given()
        missing: dict[str, Any] = {name: recorded[name] for name in self._fields if name in recorded and name not in given}
        values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in missing.items()}
        return self._replace(**values)

    def given(self) -> dict[str, Any]:
        """Return the given arguments as a dictionary, for the record.

        Returns:
            The non-empty items of `as_dict`.
        """
        return {name: value for name, value in self.as_dict().items() if value}


def make_request(choice: RunnerChoice | None = None, **given: Any) -> RunRequest:
    """Make a request from the arguments of `Session.run`.

    Args:
        choice: the runner to use; None for the default.
        **given: the other arguments, by name.

    Returns:
        The normalised request.

    Raises:
        SessionError: an argument has the wrong type or value.
    """
    values: dict[str, Any] = {name: names_of(given.get(name), name) for name in _NAMES}
    return RunRequest(
        **{**values, "pipeline_names": values["pipeline_names"] or names_of(given.get("pipeline_name"), "pipeline_name")},
        load_versions=versions_of(given.get("load_versions")),
        only_missing_outputs=bool(given.get("only_missing_outputs")),
        runner=choice.name if choice is not None else None,
        runner_params=choice.params if choice is not None else {},
        inputs=tuple(given.get("inputs") or ()),
        on_failure=failure_policy_of(given.get("on_failure")),
        skip_unchanged=bool(given.get("skip_unchanged")),
    )


_NAMES = ("pipeline_names", "tags", "node_names", "from_nodes", "to_nodes", "from_inputs", "to_outputs", "namespaces")


def names_of(value: Any, argument: str) -> tuple[str, ...]:
    """Return one name, several names or None as a tuple.

    Args:
        value: the argument's value.
        argument: the argument's name, for the message.

    Returns:
        The names in order, without duplicates.

    Raises:
        SessionError: the value is neither a string nor an iterable of strings.
    """
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    names = tuple(dict.fromkeys(value)) if isinstance(value, Iterable) else (value,)
    for name in names:
        if not isinstance(name, str):
            msg = f"session.run takes {argument} as a name or a list of names, not {value!r}. Pass strings."
            raise SessionError(msg)
    return names


def versions_of(value: Mapping[str, str] | Iterable[str] | None) -> dict[str, str]:
    """Return the versions to load as a mapping.

    Args:
        value: version by dataset name, or strings `dataset:version`.

    Returns:
        Version by dataset name.

    Raises:
        SessionError: a string does not have that form.
    """
    if isinstance(value, Mapping):
        return {str(name): str(version) for name, version in value.items()}
    versions: dict[str, str] = {}
    for pair in names_of(value, "load_versions"):
        name, colon, version = pair.partition(":")
        if not (colon and name and version):
            msg = f"session.run takes load_versions as {{'dataset': 'version'}} or ['dataset:version'], but got {pair!r}."
            raise SessionError(msg)
        versions[name] = version
    return versions


def failure_policy_of(value: str | None) -> str | None:
    """Validate a failure policy.

    Args:
        value: `"stop"`, `"continue"` or None.

    Returns:
        The same value.

    Raises:
        SessionError: it is any other value.
    """
    from treadle.pipeline.policy import read_failure_policy

    try:
        return None if value is None else read_failure_policy(value).value
    except ValueError as exc:
        msg = f"session.run was given on_failure={value!r}; {exc}."
        raise SessionError(msg) from None
