"""Treadle's engine for Kedro projects: `kedro run --runner=treadle.kedro.ParallelRunner`.

::

    kedro run ─► KedroSession ─► runner.py    Kedro's AbstractRunner on one side, Treadle's runner on the other
                                   │          (dask_runner.py, auto_runner.py: on other engines; engines.py: Treadle's side)
                 nodes.py, catalog.py         adapt nodes and datasets to the planner and the loop
                 run_bundle.py                pickles the run for workers:
                   ├ dataset_pickling.py        datasets, as configuration or as objects
                   ├ pickled_run.py             the catalog without datasets, and the run as a worker unpickles it
                   └ hooks.py                   plugins with hooks of nodes or datasets
                 project.py                   configures the Kedro project in a worker, once
                 attempt_strategy.py          runs a node: Kedro's steps, hooks and order
                   └ process_catalog.py         the Kedro catalog of one process
                 plugin_state.py              merges the data that plugins collect in workers
                 run_failure.py               raises the node's own exception and logs how to resume
                 run_record.py                records the run in Treadle's store, if the project enables it
                 reuse.py                     decides which nodes are up to date
                   ├ stored_values.py           files of in-memory outputs of nodes with `cache: store`
                   └ status.py, commands.py     `kedro treadle status` and its neighbours
                 preload.py                   imports modules in the forkserver before it forks workers

Kedro is imported on first access to a name of this package; nothing else in Treadle imports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.kedro.auto_runner import AutoRunner as AutoRunner
    from treadle.kedro.dask_runner import DaskRunner as DaskRunner
    from treadle.kedro.runner import ParallelRunner as ParallelRunner

__all__ = ["AutoRunner", "DaskRunner", "ParallelRunner"]

_MODULES = {"AutoRunner": "auto_runner", "DaskRunner": "dask_runner", "ParallelRunner": "runner"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        hint = ""
        if name in ("SequentialRunner", "ThreadRunner"):
            hint = f"; use Kedro's own with --runner={name}"
        elif name.endswith("Runner"):
            hint = "; the runners for Kedro projects are treadle.kedro.AutoRunner, ParallelRunner and DaskRunner"
        msg = f"module {__name__!r} has no attribute {name!r}{hint}"
        raise AttributeError(msg)
    from treadle.kedro.version_check import require_kedro

    require_kedro()
    from importlib import import_module

    return getattr(import_module(f"treadle.kedro.{_MODULES[name]}"), name)
