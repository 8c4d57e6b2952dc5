"""What threads gain where nodes are pure Python: little under the GIL, most of a core each on a free-threaded Python."""

from __future__ import annotations

import statistics
import sys
import sysconfig
from functools import partial

from figures import Figure, timed
from light import add_up

NODES = 24


def figures(workers: int, repeats: int) -> list[Figure]:
    """Return the figure: the median of the ratios of interleaved runs with warm threads."""
    from treadle import Catalog, Pipeline, SequentialRunner, ThreadRunner, node

    pipeline = Pipeline([node(add_up, "source", f"d{index}", name=f"n{index}") for index in range(NODES)])
    catalog = Catalog({"source": 1})
    ratios, seconds = [], []
    with ThreadRunner(workers) as threads, SequentialRunner() as sequential:
        for _ in range(repeats + 1):
            pair = [timed(partial(runner.run, pipeline, catalog))[0] for runner in (threads, sequential)]
            seconds.append(pair)
            ratios.append(pair[0] / pair[1])
    warm = seconds[1:]
    in_threads, one_by_one = (statistics.median(column) for column in zip(*warm, strict=True))
    what = f"threads: {NODES} nodes of pure Python, {_interpreter()}, {workers} threads by the sequential runner"
    return [Figure(what, statistics.median(ratios[1:]), "×", detail=f"{in_threads:.3f} s and {one_by_one:.3f} s")]


def _interpreter() -> str:
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "with the GIL"
    is_enabled = sys._is_gil_enabled()  # type: ignore[attr-defined]  # noqa: SLF001 - its documented name, from Python 3.13 on
    return "a free-threaded Python with the GIL" if is_enabled else "without the GIL"
