"""The policies of a run's nodes: what the code says, and what `conf/<env>/execution.yml` lays over it.

::

    defaults:                     # for every node, under what its code says
      retries: 1
      on_failure: continue
    tags:                         # over what the code says
      remote: {retries: 3, retry_delay: 10s, timeout: 5m}
    nodes:                        # over everything
      fit_model: {resources: {gpu: 1, memory: 4GB}}
    resources: {gpu: 2}           # what a runner may hand out at a time

State: none. Neighbours: `treadle.pipeline.policy` is the record, `plan` carries the policies, the scheduler goes by them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeAlias

from treadle.errors import ConfigError, RunnerError
from treadle.pipeline.policy import READERS, FailurePolicy, NodePolicy, Place, policy_of, read_resources

if TYPE_CHECKING:
    from treadle.pipeline import Node
    from treadle.planning.plan import Plan

Locate: TypeAlias = "Callable[[Sequence[str]], tuple[str, int | None] | None]"
"""Says in which file, and in which line, a key of the configuration stands."""

_SECTIONS = ("defaults", "nodes", "tags", "resources")
_PARAMETERS = tuple(each.name for each in fields(NodePolicy))
MEMORY = "memory"
"""The resource that has a limit where nobody gives it one: what the process may use."""


@dataclass(frozen=True, slots=True)
class PolicyRules:
    """What an `execution.yml` says.

    Attributes:
        defaults: for every node; its `on_failure` is not among them, it is the run's own default.
        nodes, tags: policies by name of the node or tag.
        resources: how much of each resource there is.
        on_failure: what a failure means where a node's policy does not say.
        place: says where a key stands, for messages.
    """

    defaults: NodePolicy | None = None
    nodes: Mapping[str, NodePolicy] = field(default_factory=dict)
    tags: Mapping[str, NodePolicy] = field(default_factory=dict)
    resources: Mapping[str, int] = field(default_factory=dict)
    on_failure: FailurePolicy | None = None
    place: Locate = field(default=lambda _path: None, compare=False, repr=False)

    def check_names(self, nodes: Iterable[Node]) -> None:
        """Refuse policies of nodes and tags that do not exist.

        Args:
            nodes: all there are.

        Raises:
            ConfigError: names file, key and close matches.
        """
        if not (self.nodes or self.tags):
            return
        nodes = tuple(nodes)
        for section, given, known in (
            ("nodes", self.nodes, {node.name for node in nodes}),
            ("tags", self.tags, {tag for node in nodes for tag in node.tags}),
        ):
            for name in given:
                if name not in known:
                    what = f"no {section.removesuffix('s')} of the project has this name"
                    raise _error(self.place, (section, name), what, _hint(name, known, f"The {section} are"))

    def unknown_names(self, nodes: Iterable[Node]) -> bool:
        """Say whether there is a policy of a node or tag that is not among these nodes."""
        nodes = tuple(nodes)
        known = {tag for node in nodes for tag in node.tags}
        return not (self.nodes.keys() <= {node.name for node in nodes} and self.tags.keys() <= known)

    def of(self, node: Node) -> NodePolicy | None:
        """Return a node's policy: `defaults`, over them its own, over that its tags', over all its name's.

        Args:
            node: the node.

        Returns:
            The policy, None where nothing is said.

        Raises:
            ConfigError: two tags of the node say different things.
        """
        layers = (self.defaults, getattr(node, "policy", None), self._of_tags(node), self.nodes.get(node.name))
        policy: NodePolicy | None = None
        for layer in layers:
            if layer is not None:
                policy = layer if policy is None else layer.over(policy)
        return policy

    def _of_tags(self, node: Node) -> NodePolicy | None:
        tags = sorted(self.tags.keys() & node.tags) if self.tags else ()
        joined: NodePolicy | None = None
        said: dict[tuple[str, ...], tuple[str, Any]] = {}  # which tag says what, to name both where two disagree
        for tag in tags:
            policy = self.tags[tag]
            for path, value in _leaves(policy):
                other, before = said.setdefault(path, (tag, value))
                if before != value:
                    what = f"node {node.name!r} has the tags {other!r} and {tag!r}, and they disagree in it"
                    hint = f"Say under `nodes: {node.name}` what is meant, and give the tags nothing that differs."
                    raise _error(self.place, ("tags", tag, *path), what, hint)
            joined = policy if joined is None else policy.over(joined)
        return joined


NO_RULES = PolicyRules()


def read_policies(config: Any, *, file: str | None = None, locate: Locate | None = None) -> PolicyRules:
    """Read what an `execution.yml` says.

    Args:
        config: its content, merged; None or empty where there is none.
        file: its path, for messages.
        locate: says where a key stands, for messages: `file` alone where None.

    Returns:
        The rules.

    Raises:
        ConfigError: a key is unknown or a value is wrong; names file and key.
    """
    place: Locate = locate or (lambda _path: (file, None) if file is not None else None)
    if not config:
        return NO_RULES
    _check_keys(config, _SECTIONS, place, ())
    resources: tuple[tuple[str, int], ...] = ()
    if config.get("resources") is not None:
        try:
            resources = read_resources(config["resources"])
        except ValueError as exc:
            raise _error(place, ("resources",), str(exc)) from None
    defaults = _read_policy(config.get("defaults"), place, ("defaults",))
    on_failure = defaults.on_failure
    named: dict[str, dict[str, NodePolicy]] = {}
    for section in ("nodes", "tags"):
        entries = config.get(section) or {}
        _check_keys(entries, None, place, (section,))
        named[section] = {str(name): _read_policy(entry, place, (section, str(name))) for name, entry in entries.items()}
    rest = policy_of({name: getattr(defaults, name) for name in _PARAMETERS if name != "on_failure"})
    return PolicyRules(
        defaults=rest if any(_leaves(rest)) else None,
        nodes=named["nodes"],
        tags=named["tags"],
        resources=dict(resources),
        on_failure=on_failure,
        place=place,
    )


def plan_policies(nodes: Sequence[Node], rules: PolicyRules) -> tuple[NodePolicy | None, ...]:
    """Return the policy of each node; empty where no node has one.

    Args:
        nodes: in plan order.
        rules: what configuration says.

    Raises:
        ConfigError: two tags of a node say different things.
    """
    if rules.defaults is None and not rules.nodes and not rules.tags:
        if all(getattr(node, "policy", None) is None for node in nodes):
            return ()
        return tuple(getattr(node, "policy", None) for node in nodes)
    policies = tuple(rules.of(node) for node in nodes)
    return policies if any(policy is not None for policy in policies) else ()


def runs_in_main(policy: NodePolicy | None) -> bool:
    """Say whether a policy asks for the main process."""
    return policy is not None and policy.run_in is Place.MAIN


def check_needs(plan: Plan, limits: Mapping[str, int]) -> None:
    """Refuse nodes that need what there is not.

    Args:
        plan: has the nodes' policies.
        limits: how much of each resource there is.

    Raises:
        RunnerError: names the node, the resource, and where its limit is set.
    """
    for index, policy in enumerate(plan.policies):
        for name, amount in policy.resources or () if policy is not None else ():
            if amount <= limits.get(name, 0):
                continue
            node = plan.nodes[index].name
            if name in limits:
                msg = (
                    f"Node '{node}' needs {name}: {amount:,}, and the limit is {limits[name]:,}, so it could never start. "
                    f"Let it need less, or raise the limit: `resources: {{{name}: …}}` in conf/<env>/execution.yml, or "
                    f"resources= of the runner."
                )
            else:
                close = get_close_matches(name, limits, n=1)
                hint = f"Did you mean '{close[0]}'? Or say" if close else "Say"
                msg = (
                    f"Node '{node}' needs {name}: {amount:,}, and nobody has said how much of it there is. {hint} so in "
                    f"conf/<env>/execution.yml (`resources: {{{name}: {amount}}}`), or give the runner "
                    f"resources={{'{name}': {amount}}}."
                )
            raise RunnerError(msg, name=name, close=tuple(get_close_matches(name, limits, n=1)))


def needed_resources(plan: Plan) -> frozenset[str]:
    """Name the resources that nodes of a plan need."""
    policies = (policy for policy in plan.policies if policy is not None)
    return frozenset(name for policy in policies for name, amount in policy.resources or () if amount)


def _read_policy(entry: Any, place: Locate, path: tuple[str, ...]) -> NodePolicy:
    if entry is None:
        return policy_of({})
    _check_keys(entry, _PARAMETERS, place, path)
    values = {}
    for name, value in entry.items():
        if value is None and name == "timeout":
            value = float("inf")  # noqa: PLW2901 - the limit is taken away
        if value is None:
            continue
        try:
            values[name] = READERS[name](value)
        except ValueError as exc:
            raise _error(place, (*path, name), f"it is {value!r}; {exc}") from None
    return policy_of(values)


def _check_keys(entry: Any, known: Sequence[str] | None, place: Locate, path: tuple[str, ...]) -> None:
    if not isinstance(entry, Mapping):
        keys = ", ".join(known) if known is not None else "names"
        raise _error(place, path, f"it is {entry!r}; give a mapping of {keys}")
    for key in entry:
        if known is not None and key not in known:
            raise _error(place, (*path, str(key)), "there is no such key", _hint(str(key), known, "The keys here are"))


def _leaves(policy: NodePolicy) -> Iterable[tuple[tuple[str, ...], Any]]:
    """Yield what a policy says, each resource by itself."""
    for name in _PARAMETERS:
        value = getattr(policy, name)
        if name == "resources":
            for resource, amount in value or ():
                yield (name, resource), amount
        elif value is not None:
            yield (name,), value


def _hint(name: str, known: Iterable[str], otherwise: str) -> str:
    known = sorted(known)
    close = get_close_matches(name, known, n=3)
    if close:
        return f"Did you mean {' or '.join(map(repr, close))}?"
    return f"{otherwise}: {', '.join(known[:10]) or 'none'}{', …' if len(known) > 10 else ''}."


def _error(place: Locate, path: tuple[str, ...], what: str, hint: str = "") -> ConfigError:
    found = place(path)
    file, line = found if found is not None else (None, None)
    key = ".".join(path)
    where = f"{file}, line {line}: " if line else f"{file}: " if file else ""
    subject = f"the execution key {key!r}" if key else "the execution configuration"
    return ConfigError(f"{where}{subject}: {what}.{' ' + hint if hint else ''}", file=file, line=line, key=key or None)
