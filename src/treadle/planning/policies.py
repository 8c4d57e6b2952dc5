"""Read and merge the execution policies of nodes, from the code and from `conf/<env>/execution.yml`.

::

    defaults:                     # for every node; the code takes precedence
      retries: 1
      on_failure: continue
    tags:                         # override the code
      remote: {retries: 3, retry_delay: 10s, timeout: 5m}
    nodes:                        # override everything
      fit_model: {resources: {gpu: 1, memory: 4GB}}
    resources: {gpu: 2}           # limits for all running nodes together
    exclusive:                    # datasets that only one process may open
      warehouse: [orders, customers]

State: none. Neighbours: `treadle.pipeline.policy` defines the policy, `plan` holds the policies, the scheduler applies them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from treadle.errors import ConfigError
from treadle.named_tuple import NamedTuple
from treadle.pipeline.policy import READERS, FailurePolicy, NodePolicy, Place, policy_of
from treadle.pipeline.quantities import read_resources
from treadle.planning.exclusive import ExclusiveRule, read_rule
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from treadle.pipeline import Node

Locate: TypeAlias = "Callable[[Sequence[str]], tuple[str, int | None] | None]"
"""Returns the file and line of a configuration key."""

_NAMED = ("nodes", "tags")
_SECTIONS = ("defaults", *_NAMED, "resources", "exclusive")
_PARAMETERS = tuple(READERS)
_SHOWN = 10
_NONE: Mapping[str, Any] = {}


def _no_place(_path: Sequence[str]) -> None:
    """Find no file: the rules do not come from one."""


class PolicyRules(NamedTuple):
    """The content of an `execution.yml`.

    Attributes:
        defaults: for every node, except `on_failure`, which is the default of the run.
        nodes, tags: policies by name of the node or tag.
        resources: the limit of each resource.
        on_failure: the default for nodes whose policy has no `on_failure`.
        exclusive: rules for datasets that only one process may open.
        place: finds the file and line of a key, for messages.
    """

    defaults: NodePolicy | None = None
    nodes: Mapping[str, NodePolicy] = _NONE
    tags: Mapping[str, NodePolicy] = _NONE
    resources: Mapping[str, int] = _NONE
    on_failure: FailurePolicy | None = None
    exclusive: tuple[ExclusiveRule, ...] = ()
    place: Locate = _no_place

    def of(self, node: Node) -> NodePolicy | None:
        """Return a node's policy, merged in rising precedence from `defaults`, its code, its tags and its name.

        Args:
            node: the node.

        Returns:
            The policy; None if the node has none.

        Raises:
            ConfigError: two tags of the node conflict.
        """
        if not self.nodes and not self.tags and self.defaults is None:
            return getattr(node, "policy", None)
        layers = (self.defaults, getattr(node, "policy", None), self._of_tags(node), self.nodes.get(node.name))
        policy: NodePolicy | None = None
        for layer in layers:
            if layer is not None:
                policy = layer if policy is None else layer.over(policy)
        return policy

    def _of_tags(self, node: Node) -> NodePolicy | None:
        tags = sorted(self.tags.keys() & node.tags) if self.tags else ()
        conflict = next(self.conflicts(node), None) if len(tags) > 1 else None
        if conflict is not None:
            raise conflict
        joined: NodePolicy | None = None
        for tag in tags:
            joined = self.tags[tag] if joined is None else self.tags[tag].over(joined)
        return joined

    def conflicts(self, node: Node) -> Iterator[ConfigError]:
        """Yield an error for each policy option that two tags of a node set to different values."""
        seen: dict[tuple[str, ...], tuple[str, Any]] = {}  # option -> the first tag that sets it, and its value
        for tag in sorted(self.tags.keys() & node.tags):
            for path, value in _leaves(self.tags[tag]):
                other, before = seen.setdefault(path, (tag, value))
                if before != value:
                    what = f"node {node.name!r} has the tags {other!r} and {tag!r}, which set different values"
                    hint = f"Set the same value for both tags, or set the value under `nodes: {node.name}` instead."
                    yield _error(self.place, ("tags", tag, *path), what, hint)


NO_RULES = PolicyRules()


def read_policies(
    config: Any,
    *,
    file: str | None = None,
    locate: Locate | None = None,
    nodes: Iterable[Node] | None = None,
    other_nodes: Callable[[], Iterable[Node] | None] = tuple,
) -> PolicyRules:
    """Parse and validate the content of an `execution.yml`.

    Args:
        config: the merged content; None or empty if there is none.
        file: path of the file, for messages.
        locate: finds the file and line of a key, for messages; if None, messages name only `file`.
        nodes: the nodes to run; if given, the names of nodes and tags are checked against them.
        other_nodes: returns the project's other nodes, None if unknown; called only for a name that `nodes` do not have.

    Returns:
        The rules.

    Raises:
        ConfigError: keys, values or names are invalid; names the file and key of each.
    """
    place: Locate = locate or (lambda _path: (file, None) if file is not None else None)
    if not config:
        return NO_RULES
    reader = _Reader(place)
    rules = reader.read(config)
    if nodes is not None:
        nodes = tuple(nodes)
        reader.check_names(config, nodes, other_nodes)
        for node in nodes:
            reader.problems.extend(rules.conflicts(node))
    if reader.problems:
        raise _joined(reader.problems)
    return rules


def plan_policies(nodes: Sequence[Node], rules: PolicyRules) -> tuple[NodePolicy | None, ...]:
    """Return the policy of each node; empty if no node has one.

    Args:
        nodes: the nodes, in plan order.
        rules: the configured policies.

    Raises:
        ConfigError: two tags of a node conflict.
    """
    if rules.defaults is None and not rules.nodes and not rules.tags:
        if all(getattr(node, "policy", None) is None for node in nodes):
            return ()
        return tuple(getattr(node, "policy", None) for node in nodes)
    policies = tuple(rules.of(node) for node in nodes)
    return policies if any(policy is not None for policy in policies) else ()


def runs_in_main(policy: NodePolicy | None) -> bool:
    """Return whether a policy requires the main process."""
    return policy is not None and policy.run_in is Place.MAIN


class _Reader:
    """Parses the configuration and collects all problems, so that they can be reported together."""

    def __init__(self, place: Locate) -> None:
        self.problems: list[ConfigError] = []
        self._place = place

    def read(self, config: Any) -> PolicyRules:
        known = self._known_entries(config, _SECTIONS, ())
        resources: tuple[tuple[str, int], ...] = ()
        if known.get("resources") is not None:
            try:
                resources = read_resources(known["resources"])
            except ValueError as exc:
                self._add_problem(("resources",), str(exc))
        defaults = self._policy(known.get("defaults"), ("defaults",))
        named = {
            section: {
                str(name): self._policy(entry, (section, str(name)))
                for name, entry in self._known_entries(known.get(section) or {}, None, (section,)).items()
            }
            for section in _NAMED
        }
        rest = policy_of({name: getattr(defaults, name) for name in _PARAMETERS if name != "on_failure"})
        return PolicyRules(
            defaults=rest if any(_leaves(rest)) else None,
            nodes=named["nodes"],
            tags=named["tags"],
            resources=dict(resources),
            on_failure=defaults.on_failure,
            exclusive=tuple(self._exclusive(known.get("exclusive") or {})),
            place=self._place,
        )

    def _exclusive(self, entries: Any) -> Iterator[ExclusiveRule]:
        for name, value in self._known_entries(entries, None, ("exclusive",)).items():
            try:
                yield read_rule(str(name), value)
            except ValueError as exc:
                self._add_problem(("exclusive", str(name)), str(exc))

    def check_names(self, config: Any, nodes: tuple[Node, ...], other_nodes: Callable[[], Iterable[Node] | None]) -> None:
        """Add a problem for each unknown name of a node or tag."""
        given = {section: _names(config, section) for section in _NAMED}
        if given["nodes"] <= _known(nodes, "nodes") and given["tags"] <= _known(nodes, "tags"):
            return
        others = other_nodes()
        if others is None:
            return
        nodes = (*nodes, *others)
        for section in _NAMED:
            known = _known(nodes, section)
            for name in sorted(given[section] - known):
                what = f"the project has no {section.removesuffix('s')} of this name"
                self._add_problem((section, name), what, _hint(name, known, f"The {section} are"))

    def _policy(self, entry: Any, path: tuple[str, ...]) -> NodePolicy:
        values = {}
        for name, value in self._known_entries({} if entry is None else entry, _PARAMETERS, path).items():
            if value is None and name == "timeout":
                value = float("inf")  # noqa: PLW2901 - null removes the limit
            if value is None and name == "seed":
                value = False  # noqa: PLW2901 - the node is not seeded
            if value is None:
                continue
            try:
                values[name] = READERS[name](value)
            except ValueError as exc:
                self._add_problem((*path, name), f"it is {value!r}; {exc}")
        return policy_of(values)

    def _known_entries(self, entry: Any, known: Sequence[str] | None, path: tuple[str, ...]) -> dict[str, Any]:
        """Return the entries of a mapping with known keys, and add a problem for each other key."""
        if not isinstance(entry, Mapping):
            keys = ", ".join(known) if known is not None else "names"
            self._add_problem(path, f"it is {entry!r}; give a mapping of {keys}")
            return {}
        for key in entry:
            if known is not None and key not in known:
                self._add_problem((*path, str(key)), "the key is unknown", _hint(str(key), known, "The valid keys are"))
        return {key: value for key, value in entry.items() if known is None or key in known}

    def _add_problem(self, path: tuple[str, ...], what: str, hint: str = "") -> None:
        self.problems.append(_error(self._place, path, what, hint))


def _names(config: Any, section: str) -> set[str]:
    entries = config.get(section) if isinstance(config, Mapping) else None
    return {str(name) for name in entries} if isinstance(entries, Mapping) else set()


def _known(nodes: Iterable[Node], section: str) -> set[str]:
    return {node.name for node in nodes} if section == "nodes" else {tag for node in nodes for tag in node.tags}


def _leaves(policy: NodePolicy) -> Iterable[tuple[tuple[str, ...], Any]]:
    """Yield the path and value of each option that a policy sets; each resource separately."""
    for name in _PARAMETERS:
        value = getattr(policy, name)
        if name == "resources":
            for resource, amount in value or ():
                yield (name, resource), amount
        elif value is not None:
            yield (name,), value


def _hint(name: str, known: Iterable[str], otherwise: str) -> str:
    known = sorted(known)
    listed = f"{', '.join(known[:10]) or 'none'}{', …' if len(known) > 10 else ''}"
    return did_you_mean(close_names(name, known), f"{otherwise}: {listed}.")


def _error(place: Locate, path: tuple[str, ...], what: str, hint: str = "") -> ConfigError:
    found = place(path)
    file, line = found if found is not None else (None, None)
    key = ".".join(path)
    where = f"{file}, line {line}: " if line else f"{file}: " if file else ""
    subject = f"the execution key {key!r}" if key else "the execution configuration"
    return ConfigError(f"{where}{subject}: {what}.{hint}", file=file, line=line, key=key or None)


def _joined(wrong: Sequence[ConfigError]) -> ConfigError:
    """Combine several errors into one, with the fields of the first."""
    first = wrong[0]
    if len(wrong) == 1:
        return first
    lines = "".join(f"\n  {each.args[0]}" for each in wrong[:_SHOWN])
    if len(wrong) > _SHOWN:
        lines += f"\n  … and {len(wrong) - _SHOWN} more."
    msg = f"The execution configuration has {len(wrong)} problems:{lines}"
    return ConfigError(msg, file=first.file, line=first.line, key=first.key)
