"""Nodes that use one database, or another thing that only one process may have open, and how they keep out of each other's way.

What belongs together is said by `exclusive` in `execution.yml`, by a dataset's attribute of that name, or found from the catalog
entry (`treadle.io.exclusive`). The nodes that use such datasets run in the main process, so that one connection serves them
all, or, where the rule says so, one at a time in any process. State: none. Neighbours: `policies` reads rules, `plan` asks here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from treadle.pipeline.policy import NodePolicy, policy_of

if TYPE_CHECKING:
    from treadle.pipeline.links import Links

_RESOURCE = "exclusive: {}"
_ALONE = NodePolicy()


class Sharing(Enum):
    """How the nodes that use one thing are run."""

    MAIN = "main"
    """In the main process."""
    ONE_AT_A_TIME = "one_at_a_time"
    """In any process, one after the other."""
    FREE = "free"
    """As if they shared nothing."""


@dataclass(frozen=True, slots=True)
class ExclusiveRule:
    """What `exclusive` in `execution.yml` says of some datasets.

    Attributes:
        name: of the thing that they share.
        datasets: their names, or patterns of them.
        run: how the nodes that use them are run.
    """

    name: str
    datasets: tuple[str, ...]
    run: Sharing = Sharing.MAIN

    def covers(self, dataset: str) -> bool:
        """Say whether a dataset is one of them."""
        return any(fnmatchcase(dataset, pattern) for pattern in self.datasets)


class Exclusive(NamedTuple):
    """What follows for the nodes of a plan."""

    in_main: frozenset[int]
    """Those that run in the main process."""
    policies: tuple[NodePolicy | None, ...]
    """The policies of all nodes, with what those need that run one at a time; empty where no node has one."""
    resources: Mapping[str, int]
    """The limits for that."""


def read_rule(name: str, value: Any) -> ExclusiveRule:
    """Read one rule.

    Args:
        name: its key under `exclusive`.
        value: names or patterns of datasets in a list, or a mapping of `datasets` and `run`.

    Raises:
        ValueError: it is neither; the text says what would be right.
    """
    entry = value if isinstance(value, Mapping) else {"datasets": value}
    datasets = entry.get("datasets")
    unknown = [key for key in entry if key not in {"datasets", "run"}]
    if unknown or not isinstance(datasets, (list, tuple)) or not all(isinstance(each, str) for each in datasets):
        msg = f"give the names of datasets in a list, or {{datasets: [...], run: {' or '.join(each.value for each in Sharing)}}}"
        raise ValueError(msg)
    try:
        return ExclusiveRule(name, tuple(datasets), Sharing(entry.get("run", Sharing.MAIN)))
    except ValueError:
        msg = f"`run` is {entry['run']!r}; give {' or '.join(each.value for each in Sharing)}"
        raise ValueError(msg) from None


def keep_apart(
    links: Links, shared: Mapping[int, str], rules: Iterable[ExclusiveRule], policies: tuple[NodePolicy | None, ...]
) -> Exclusive:
    """Find the nodes that use what only one process may have open.

    Args:
        links: the wiring of the pipeline.
        shared: what datasets share, by index of the datasets of which that is known without a rule.
        rules: what configuration says; it wins.
        policies: of all nodes; empty where no node has one.

    Returns:
        What follows for the nodes.
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
