"""The policy of a node: retries, timeout, process, resources, failure handling, seed.

`NodePolicy` is a frozen record that a node has and that configuration can override. Nodes that differ only in their policy are
equal. State: none. Neighbours: `quantities.py` parses durations and amounts, `node.py` stores a policy,
`treadle.planning.policies` reads it from `execution.yml`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from typing import Any, Literal

from treadle.errors import PipelineError
from treadle.pipeline.quantities import Amount, Duration, read_duration, read_resources, read_seed


class FailurePolicy(Enum):
    """How a run continues after a failed node."""

    STOP = "stop"
    """Start no more nodes; running nodes may finish."""
    CONTINUE = "continue"
    """Skip the nodes that depend on it and run the rest."""


class CachePolicy(Enum):
    """When an up-to-date node may be skipped, in a run that skips such nodes."""

    AUTO = "auto"
    """If everything that its outputs depend on can be compared and is unchanged."""
    NEVER = "never"
    """Never: it always runs."""
    ALWAYS = "always"
    """If everything that can be compared is unchanged; what cannot be compared counts as unchanged."""
    STORE = "store"
    """As for `auto`; its in-memory outputs are stored, so that they can be loaded instead of made again."""


class Place(Enum):
    """Where a node runs."""

    MAIN = "main"
    """In the main process, which called `run`."""
    WORKER = "worker"
    """In a worker of the runner."""


class NodePolicy:
    """How a node is run. A field that is None is not set. It cannot be changed, and is equal to another with the same values.

    Attributes:
        retries: number of further attempts after a failure, a timeout or the loss of the worker.
        retry_delay: seconds between two attempts.
        timeout: maximum duration of one attempt in seconds; infinity if configuration removes the limit.
        run_in: the process in which it runs.
        resources: pairs (name, amount) that an attempt occupies while it runs, sorted; bytes for `memory`.
        on_failure: how the run continues after the node fails.
        seed: the seed of its random numbers, which replaces the runner's seed; False for no seed.
        cache: when it may be skipped, in a run that skips up-to-date nodes.
        version: a text that the user changes to make the node run again.
        max_age: seconds after which its last success is too old to skip it.

    Args:
        retries: 0 or more.
        retry_delay: seconds, or `"30s"`, `"5m"`, `"1h"`.
        timeout: likewise, more than 0.
        run_in: `"main"` or `"worker"`.
        resources: amounts by name: `{"gpu": 1, "memory": "4GB"}`.
        on_failure: `"stop"` or `"continue"`.
        seed: an integer, 0 or more; False for different random numbers in each run, even if the run has a seed.
        cache: `"auto"` (the default), `"never"`, `"always"` or `"store"`.
        version: any text or number.
        max_age: seconds, or `"12h"`, `"7d"`.

    Raises:
        PipelineError: a value is invalid.

    Example:
        >>> from treadle import NodePolicy, node
        >>> fetch = node(len, "page", "size", policy=NodePolicy(retries=3, retry_delay="10s", timeout="5m"))
        >>> fetch.policy.timeout
        300.0
    """

    retries: int | None
    retry_delay: float | None
    timeout: float | None
    run_in: Place | None
    resources: tuple[tuple[str, int], ...] | None
    on_failure: FailurePolicy | None
    seed: int | Literal[False] | None
    cache: CachePolicy | None
    version: str | None
    max_age: float | None

    __slots__ = (
        "cache",
        "max_age",
        "on_failure",
        "resources",
        "retries",
        "retry_delay",
        "run_in",
        "seed",
        "timeout",
        "version",
    )

    def __init__(  # noqa: PLR0913 - one argument per field, passed by name
        self,
        *,
        retries: int | None = None,
        retry_delay: Duration | None = None,
        timeout: Duration | None = None,
        run_in: str | Place | None = None,
        resources: Mapping[str, Amount] | None = None,
        on_failure: str | FailurePolicy | None = None,
        seed: int | Literal[False] | None = None,
        cache: str | CachePolicy | None = None,
        version: str | float | None = None,
        max_age: Duration | None = None,
    ) -> None:
        given = {
            "retries": retries,
            "retry_delay": retry_delay,
            "timeout": timeout,
            "run_in": run_in,
            "resources": resources,
            "on_failure": on_failure,
            "seed": seed,
            "cache": cache,
            "version": version,
            "max_age": max_age,
        }
        for name, value in given.items():
            try:
                read = None if value is None else READERS[name](value)
            except ValueError as exc:
                msg = f"A NodePolicy has {name}={value!r}: {exc}."
                raise PipelineError(msg) from None
            object.__setattr__(self, name, read)

    def over(self, below: NodePolicy) -> NodePolicy:
        """Merge this policy over another one, which supplies the fields that are not set here; resources are merged by name.

        Args:
            below: the other policy.

        Returns:
            The merged policy.
        """
        joined = {name: getattr(below, name) if value is None else value for name, value in self._values().items()}
        if self.resources is not None and below.resources is not None:
            joined["resources"] = tuple(sorted({**dict(below.resources), **dict(self.resources)}.items()))
        return policy_of(joined)

    def __reduce__(self) -> tuple[Any, ...]:
        return policy_of, (self._values(),)

    def _values(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in READERS}

    def __setattr__(self, name: str, value: object) -> None:
        msg = f"A NodePolicy cannot be changed, so its {name} cannot be set to {value!r}. Make another one."
        raise AttributeError(msg)

    def __delattr__(self, name: str) -> None:
        msg = f"A NodePolicy cannot be changed, so its {name} cannot be deleted."
        raise AttributeError(msg)

    def __eq__(self, other: object) -> bool:
        return self._values() == other._values() if isinstance(other, NodePolicy) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self._values().values()))

    def __repr__(self) -> str:
        return f"NodePolicy({', '.join(f'{name}={value!r}' for name, value in self._values().items())})"


def policy_of(values: Mapping[str, Any]) -> NodePolicy:
    """Create a policy from parsed values.

    Args:
        values: values by field name; missing ones are not set.
    """
    policy = object.__new__(NodePolicy)
    for name in READERS:
        object.__setattr__(policy, name, values.get(name))
    return policy


def check_policy(policy: object, owner: str) -> None:
    """Raise if a value is not a policy.

    Args:
        policy: the value.
        owner: a description of the node, for the message.

    Raises:
        PipelineError: it is not a NodePolicy.
    """
    if not isinstance(policy, NodePolicy):
        msg = f"{owner} has policy={policy!r}. Pass a NodePolicy: policy=NodePolicy(retries=3)."
        raise PipelineError(msg)


def read_failure_policy(value: object) -> FailurePolicy:
    """Parse a failure policy.

    Args:
        value: `"stop"`, `"continue"` or a FailurePolicy.

    Raises:
        ValueError: it is neither; the message describes valid values.
    """
    policy: FailurePolicy = _member(FailurePolicy, value)
    return policy


def _member(kind: type[Any], value: object) -> Any:
    try:
        return kind(value)
    except ValueError:
        msg = f"give {' or '.join(repr(each.value) for each in kind)}"
        raise ValueError(msg) from None


def _read_retries(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    msg = "give a whole number, 0 or more"
    raise ValueError(msg)


def _read_timeout(value: object) -> float:
    if value == math.inf:
        return math.inf
    if (seconds := read_duration(value)) > 0:
        return seconds
    msg = 'give more than 0 seconds, as a number or a text like "30s", "5m", "1h"'
    raise ValueError(msg)


def _read_node_seed(value: object) -> int | Literal[False]:
    return False if value is False else read_seed(value)


def _read_version(value: object) -> str:
    if isinstance(value, (str, int, float)) and not isinstance(value, bool) and str(value).strip():
        return str(value)
    msg = "give a text or a number"
    raise ValueError(msg)


READERS = {
    "retries": _read_retries,
    "retry_delay": read_duration,
    "timeout": _read_timeout,
    "run_in": lambda value: _member(Place, value),
    "resources": read_resources,
    "on_failure": read_failure_policy,
    "seed": _read_node_seed,
    "cache": lambda value: _member(CachePolicy, value),
    "version": _read_version,
    "max_age": read_duration,
}
"""The parser of each field; it raises ValueError with a description of valid values."""
