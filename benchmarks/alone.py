"""What needs no engine to compare with: the plan and the scheduler alone, a large catalog, and starting from the shell."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

COUNTS = (1_000, 10_000, 100_000)


def figures(repeats: int) -> list[tuple[str, str]]:
    """Return (what, figure) pairs."""
    return [*_plan_and_scheduler(), *_large_catalog(repeats), *_from_the_shell(repeats)]


def _plan_and_scheduler() -> list[tuple[str, str]]:
    from workloads import noop

    from treadle import Catalog, Pipeline, node
    from treadle.execution.simulator import simulate
    from treadle.planning import compile_plan

    found = []
    for count in COUNTS:
        width = 50
        nodes = [
            node(noop, [f"d{index - width}"] if index >= width else "source", f"d{index}", name=f"n{index}")
            for index in range(count)
        ]
        built, pipeline = _timed(lambda nodes=nodes: Pipeline(nodes))
        compiled, plan = _timed(lambda pipeline=pipeline: compile_plan(pipeline, Catalog({"source": 1})))
        scheduled, _ = _timed(lambda plan=plan, count=count: simulate(plan, [1.0] * count, 2))
        microseconds = (built + compiled + scheduled) / count * 1e6
        what = f"{count:,} nodes: pipeline, plan, scheduler"
        found.append((what, f"{built:.3f} + {compiled:.3f} + {scheduled:.3f} s ({microseconds:.0f} µs a node)"))
    return found


def _large_catalog(repeats: int) -> list[tuple[str, str]]:
    from treadle import Catalog, ParallelRunner, Pipeline, node

    with tempfile.TemporaryDirectory() as folder:
        for index in range(50):
            (Path(folder) / f"in_{index}.txt").write_text("x")
        config = {f"in_{index}": {"type": "text.TextDataset", "filepath": f"{folder}/in_{index}.txt"} for index in range(2000)}
        pipeline = Pipeline([node(len, f"in_{index}", f"n_{index}", name=f"n_{index}") for index in range(50)])
        with ParallelRunner(2) as runner:
            seconds = []
            for _ in range(repeats + 1):
                took, result = _timed(lambda: runner.run(pipeline, Catalog.from_config(config)))
                seconds.append(took)
            assert len(dict(result)) == 50
    return [("catalog of 2,000 entries, 50 used, warm workers", f"{statistics.median(seconds[1:]):.4f} s")]


def _from_the_shell(repeats: int) -> list[tuple[str, str]]:
    found = [("import treadle", _shell([sys.executable, "-c", "import treadle"], repeats))]
    found.append(("python -c pass", _shell([sys.executable, "-c", "pass"], repeats)))
    treadle = [sys.executable, "-m", "treadle"]
    found.append(("treadle --help", _shell([*treadle, "--help"], repeats)))
    folder = Path(tempfile.mkdtemp())
    try:
        project = folder / "cold"
        subprocess.run([*treadle, "new", str(project)], check=True, capture_output=True)
        nodes = next(project.glob("src/*/pipelines/*/nodes.py"))
        nodes.write_text(
            "import pandas\nimport sklearn.ensemble\n" + nodes.read_text().replace("from __future__ import annotations\n", "")
        )
        imports = _shell([sys.executable, "-c", "import pandas, sklearn.ensemble"], repeats)
        found.append(("python -c 'import pandas, sklearn.ensemble'", imports))
        for method in ("sequential", "fork", "spawn", "forkserver", "loky"):
            flags = ["--runner", "sequential"] if method == "sequential" else ["--runner", "parallel"]
            flags += [] if method == "sequential" else ["--runner-params", f"max_workers=2,start_method={method}"]
            took = _shell([*treadle, "run", *flags], repeats, cwd=project)
            found.append((f"treadle run, 4 nodes, pandas and scikit-learn imported, {method}", took))
    finally:
        shutil.rmtree(folder)
    return found


def _shell(command: list[str], repeats: int, cwd: Path | None = None) -> str:
    seconds = []
    for _ in range(repeats + 1):
        took, _ = _timed(lambda: subprocess.run(command, check=True, capture_output=True, cwd=cwd))
        seconds.append(took)
    return f"{statistics.median(seconds[1:]):.3f} s"


def _timed(call: Any) -> tuple[float, Any]:
    began = time.perf_counter()
    value = call()
    return time.perf_counter() - began, value
