"""Treadle: run a data project's pipeline on every core, and remember how each run was made.

The names below are the whole public interface. All but those of nodes are imported on first use, so that `import treadle` stays
cheap: every worker process imports it too. State: none.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from treadle.collector import collection_paused

# Imported eagerly: a later import of the subpackage would replace the function `pipeline` by the module of the same name.
from treadle.pipeline import Node, node, pipeline

if TYPE_CHECKING:
    from treadle.errors import (
        CircularDependencyError,
        ConfigError,
        DatasetError,
        DataValidationError,
        HookError,
        MissingConfigError,
        NodeError,
        NodeTimeoutError,
        NotConfiguredError,
        PipelineError,
        ProjectError,
        ProjectNotFoundError,
        ReportError,
        RunCancelledError,
        RunError,
        RunnerError,
        ServerError,
        SessionError,
        StoreError,
        Terminated,
        TreadleError,
        UnknownDatasetError,
        UnknownNameError,
        WorkerLostError,
        WorkerSetupError,
    )
    from treadle.execution.loop.result import RunResult
    from treadle.execution.runners.auto import AutoRunner
    from treadle.execution.runners.dask import DaskRunner
    from treadle.execution.runners.parallel import ParallelRunner
    from treadle.execution.runners.runner import Runner
    from treadle.execution.runners.sequential import SequentialRunner
    from treadle.execution.runners.thread import ThreadRunner
    from treadle.hooks import hook_impl
    from treadle.inspection import inspect_project
    from treadle.io import Catalog, Dataset, MemoryDataset
    from treadle.pipeline.pipeline_class import Pipeline
    from treadle.pipeline.policy import NodePolicy
    from treadle.project import bootstrap_project, configure_project
    from treadle.session import Context, RunHandle, ServiceSession, Session

__version__ = "0.1.0"

_MODULES = {
    "AutoRunner": "treadle.execution.runners.auto",
    "Catalog": "treadle.io",
    "CircularDependencyError": "treadle.errors",
    "ConfigError": "treadle.errors",
    "Context": "treadle.session",
    "DaskRunner": "treadle.execution.runners.dask",
    "DataValidationError": "treadle.errors",
    "Dataset": "treadle.io",
    "DatasetError": "treadle.errors",
    "HookError": "treadle.errors",
    "MemoryDataset": "treadle.io",
    "MissingConfigError": "treadle.errors",
    "NodeError": "treadle.errors",
    "NodePolicy": "treadle.pipeline.policy",
    "NodeTimeoutError": "treadle.errors",
    "NotConfiguredError": "treadle.errors",
    "ParallelRunner": "treadle.execution.runners.parallel",
    "Pipeline": "treadle.pipeline.pipeline_class",
    "PipelineError": "treadle.errors",
    "ProjectError": "treadle.errors",
    "ProjectNotFoundError": "treadle.errors",
    "ReportError": "treadle.errors",
    "RunCancelledError": "treadle.errors",
    "RunError": "treadle.errors",
    "RunHandle": "treadle.session",
    "RunResult": "treadle.execution.loop.result",
    "Runner": "treadle.execution.runners.runner",
    "RunnerError": "treadle.errors",
    "SequentialRunner": "treadle.execution.runners.sequential",
    "ServerError": "treadle.errors",
    "ServiceSession": "treadle.session",
    "Session": "treadle.session",
    "SessionError": "treadle.errors",
    "StoreError": "treadle.errors",
    "Terminated": "treadle.errors",
    "ThreadRunner": "treadle.execution.runners.thread",
    "TreadleError": "treadle.errors",
    "UnknownDatasetError": "treadle.errors",
    "UnknownNameError": "treadle.errors",
    "WorkerLostError": "treadle.errors",
    "WorkerSetupError": "treadle.errors",
    "bootstrap_project": "treadle.project",
    "configure_project": "treadle.project",
    "hook_impl": "treadle.hooks",
    "inspect_project": "treadle.inspection",
}

__all__ = [
    "AutoRunner",
    "Catalog",
    "CircularDependencyError",
    "ConfigError",
    "Context",
    "DaskRunner",
    "DataValidationError",
    "Dataset",
    "DatasetError",
    "HookError",
    "MemoryDataset",
    "MissingConfigError",
    "Node",
    "NodeError",
    "NodePolicy",
    "NodeTimeoutError",
    "NotConfiguredError",
    "ParallelRunner",
    "Pipeline",
    "PipelineError",
    "ProjectError",
    "ProjectNotFoundError",
    "ReportError",
    "RunCancelledError",
    "RunError",
    "RunHandle",
    "RunResult",
    "Runner",
    "RunnerError",
    "SequentialRunner",
    "ServerError",
    "ServiceSession",
    "Session",
    "SessionError",
    "StoreError",
    "Terminated",
    "ThreadRunner",
    "TreadleError",
    "UnknownDatasetError",
    "UnknownNameError",
    "WorkerLostError",
    "WorkerSetupError",
    "__version__",
    "bootstrap_project",
    "configure_project",
    "hook_impl",
    "inspect_project",
    "node",
    "pipeline",
]


def __getattr__(name: str) -> object:
    module = _MODULES.get(name)
    if module is None:
        msg = f"module 'treadle' has no attribute {name!r}"
        raise AttributeError(msg)
    with collection_paused(imports=True):  # it would traverse what is imported again and again
        value = globals()[name] = getattr(import_module(module), name)
    return value


def __dir__() -> list[str]:
    return __all__
