"""Treadle's engine for Kedro projects: `kedro run --runner=treadle.kedro.ParallelRunner`.

::

    kedro run ─► KedroSession ─► runner.py    Kedro's AbstractRunner on one side, Treadle's runner on the other
                                   │
                 nodes.py, catalog.py         what the planner asks of nodes and datasets
                 material.py                  the run as it goes to workers
                   ├ recipes.py, parcel.py    datasets and the catalog, by value
                   └ hooks.py                 the plugins, by value
                 project.py                   a worker configures the Kedro project, once
                 conduct.py, desk.py          a node's steps, with Kedro's catalog, hooks and order
                 ending.py                    what a user gets of a run that failed: the node's own error, how to resume
                 preload.py                   what the forkserver has of Kedro before it forks workers
                 recording.py                 the run in Treadle's store, where the project asks for it

Kedro is imported when a name of this package is first asked for; nothing else in Treadle imports it.
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
