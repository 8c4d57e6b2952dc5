"""Projects of which nothing has changed: how long it takes to decide that, and a run of one from the shell."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from figures import Figure, timed
from light import noop

if TYPE_CHECKING:
    from treadle import Catalog, Pipeline
    from treadle.session.reusing import Reuse

DECISIONS = {10_000: 1.0, 100_000: 10.0}
"""The most seconds for a number of nodes."""
LINEAR = 1.15
"""How much more than ten times as long ten times as many nodes may take."""
WIDTH = 50
PACKAGE = "light"

SHELL_NODES = 50
TIMES_HELP = 1.3
"""How many times as long as `treadle --help` and the project's own imports a run may take that has nothing to do."""
SHELL_IMPORTS = "import mill.pipeline_registry"
SHELL_FILES = {
    "pyproject.toml": '[tool.treadle]\npackage_name = "mill"\nproject_name = "Mill"\n',
    "src/mill/__init__.py": "",
    "src/mill/settings.py": "",
    "src/mill/nodes.py": "def step(text):\n    return text + '.'\n",
    "src/mill/pipeline_registry.py": f"""
from treadle import Pipeline, node

from mill.nodes import step


def register_pipelines():
    return {{"__default__": Pipeline([node(step, f"d{{i}}", f"d{{i + 1}}", name=f"n{{i}}") for i in range({SHELL_NODES})])}}
""",
    "conf/base/catalog.yml": "".join(
        f"d{i}: {{type: text.TextDataset, filepath: data/d{i}.txt}}\n" for i in range(SHELL_NODES + 1)
    ),
    "conf/local/.gitkeep": "",
    "data/d0.txt": "a",
}


def figures(repeats: int, *, quick: bool) -> list[Figure]:
    """Return the figures.

    Args:
        repeats: repeats.
        quick: whether 100,000 nodes are left out.
    """
    found, before = [], 0.0
    for count, goal in DECISIONS.items():
        if count < 100_000 or not quick:
            seconds = _decide(count, repeats if count < 100_000 else 2)
            a_node = seconds / count * 1e6
            detail = f"{a_node:.1f} µs a node"
            found.append(Figure(f"deciding that {count:,} nodes are up to date", seconds, goal=goal, detail=detail))
            if before:
                what = f"growth from {count // 10:,} to {count:,} nodes: time to decide about a node"
                found.append(Figure(what, a_node / before, "×", LINEAR))
            before = a_node
    return [*found, *_shell(repeats)]


def _decide(count: int, repeats: int) -> float:
    """Return the least seconds to decide about nodes with a file each, as a run does before it begins."""
    from treadle import Pipeline, node
    from treadle.observe.store import SQLStore

    names = [f"d{index}" for index in range(-WIDTH, count)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for each in names:
            file = folder / f"{each}.txt"
            file.write_text(each, encoding="utf-8")
            os.utime(file, (1, 1))  # long ago, as the files of an unchanged project are
        time.sleep(2.5)  # the time of the change of status counts too, and cannot be set
        pipeline = Pipeline([node(noop, f"d{index - WIDTH}", f"d{index}", name=f"n{index}") for index in range(count)])
        with closing(SQLStore(project_path=folder)) as store:
            reuse = _reuse(store)
            _decided(reuse, pipeline, _catalog(folder, names))
            store.save_successes(PACKAGE, None, reuse.accepted([each.name for each in pipeline.nodes], "session", 1.0))
        seconds = []
        for _ in range(repeats + 1):
            catalog = _catalog(folder, names)
            gc.collect()
            with closing(SQLStore(project_path=folder)) as store:
                took, decisions = timed(lambda store=store, catalog=catalog: _decided(_reuse(store), pipeline, catalog))
            if not decisions.nothing_runs:
                msg = f"{count:,} unchanged nodes: {next(iter(decisions.causes.items()))}"
                raise SystemExit(msg)
            seconds.append(took)
    return min(seconds)


def _reuse(store: Any) -> Reuse:
    from treadle.session.reusing import Reuse

    return Reuse(PACKAGE, lambda: store.last_successes(PACKAGE, None))


def _decided(reuse: Reuse, pipeline: Pipeline, catalog: Catalog) -> Any:
    from treadle.planning.policies import NO_RULES

    return reuse.decide(pipeline, catalog, hooks=None, rules=NO_RULES, seed=None)


def _catalog(folder: Path, names: list[str]) -> Catalog:
    from treadle import Catalog

    return Catalog.from_config({each: {"type": "text.TextDataset", "filepath": str(folder / f"{each}.txt")} for each in names})


def _shell(repeats: int) -> list[Figure]:
    """Return the figures of runs from the shell with nothing to do: of a project that imports nothing, and one with pandas."""
    found = [_shell_of("a project without imports", "", repeats)]
    if find_spec("pandas") is None:
        print("a run of an unchanged project that imports pandas: not measured, because pandas is not installed", file=sys.stderr)
        return found
    return [*found, _shell_of("a project that imports pandas", "import pandas\n", repeats)]


def _shell_of(project: str, imports: str, repeats: int) -> Figure:
    python, treadle = [sys.executable], [sys.executable, "-m", "treadle"]
    with tempfile.TemporaryDirectory() as folder:
        for name, text in SHELL_FILES.items():
            file = Path(folder) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(imports + text if name.endswith("nodes.py") else text, encoding="utf-8")
        environment = {**os.environ, "PYTHONPATH": str(Path(folder) / "src")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # nobody compiles all modules again for each command

        def seconds(*command: str) -> float:
            return timed(lambda: subprocess.run(command, check=True, capture_output=True, cwd=folder, env=environment))[0]

        commands = {
            "run": (*treadle, "run", "--skip-unchanged"),
            "help": (*treadle, "--help"),
            "imports": (*python, "-c", SHELL_IMPORTS),
            "nothing": (*python, "-c", "pass"),
        }
        subprocess.run([*treadle, "run"], check=True, capture_output=True, cwd=folder, env=environment)
        for command in commands.values():  # compiles modules, and reads the files once more, as they have just been written
            seconds(*command)
        # In turns, so that a busy moment of the machine slows all of them.
        rounds = [{name: seconds(*command) for name, command in commands.items()} for _ in range(max(5, repeats))]
    took, shown, imported, nothing = (median(each[name] for each in rounds) for name in commands)
    detail = f"{took:.3f} s; treadle --help {shown:.3f} s, the project's own imports {imported - nothing:.3f} s"
    what = f"treadle run --skip-unchanged, {SHELL_NODES} nodes, nothing to do, {project}: by treadle --help and the imports"
    return Figure(what, took / (shown + imported - nothing), "×", TIMES_HELP, detail)
