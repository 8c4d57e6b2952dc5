"""Treadle's engine for Kedro projects: `kedro run --runner=treadle.kedro.ParallelRunner`.

::

    kedro run ─► KedroSession ─► runner.py    Kedro's AbstractRunner on one side, Treadle's runner on the other
                                   │
                 nodes.py, catalog.py         nodes and datasets as the planner reads them
                 material.py                  the run, pickled for workers
                   ├ recipes.py, parcel.py    datasets and the catalog, by value
                   └ hooks.py                 the plugins, by value
                 project.py                   a worker configures the Kedro project, once
                 conduct.py, desk.py          the steps of a node, with Kedro's catalog, hooks and order
                 ending.py                    the error of a failed run: the node's own exception, how to resume
                 preload.py                   modules that the forkserver imports before it forks workers
                 recording.py                 the run in Treadle's store, if the project enables it

Kedro is imported on first access to a name of this package; nothing else in Treadle imports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.kedro.runner import ParallelRunner as ParallelRunner

__all__ = ["ParallelRunner"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        hint = ""
        if name in ("SequentialRunner", "ThreadRunner"):
            hint = f": Treadle's would be no better than Kedro's own, which is --runner={name}"
        elif name.endswith("Runner"):
            hint = "; the one runner for Kedro projects is treadle.kedro.ParallelRunner"
        msg = f"module {__name__!r} has no attribute {name!r}{hint}"
        raise AttributeError(msg)
    from treadle.kedro.requirement import require_kedro

    require_kedro()
    from treadle.kedro import runner

    return getattr(runner, name)
