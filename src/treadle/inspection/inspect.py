"""Describe a project without running it, from its pipelines and its configuration.

Only the project's settings and the requested pipelines are imported: no dataset is built, the libraries of dataset types are not
imported, no hook is called, credentials are not read, and nothing is recorded. State: none. Neighbours: `snapshot.py` has the
records, `treadle.planning.datasets` collects the facts of datasets, `treadle.session` has the configuration of a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import treadle
from treadle.errors import DatasetError
from treadle.inspection.snapshot import DatasetSnapshot, NodeSnapshot, PipelineSnapshot, ProjectSnapshot
from treadle.inspection.source_lines import module_of, source_lines
from treadle.io.parameters import Parameters
from treadle.parameter_names import PARAMETER_PREFIX, is_parameter
from treadle.planning.datasets import Origin, declared_datasets, describe_datasets
from treadle.project import bootstrap_project, configured_project, is_configured
from treadle.session.creation import choose_env, default_env, make_config_loader, make_facts
from treadle.session.locating import configured, name_place

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from treadle.io import Catalog
    from treadle.pipeline import Node, Pipeline
    from treadle.planning.datasets import DatasetFacts
    from treadle.project import ConfiguredProject


def inspect_project(
    path: str | Path | None = None,
    *,
    env: str | None = None,
    params: Mapping[str, Any] | None = None,
    conf_source: str | Path | None = None,
    pipelines: Iterable[str] | None = None,
) -> ProjectSnapshot:
    """Describe a project: pipelines, nodes, datasets and the names of its parameters, without running or loading anything.

    Args:
        path: the project's root, which is bootstrapped as by `bootstrap_project`; None for the project that this process is
            configured for, otherwise for the one in the working directory.
        env: the configuration environment; by default that of `TREADLE_ENV`, otherwise the project's default.
        params: params that override those of the configuration, for interpolations in the catalog.
        conf_source: the configuration folder or archive, instead of the project's `conf`.
        pipelines: names of the pipelines to describe; all by default. With `find_pipelines()`, other pipelines are not imported.

    Returns:
        The snapshot; `to_json()` returns it as text.

    Raises:
        ProjectError: the path is not a project, or its registry is invalid.
        ConfigError: a configuration file is invalid.
        DatasetError: a catalog entry is invalid.
        UnknownNameError: no pipeline has a requested name.

    Example:
        >>> snapshot = inspect_project("path/to/project")  # doctest: +SKIP
        >>> [node.name for pipeline in snapshot.pipelines for node in pipeline.nodes]  # doctest: +SKIP
    """
    if path is not None or not is_configured():
        bootstrap_project(Path.cwd() if path is None else path)
    project = configured_project()
    given = dict(params or {})
    facts = make_facts(project, project_path=path, env=choose_env(env), extra_params=given, conf_source=conf_source, command=None)
    loader = make_config_loader(project.settings, facts)
    parameters = Parameters(_merged(configured(loader, "parameters"), given))
    catalog = _catalog(project, loader, facts.project_path)
    registered = project.pipelines
    wanted = {name: registered[name] for name in (registered if pipelines is None else list(pipelines))}
    folders = _folders(project, facts.project_path)
    metadata = project.metadata
    return ProjectSnapshot(
        project_name=project.package_name if metadata is None else metadata.project_name,
        package_name=project.package_name,
        treadle_version=treadle.__version__,
        env=facts.env or default_env(project.settings),
        pipelines=tuple(_pipeline(name, each, folders) for name, each in wanted.items()),
        datasets=tuple(_datasets(catalog, wanted.values(), facts.project_path)),
        patterns=catalog.patterns(),
        parameters=tuple(name.removeprefix(PARAMETER_PREFIX) for name in parameters.names() if name.startswith(PARAMETER_PREFIX)),
    )


def _merged(configured_params: Any, given: Mapping[str, Any]) -> Mapping[str, Any]:
    from treadle.config.params import merge_params

    return merge_params(configured_params, given)


def _catalog(project: ConfiguredProject, loader: Any, project_path: Path) -> Catalog:
    """Create the catalog as a session does, but without credentials, parameters and hooks."""
    from treadle.io import Catalog

    catalog_class: type[Any] = project.settings.DATA_CATALOG_CLASS or Catalog
    try:
        catalog: Catalog = catalog_class.from_config(
            configured(loader, "catalog"), {}, project_path=project_path, load_versions={}, save_version=None
        )
    except DatasetError as exc:
        name_place(exc, loader)
        raise
    return catalog


def _folders(project: ConfiguredProject, project_path: Path) -> tuple[Path, ...]:
    """Return the folders that the files of nodes are relative to: the project's, and that of an installed package."""
    from treadle.project.code import find_module

    spec = find_module(project.package_name)
    places = [Path(place).resolve().parent for place in (spec.submodule_search_locations or () if spec is not None else ())]
    return (project_path.resolve(), *places)


def _pipeline(name: str, pipeline: Pipeline, folders: Sequence[Path]) -> PipelineSnapshot:
    nodes = tuple(_node(node, folders) for node in pipeline.nodes)
    return PipelineSnapshot(name, nodes, tuple(sorted(pipeline.inputs())), tuple(sorted(pipeline.outputs())))


def _node(node: Node, folders: Sequence[Path]) -> NodeSnapshot:
    return NodeSnapshot(
        name=node.name,
        function=node.func_name,
        module=module_of(node.func),
        source=source_lines(node.func, folders),
        namespace=node.namespace,
        tags=tuple(sorted(node.tags)),
        inputs=node.inputs,
        outputs=node.outputs,
        confirms=node.confirms,
    )


def _datasets(catalog: Catalog, pipelines: Iterable[Pipeline], project_path: Path) -> list[DatasetSnapshot]:
    found = {facts.name: facts for facts in declared_datasets(catalog)}
    for pipeline in pipelines:
        for facts in describe_datasets(pipeline, catalog):
            known = found.get(facts.name)
            if not is_parameter(facts.name) and (known is None or known.origin is Origin.MISSING):
                found[facts.name] = facts
    return [_dataset(facts, catalog, project_path) for facts in found.values()]


def _dataset(facts: DatasetFacts, catalog: Catalog, project_path: Path) -> DatasetSnapshot:
    location = facts.place
    if location is not None and Path(location).is_absolute() and Path(location).is_relative_to(project_path):
        location = Path(location).relative_to(project_path).as_posix()
    recipe = catalog.recipe(facts.name)
    validator = recipe.validator() if recipe is not None else None
    return DatasetSnapshot(
        name=facts.name,
        origin=facts.origin.value,
        type=facts.type_name,
        location=location,
        pattern=facts.pattern,
        versioned=facts.versioned,
        validator=None if validator is None else validator.path,
    )
