"""What a person at the shell waits for: imports, `--help`, and whole runs of a project that imports pandas and scikit-learn."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from figures import Figure, median_of, timed

HEAVY = "import pandas\nimport sklearn.ensemble\n"
BY_HAND = (
    HEAVY
    + """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

def work(value):
    return pandas.Series([value]).sum()

if __name__ == "__main__":
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context({method!r})) as pool:
        print(sum(pool.map(work, range(4))))
"""
)


SIX = """
SIX = {"a": (), "b": ("a",), "c": ("a",), "d": ("b",), "e": ("c",), "f": ("d", "e")}

def one(*_inputs):
    return 1
"""

SIX_BY_HAND = """
import multiprocessing, sys
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from six_functions import SIX, one

if __name__ == "__main__":
    with ProcessPoolExecutor(int(sys.argv[2]), mp_context=multiprocessing.get_context(sys.argv[1])) as pool:
        done, running = {}, {}
        while len(done) < len(SIX):
            for name, inputs in SIX.items():
                if name not in done and name not in running.values() and all(each in done for each in inputs):
                    running[pool.submit(one, *[done[each] for each in inputs])] = name
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                done[running.pop(future)] = future.result()
"""

SIX_NODES = """
import sys
from six_functions import SIX, one
from treadle import Catalog, ParallelRunner, Pipeline, node

pipeline = Pipeline([node(one, list(inputs) or None, name, name=f"make {name}") for name, inputs in SIX.items()])
ParallelRunner(int(sys.argv[2]), start_method=sys.argv[1]).run(pipeline, Catalog())
"""


def figures(methods: list[str], workers: int, repeats: int) -> list[Figure]:
    """Return the figures: medians over new processes."""
    python, treadle = [sys.executable], [sys.executable, "-m", "treadle"]
    bare = _median([*python, "-c", "pass"], repeats)
    importing = _median([*python, "-c", "import treadle"], repeats)
    found = [
        Figure("python -c pass", bare),
        Figure("python -c 'import treadle'", importing, detail=f"{importing - bare:.3f} s more than Python"),
        Figure("treadle --help", _median([*treadle, "--help"], repeats)),
    ]
    with tempfile.TemporaryDirectory() as folder:
        found += [_six(method, workers, repeats, Path(folder)) for method in methods if method != "loky"]
    if find_spec("pandas") is None or find_spec("sklearn") is None:
        print("cold start of a project: not measured, because pandas or scikit-learn is not installed", file=sys.stderr)
        return found
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "cold"
        subprocess.run([*treadle, "new", str(project)], check=True, capture_output=True)
        nodes = next(project.glob("src/*/pipelines/*/nodes.py"))
        code = nodes.read_text(encoding="utf-8").replace("from __future__ import annotations\n", "")
        nodes.write_text(HEAVY + code, encoding="utf-8")
        imports = _median([*python, "-c", HEAVY], repeats)
        found.append(Figure("python -c 'import pandas, sklearn.ensemble'", imports))
        for method in methods:
            script = Path(folder) / f"by_hand_{method}.py"
            script.write_text(BY_HAND.format(method=method), encoding="utf-8")
            if method != "loky":
                by_hand = _median([*python, str(script)], repeats)
                found.append(_start(f"a script with a pool of {workers}, {method}, 4 tasks", by_hand, imports))
            flags = ["--runner", "parallel", "--runner-params", f"max_workers={workers},start_method={method}"]
            found.append(_start(f"treadle run, {method}, 4 nodes", _median([*treadle, "run", *flags], repeats, project), imports))
        found.append(_start("treadle run, sequential, 4 nodes", _median([*treadle, "run"], repeats, project), imports))
    return found


def _six(method: str, workers: int, repeats: int, folder: Path) -> Figure:
    """Return how many times as long as a loop over `concurrent.futures` a script takes: imports, workers, and six functions."""
    for name, script in {"six_functions": SIX, "by_hand": SIX_BY_HAND, "nodes": SIX_NODES}.items():
        (folder / f"{name}.py").write_text(script, encoding="utf-8")
    commands = [[sys.executable, script, method, str(workers)] for script in ("nodes.py", "by_hand.py")]
    # In turns, so that a busy moment of the machine slows both; the first round warms up.
    rounds = [[_seconds(command, folder) for command in commands] for _ in range(repeats + 1)]
    ratio = median(nodes / by_hand for nodes, by_hand in rounds[1:])
    detail = " and ".join(f"{median(seconds):.3f} s" for seconds in zip(*rounds[1:], strict=True))
    return Figure(f"cold from the shell: a script of six no-ops, {method}: times a futures loop", ratio, "×", 1.5, detail)


def _start(what: str, seconds: float, imports: float) -> Figure:
    return Figure(f"cold from the shell: {what}", seconds, detail=f"{seconds - imports:.3f} s more than these imports alone")


def _median(command: list[str], repeats: int, folder: Path | None = None) -> float:
    return median_of(lambda: _run(command, folder), repeats)


def _seconds(command: list[str], folder: Path) -> float:
    return timed(lambda: _run(command, folder))[0]


def _run(command: list[str], folder: Path | None) -> None:
    # Treadle may lie here as sources: the first call compiles them, as an installation does.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(command, check=True, capture_output=True, cwd=folder, env=environment)
