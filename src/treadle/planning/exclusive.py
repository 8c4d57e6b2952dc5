"""Serialise nodes that use the same database, or another resource that only one process may open.

Datasets share such a resource if `exclusive` in `execution.yml` says so, or a dataset's attribute of that name, or the catalog
entry (`treadle.io.exclusive`). The nodes that use them run in the main process, with one shared connection, or one at a time
in any process if the rule says so. State: none. Neighbours: `policies` reads the rules, `plan` calls this while compiling.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

from treadle.named_tuple import NamedTuple
from treadle.pipeline.policy import NodePolicy, policy_of

if TYPE_CHECKING:
    from treadle.pipeline.links import Links

_RESOURCE = "exclusive: {}"
_ALONE = NodePolicy()


class Sharing(Enum):
    """How the nodes that use a shared resource are run."""

    MAIN = "main"
    """In the main process."""
    ONE_AT_A_TIME = "one_at_a_time"
    """In any process, one after the other."""
    FREE = "free"
    """Without restriction."""


class ExclusiveRule(NamedTuple):
    """One rule under `exclusive` in `execution.yml`.

    Attributes:
        name: name of the shared resource.
        datasets: names or patterns of the datasets that share it.
        run: how the nodes that use the datasets are run.
    """

    name: str
    datasets: tuple[str, ...]
    run: Sharing = Sharing.MAIN

    def covers(self, dataset: str) -> bool:
        """Return whether the rule applies to a dataset."""
        from fnmatch import fnmatchcase

        return any(fnmatchcase(dataset, pattern) for pattern in self.datasets)


class Exclusive(NamedTuple):
    """The consequences of shared resources for the nodes of a plan."""

    in_main: frozenset[int]
    """Indices of the nodes that run in the main process."""
    policies: tuple[NodePolicy | None, ...]
    """The policies of all nodes, with a resource request for those that run one at a time; empty if no node has a policy."""
    resources: Mapping[str, int]
    """The limits of those resources."""


def read_rule(name: str, value: Any) -> ExclusiveRule:
    """Read one rule.

    Args:
        name: its key under `exclusive`.
        value: a list of names or patterns of datasets, or a mapping with `datasets` and `run`.

    Raises:
        ValueError: the value is neither; the message says what is valid.
    """
    entry = value if isinstance(value, Mapping) else {"datasets": value}
    datasets = entry.get("datasets")
    unknown = [key for key in entry if key not in {"datasets", "run"}]
    if unknown or not isinstance(datasets, (list, tuple)) or not all(isinstance(each, str) for each in datasets):
        msg = f"give a list of dataset names, or {{datasets: [...], run: {' or '.join(each.value for each in Sharing)}}}"
        raise ValueError(msg)
    try:
        return ExclusiveRule(name, tuple(datasets), Sharing(entry.get("run", Sharing.MAIN)))
    except ValueError:
        msg = f"`run` is {entry['run']!r}; give {' or '.join(each.value for each in Sharing)}"
        raise ValueError(msg) from None


def apply_exclusive(
    links: Links, shared: Mapping[int, str], rules: Iterable[ExclusiveRule], policies: tuple[NodePolicy | None, ...]
) -> Exclusive:
    """Find the nodes that use shared resources, and how they must run.

    Args:
        links: the links of the pipeline.
        shared: the shared resource by dataset index, for datasets that declare one themselves.
        rules: the configured rules, which take precedence.
        policies: the policies of all nodes; empty if no node has one.

    Returns:
        The consequences for the nodes.
    """
    rules = tuple(rules)
    if not shared and not rules:
        return Exclusive(frozenset(), policies, {})
    in_main: set[int] = set()
    alone: dict[int, set[str]] = {}
    for index, dataset in enumerate(links.names):
        rule = next((each for each in rules if each.covers(dataset)), None)
        if rule is None and index not in shared:
            continue
        run = Sharing.MAIN if rule is None else rule.run
        producer = links.producers[index]
        users = (*links.consumers[index], *(() if producer is None else (producer,)))
        if run is Sharing.MAIN:
            in_main.update(users)
        elif run is Sharing.ONE_AT_A_TIME and rule is not None:
            for node in users:
                alone.setdefault(node, set()).add(_RESOURCE.format(rule.name))
    if alone:
        every = list(policies or (None,) * len(links.nodes))
        for node, names in alone.items():
            needs = policy_of({"resources": tuple(sorted((name, 1) for name in names))})
            every[node] = needs.over(every[node] or _ALONE)
        policies = tuple(every)
    return Exclusive(frozenset(in_main), policies, {name: 1 for names in alone.values() for name in names})
