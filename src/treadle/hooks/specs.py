"""The hooks of sessions, runs, nodes and datasets that projects and plugins can implement.

Each spec declares the name and arguments of a hook; an implementation may declare any subset of the arguments, by name. Session
and pipeline hooks are called in the parent process, worker, node and dataset hooks in the process that runs the node. State:
none. Neighbours: `manager.py` creates a pluggy manager with these specs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pluggy import HookspecMarker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.hooks.facts import WorkerFacts
    from treadle.io import Catalog
    from treadle.pipeline import Node, Pipeline

NAMESPACE = "treadle"
"""The project name of the specs in pluggy, which separates them from those of other programs."""

hook_spec = HookspecMarker(NAMESPACE)


class SessionSpecs:
    """Hooks called once per session, in the parent process."""

    @hook_spec
    def on_session_created(self, session_data: Mapping[str, Any]) -> None:
        """Receive the data of a new session, before anything is loaded.

        Args:
            session_data: a copy of `session.store`: session id, project, environment, parameters, command.
        """

    @hook_spec
    def after_context_created(self, context: Any) -> None:
        """Receive the context; configuration and catalog can be read from it.

        Args:
            context: the session's `Context`.
        """

    @hook_spec
    def after_catalog_created(
        self,
        catalog: Catalog,
        conf_catalog: Mapping[str, Any],
        conf_creds: Mapping[str, Any],
        parameters: Mapping[str, Any],
        save_version: str | None,
        load_versions: Mapping[str, str] | None,
    ) -> None:
        """Receive the catalog built from configuration; datasets may be added to it.

        Args:
            catalog: the catalog of the run.
            conf_catalog: the catalog's configuration, resolved.
            conf_creds: the credentials, resolved.
            parameters: the parameters of the session.
            save_version: the version under which versioned datasets are saved.
            load_versions: the pinned version by dataset name.
        """


class PipelineSpecs:
    """Hooks called once per run, in the parent process."""

    @hook_spec
    def before_pipeline_run(self, run_params: Mapping[str, Any], pipeline: Pipeline, catalog: Catalog) -> None:
        """Act before the first node starts.

        Args:
            run_params: the arguments of the run and the data of its session.
            pipeline: the nodes that will run.
            catalog: the catalog of the run.
        """

    @hook_spec
    def after_pipeline_run(
        self, run_params: Mapping[str, Any], run_result: Mapping[str, Any], pipeline: Pipeline, catalog: Catalog
    ) -> None:
        """Act after the last node succeeded.

        Args:
            run_params: the arguments of the run and the data of its session.
            run_result: the data of each free output by name, loaded on first use.
            pipeline: the nodes that ran.
            catalog: the catalog of the run.
        """

    @hook_spec
    def on_pipeline_error(
        self, error: BaseException, run_params: Mapping[str, Any], pipeline: Pipeline, catalog: Catalog
    ) -> None:
        """Act when a run failed, before its error is raised.

        Args:
            error: the exception of the run.
            run_params: the arguments of the run and the data of its session.
            pipeline: the nodes that were to run.
            catalog: the catalog of the run.
        """


class WorkerSpecs:
    """Hooks called once in each process that runs nodes."""

    @hook_spec
    def on_worker_start(self, spec: WorkerFacts) -> None:
        """Act once in each process, before this plugin's first node or dataset hook there: for example, open a connection.

        The project and logging are configured before this call. A worker that serves several runs calls the hook once, and so
        does the main process if nodes run in it. For each run, a worker receives a new copy of the plugin; the attributes that
        this hook sets are copied to later copies.

        Args:
            spec: a description of the process.
        """


class NodeSpecs:
    """Hooks called once for each attempt at a node, in its worker."""

    @hook_spec
    def before_node_run(
        self,
        node: Node,
        catalog: Catalog,
        inputs: Mapping[str, Any],
        is_async: bool,  # noqa: FBT001 - a hook's argument, which pluggy passes by name
        run_id: str | None,
    ) -> Mapping[str, Any] | None:
        """Act after a node's inputs are loaded, before its function is called.

        Args:
            node: the node.
            catalog: the catalog as the worker sees it.
            inputs: the loaded data by dataset name.
            is_async: whether inputs and outputs are loaded and saved in threads.
            run_id: the id of the run.

        Returns:
            Inputs that replace loaded ones, by dataset name; None to change nothing.
        """

    @hook_spec
    def after_node_run(
        self,
        node: Node,
        catalog: Catalog,
        inputs: Mapping[str, Any],
        outputs: Mapping[str, Any],
        is_async: bool,  # noqa: FBT001 - a hook's argument, which pluggy passes by name
        run_id: str | None,
    ) -> None:
        """Act after a node's function returned.

        Args:
            node: the node.
            catalog: the catalog as the worker sees it.
            inputs: the input data, by dataset name.
            outputs: the output data, by dataset name.
            is_async: whether inputs and outputs are loaded and saved in threads.
            run_id: the id of the run.
        """

    @hook_spec
    def on_node_error(
        self,
        error: BaseException,
        node: Node,
        catalog: Catalog,
        inputs: Mapping[str, Any],
        is_async: bool,  # noqa: FBT001 - a hook's argument, which pluggy passes by name
        run_id: str | None,
    ) -> None:
        """Act when an attempt at a node failed; for a lost worker this is called in the parent.

        Args:
            error: the exception of the node.
            node: the node.
            catalog: the catalog as this process sees it.
            inputs: the data that was loaded, by dataset name.
            is_async: whether inputs and outputs are loaded and saved in threads.
            run_id: the id of the run.
        """


class DatasetSpecs:
    """Hooks called around each load and save, in the same process; parameters are datasets too."""

    @hook_spec
    def before_dataset_loaded(self, dataset_name: str, node: Node) -> None:
        """Act before a dataset is loaded.

        Args:
            dataset_name: its name in the catalog.
            node: the node that loads it.
        """

    @hook_spec
    def after_dataset_loaded(self, dataset_name: str, data: Any, node: Node) -> None:
        """Act after a dataset was loaded.

        Args:
            dataset_name: its name in the catalog.
            data: the loaded data.
            node: the node that loads it.
        """

    @hook_spec
    def before_dataset_saved(self, dataset_name: str, data: Any, node: Node) -> None:
        """Act before a dataset is saved.

        Args:
            dataset_name: its name in the catalog.
            data: the data to save.
            node: the node that saves it.
        """

    @hook_spec
    def after_dataset_saved(self, dataset_name: str, data: Any, node: Node) -> None:
        """Act after a dataset was saved.

        Args:
            dataset_name: its name in the catalog.
            data: the saved data.
            node: the node that saves it.
        """


SPECS: tuple[type, ...] = (SessionSpecs, PipelineSpecs, WorkerSpecs, NodeSpecs, DatasetSpecs)
"""All classes of specs, in the order of a run."""


IN_WORKERS: tuple[str, ...] = tuple(
    name for specs in (WorkerSpecs, NodeSpecs, DatasetSpecs) for name in vars(specs) if not name.startswith("_")
)
"""The hooks that are called in the process that runs the node."""


def hook_names() -> tuple[str, ...]:
    """List the names of all hooks.

    Returns:
        The names, in the order in which a run calls them.
    """
    return tuple(name for specs in SPECS for name in vars(specs) if not name.startswith("_"))
