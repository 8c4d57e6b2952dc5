"""Resume a Kedro run, and skip nodes that are up to date: Treadle's decisions, made from Kedro's nodes and catalog.

The runner gets a pipeline that Kedro has filtered, so the command line of a resumed run has the same filters; which of its nodes
are done is decided here. Runs in the main process, before versions are pinned. State: the decisions of one run.

Neighbours: `treadle.session.reusing` decides, `treadle.session.resuming` finds the session to resume, `run_record.py` records
what the nodes depend on.
"""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from treadle.errors import SessionError
from treadle.io.identity import file_identity_of
from treadle.io.validation.declaration import ValidatorRecipe
from treadle.observe.store import SQLStore
from treadle.session.node_facts import STORED_TYPE
from treadle.session.resuming import find_record, resumed_from
from treadle.session.reusing import Reuse, or_none_known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    import pluggy

    from treadle.io import Catalog
    from treadle.io.dataset import Capabilities
    from treadle.io.identity import FileIdentity
    from treadle.kedro.catalog import EngineCatalog
    from treadle.kedro.dataset_pickling import ConfigRecipe
    from treadle.kedro.nodes import KedroNode
    from treadle.kedro.reuse_options import ReuseOptions
    from treadle.kedro.session import SessionInfo
    from treadle.pipeline import Pipeline
    from treadle.planning.policies import PolicyRules
    from treadle.planning.reuse.decisions import Decisions
    from treadle.session.resuming import Resumed

_logger = logging.getLogger("kedro.runner.treadle")


@dataclass(frozen=True, slots=True)
class KedroReuse:
    """What is decided about a run, and the store that knows earlier ones.

    Attributes:
        store: the store of the project.
        reuse: the decisions.
        resumed: the session that the run resumes, if any.
        package: the project's package.
        root: the project's folder.
    """

    store: SQLStore
    reuse: Reuse
    resumed: Resumed | None
    package: str
    root: Path


def find_reuse(
    options: ReuseOptions, root: Path | None, package_name: str | None, session: SessionInfo, *, needs_store: bool = False
) -> KedroReuse:
    """Find what earlier runs recorded.

    Args:
        options: what the runner was asked for.
        root: the project's folder; None if its runs are not recorded.
        package_name: the project's package.
        session: the session's configuration and arguments.
        needs_store: whether it is an error if the last successes cannot be read; otherwise all nodes run, with a warning.

    Returns:
        What decides about the nodes.

    Raises:
        SessionError: nodes shall be skipped, but there are no records; or the session cannot be resumed.
        StoreError: the store cannot be read.
    """
    if root is None or package_name is None:
        msg = (
            "Kedro runs can only be resumed, and nodes only be up to date, in a project that records its runs: add a table "
            '[tool.treadle] with package_name = "…" to its pyproject.toml.'
        )
        raise SessionError(msg)
    store = SQLStore(project_path=root)
    env = _env_of_successes(session)
    storing: dict[str, Any] = {"store": store, "max_stored": _cache_size(package_name)}
    if options.resume is None:
        skips = options.skip_unchanged
        read = partial(store.last_successes, package_name, env)
        reuse = Reuse(package_name, read if needs_store else or_none_known(read), skips=skips, env=env, **storing)
        return KedroReuse(store, reuse, None, package_name, root)
    record, claim = find_record(options.resume, store, package_name)
    resumed = resumed_from(record, claim)
    reuse = Reuse(package_name, lambda: store.successes_of(record.session_id, env), trusting=True, env=env, **storing)
    return KedroReuse(store, reuse, resumed, package_name, root)


def decide(
    reuse: Reuse,
    nodes: Iterable[KedroNode],
    catalog: EngineCatalog,
    recipes: Mapping[str, ConfigRecipe],
    manager: pluggy.PluginManager | None,
    rules: PolicyRules,
    seed: int | None,
    session: SessionInfo,
) -> Any:
    """Decide which nodes are up to date; call it before versions are pinned.

    A node that saves a versioned dataset always runs: the run pins the version that later nodes load before nodes are skipped. So
    does one with a value in memory that is a result of the run, because Kedro returns it.

    Returns:
        The decisions for the loop; None if all nodes run.
    """
    pipeline = _Pipeline(nodes)
    used = {name for node in pipeline.nodes for name in node.inputs}
    reuse.required = {
        node.name
        for node in pipeline.nodes
        for name in node.outputs
        if catalog.is_versioned(name) or (name not in used and catalog.capabilities(name).in_memory)
    }
    return reuse.decide(
        cast("Pipeline", pipeline),
        cast("Catalog", _Catalog(catalog, recipes, session.project_path)),
        hooks=manager,
        rules=rules,
        seed=seed,
    )


