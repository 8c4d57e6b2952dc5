"""How a node is to be run: again when it fails, for how long at most, where, with how much of what is scarce.

Job: `NodePolicy`, the frozen record that a node carries and that configuration lays over, and how its values are read: `"5m"` is
300 seconds, `"4GB"` is 4,000,000,000 bytes. A policy says nothing about what a node is: two nodes that differ in it alone are
equal. State: none. Neighbours: `node.py` carries it, `treadle.planning.policies` reads it from `execution.yml`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any, Literal, TypeAlias

from treadle.errors import PipelineError

Duration: TypeAlias = "float | str"
"""Seconds, or a text: `30`, `"30s"`, `"5m"`."""
Amount: TypeAlias = "int | str"
"""A whole number, or a text with a unit of bytes: `1`, `"4GB"`, `"512MiB"`."""


class FailurePolicy(Enum):
    """What happens to the rest of the run after a failed node."""

    STOP = "stop"
    """Start no further node; running nodes may finish."""
    CONTINUE = "continue"
    """Skip the nodes that depend on it and run the rest."""


class Place(Enum):
    """Where a node runs."""

    MAIN = "main"
    """In the process that called `run`."""
    WORKER = "worker"
    """Wherever its runner runs nodes."""


@dataclass(frozen=True, slots=True, init=False)
class NodePolicy:
    """How a node is run; fields that are None are not set.

    Attributes:
        retries: how many more attempts a node has that failed, was too slow, or lost its worker.
        retry_delay: seconds between two attempts.
        timeout: seconds that one attempt may take; infinity where configuration takes a limit away.
        run_in: where it runs.
        resources: (name, amount) of what an attempt occupies while it runs, sorted; bytes for `memory`.
        on_failure: what its failure means for the rest of the run.
        seed: seeds its random numbers, in place of the runner's seed; False: they are not seeded.

    Args:
        retries: 0 or more.
        retry_delay: seconds, or `"30s"`, `"5m"`, `"1h"`.
        timeout: the same, more than 0.
        run_in: `"main"` or `"worker"`.
        resources: amounts by name: `{"gpu": 1, "memory": "4GB"}`.
        on_failure: `"stop"` or `"continue"`.
        seed: a whole number, 0 or more; False for a node that is to draw fresh numbers in a run that has a seed.

    Raises:
        PipelineError: a value is none of these.

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

    def __init__(
        self,
        *,
        retries: int | None = None,
        retry_delay: Duration | None = None,
        timeout: Duration | None = None,
        run_in: str | Place | None = None,
        resources: Mapping[str, Amount] | None = None,
        on_failure: str | FailurePolicy | None = None,
        seed: int | Literal[False] | None = None,
    ) -> None:
        given = {
            "retries": retries,
            "retry_delay": retry_delay,
            "timeout": timeout,
            "run_in": run_in,
            "resources": resources,
            "on_failure": on_failure,
            "seed": seed,
        }
        for name, value in given.items():
            try:
                read = None if value is None else READERS[name](value)
            except ValueError as exc:
                msg = f"A NodePolicy has {name}={value!r}: {exc}."
                raise PipelineError(msg) from None
            object.__setattr__(self, name, read)

    def over(self, below: NodePolicy) -> NodePolicy:
        """Merge this policy over another: fields not set here are taken from it; resources are merged by name.

        Args:
            below: the other one.

        Returns:
            Both in one.
        """
        values = {each.name: getattr(self, each.name) for each in fields(NodePolicy)}
        joined = {name: getattr(below, name) if value is None else value for name, value in values.items()}
        if self.resources is not None and below.resources is not None:
            joined["resources"] = tuple(sorted({**dict(below.resources), **dict(self.resources)}.items()))
        return policy_of(joined)

    def __reduce__(self) -> tuple[Any, ...]:
        return policy_of, ({each.name: getattr(self, each.name) for each in fields(self)},)