def log_causes(reuse: Reuse, decisions: Decisions | None) -> None:
    """Log why each node runs that is known to run."""
    for name, causes in decisions.causes.items() if decisions is not None else ():
        cause = "its output is versioned, or a result in memory" if name in reuse.required else causes[0]
        _logger.info("Node '%s' will run: %s", name, cause)


def _cache_size(package_name: str) -> int:
    """Return the most bytes of stored values: the setting VALUE_CACHE_SIZE of the project's settings.py, as in Treadle's own.

    Raises:
        SessionError: it is not a size.
    """
    from treadle.pipeline.quantities import read_amount
    from treadle.project.settings import Settings

    size = getattr(sys.modules.get(f"{package_name}.settings"), "VALUE_CACHE_SIZE", Settings._field_defaults["VALUE_CACHE_SIZE"])
    try:
        return read_amount(size)
    except ValueError as exc:
        msg = f"VALUE_CACHE_SIZE in the settings.py of {package_name} is {size!r}, which is not a size: {exc}."
        raise SessionError(msg) from None


def _env_of_successes(session: SessionInfo) -> str | None:
    env = session.env or os.environ.get("KEDRO_ENV")
    return None if env == getattr(session.loader, "default_run_env", None) else env


@dataclass(frozen=True, slots=True)
class _Node:
    """A node with the attributes of Treadle's nodes that the decisions read."""

    name: str
    func: Callable[..., Any]
    func_name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    confirms: tuple[str, ...]
    call_arguments: tuple[tuple[str | None, str], ...]
    tags: frozenset[str]
    policy: None = None


class _Pipeline:
    """The nodes of a run."""

    def __init__(self, nodes: Iterable[KedroNode]) -> None:
        self.nodes = tuple(
            _Node(
                name=node.name,
                func=node.func,
                func_name=str(getattr(node.kedro, "_func_name", node.name)),
                inputs=node.inputs,
                outputs=node.outputs,
                confirms=tuple(node.kedro.confirms),
                call_arguments=_arguments(node.kedro),
                tags=node.tags,
            )
            for node in nodes
        )

    def inputs(self) -> set[str]:
        """Return the datasets that no node makes."""
        made = {name for node in self.nodes for name in node.outputs}
        return {name for node in self.nodes for name in node.inputs} - made


def _arguments(node: Any) -> tuple[tuple[str | None, str], ...]:
    given = getattr(node, "_inputs", None) or ()
    if isinstance(given, dict):
        return tuple(given.items())
    return tuple((None, name) for name in ([given] if isinstance(given, str) else given))


@dataclass(frozen=True, slots=True)
class _Entry:
    """The configuration of a dataset, with the paths of the project relative to it, and its class."""

    config: Mapping[str, Any]
    kind: type[Any]

    def foreign_classes(self) -> list[type[Any]]:
        """Return the class that loads and saves the data."""
        return [self.kind]

    def plain_file(self) -> None:
        """Return None: Kedro's datasets say themselves what they load."""


class _Catalog:
    """The methods of Treadle's catalog that the decisions use."""

    def __init__(self, catalog: EngineCatalog, recipes: Mapping[str, ConfigRecipe], project_path: Path | None) -> None:
        self._catalog = catalog
        self._recipes = recipes
        self._folder = f"{project_path.as_posix()}/" if project_path is not None else None

    def __contains__(self, name: str) -> bool:
        return name in self._catalog

    def __getitem__(self, name: str) -> Any:
        return self._catalog.dataset(name)

    def capabilities(self, name: str) -> Capabilities:
        return self._catalog.capabilities(name)

    def dataset_class(self, name: str) -> type[Any]:
        return type(self._catalog.dataset(name))

    def load(self, name: str) -> Any:
        return self._catalog.load(name)

    def file_identity(self, name: str) -> FileIdentity | None:
        return file_identity_of(self._catalog.dataset(name))

    def recipe(self, name: str) -> _Entry | None:
        kind = self.dataset_class(name)
        if self._catalog.is_stored_value(name):
            return _Entry({"type": STORED_TYPE}, kind)
        recipe = self._recipes.get(name)
        return _Entry(self._relative(dict(recipe.config)), kind) if recipe is not None else None

    def validator_recipe(self, name: str) -> ValidatorRecipe | None:
        """Return the validator that Kedro's catalog uses for a dataset; None if it has none, or does not know validators."""
        spec = getattr(self._catalog.kedro, "validator_specs", {}).get(name)
        enabled = getattr(self._catalog.kedro, "_is_validation_enabled", None)
        if spec is None or not spec.enabled or enabled is None or not enabled():
            return None
        return ValidatorRecipe(spec.class_path, tuple(spec.on), spec.severity == "warn", spec.options)

    def _relative(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._relative(each) for key, each in value.items()}
        if isinstance(value, str) and self._folder is not None:
            return value.removeprefix(self._folder)
        return value