def policy_of(values: Mapping[str, Any]) -> NodePolicy:
    """Make a policy of values that are read already.

    Args:
        values: by the names of the fields; those that are missing are not set.
    """
    policy = object.__new__(NodePolicy)
    for each in fields(NodePolicy):
        object.__setattr__(policy, each.name, values.get(each.name))
    return policy


def check_policy(policy: object, owner: str) -> None:
    """Raise if a value is not a policy.

    Args:
        policy: what a node was given.
        owner: the node in words.

    Raises:
        PipelineError: it is not a NodePolicy.
    """
    if not isinstance(policy, NodePolicy):
        msg = f"{owner} has policy={policy!r}. Give a NodePolicy: policy=NodePolicy(retries=3)."
        raise PipelineError(msg)


_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_NUMBER_AND_UNIT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


def read_duration(value: object) -> float:
    """Read seconds.

    Args:
        value: a number of seconds, or a text like `"30s"`, `"5m"`, `"1.5h"`.

    Returns:
        Seconds, 0 or more.

    Raises:
        ValueError: it is neither; the text says what would be.
    """
    if isinstance(value, str) and (found := _NUMBER_AND_UNIT.fullmatch(value)) and (found[2] or "s") in _SECONDS:
        return round(float(found[1]) * _SECONDS[found[2] or "s"], 9)  # 700 ms are 0.7 s, and no hair more
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf:
        return float(value)
    msg = 'give seconds, as a number or a text like "30s", "5m", "1h"'
    raise ValueError(msg)


def read_amount(value: object) -> int:
    """Read an amount of a resource.

    Args:
        value: a whole number, or a text with a unit of bytes: `"4GB"` (10^9 bytes each), `"512MiB"` (2^20 bytes each).

    Returns:
        The number, 0 or more.

    Raises:
        ValueError: it is neither; the text says what would be.
    """
    if isinstance(value, str) and (found := _NUMBER_AND_UNIT.fullmatch(value)) and (found[2] or "B") in _BYTES:
        amount = float(found[1]) * _BYTES[found[2] or "B"]
        if found[2] or amount.is_integer():
            return round(amount)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf and value == int(value):
        return int(value)
    msg = 'give a whole number, or bytes as a text like "4GB" or "512MiB"'
    raise ValueError(msg)


def read_resources(value: object) -> tuple[tuple[str, int], ...]:
    """Read amounts by name.

    Args:
        value: a mapping of names to amounts.

    Returns:
        (name, amount) pairs, sorted.

    Raises:
        ValueError: it is not a mapping, or an amount is wrong; the text names it.
    """
    if not isinstance(value, Mapping):
        msg = "give amounts by name, like {gpu: 1, memory: 4GB}"
        raise ValueError(msg)  # noqa: TRY004 - one kind of error for all that can be wrong with a value
    amounts = {}
    for name, amount in value.items():
        if not isinstance(name, str) or not name.strip():
            msg = f"{name!r} is no name of a resource; give amounts by name, like {{gpu: 1, memory: 4GB}}"
            raise ValueError(msg)
        try:
            amounts[name] = read_amount(amount)
        except ValueError as exc:
            msg = f"{name} is {amount!r}; {exc}"
            raise ValueError(msg) from None
    return tuple(sorted(amounts.items()))


def read_failure_policy(value: object) -> FailurePolicy:
    """Read what a failure means for the rest of a run.

    Args:
        value: `"stop"` or `"continue"`, or the member.

    Raises:
        ValueError: it is neither; the text says what would be.
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


def read_seed(value: object) -> int:
    """Read a seed.

    Args:
        value: a whole number, 0 or more.

    Raises:
        ValueError: it is something else; the text says what a seed is.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    msg = "give a whole number, 0 or more"
    raise ValueError(msg)


def _read_node_seed(value: object) -> int | Literal[False]:
    return False if value is False else read_seed(value)


READERS = {
    "retries": _read_retries,
    "retry_delay": read_duration,
    "timeout": _read_timeout,
    "run_in": lambda value: _member(Place, value),
    "resources": read_resources,
    "on_failure": read_failure_policy,
    "seed": _read_node_seed,
}
"""How each field of a policy is read; each raises ValueError with what would be right."""
