"""Warn when two concurrent runs of one service write the same file.

State: the active runs with the files they write, and the files already warned about. Neighbours: `service.py` owns one
`OutputClaims` for all its runs; `running.py` holds a claim for the length of a run.
"""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from treadle.forks import fork_safe
from treadle.io.paths import absolute_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.io import Catalog
    from treadle.pipeline import Pipeline

_logger = logging.getLogger(__name__)


class OutputClaims:
    """Track which active run writes which file."""

    def __init__(self) -> None:
        self._lock = fork_safe(threading.Lock())
        self._writers: dict[str, list[tuple[str, object]]] = {}  # file path -> ids and runners of the active runs that write it
        self._warned: set[str] = set()

    @contextmanager
    def held(
        self, run_id: str, pipeline: Pipeline, catalog: Catalog, *, runner: object, loads_all: bool = False
    ) -> Iterator[None]:
        """Register the files that a run writes for the length of the block; warn once per file that another run writes too.

        Args:
            run_id: id of the run.
            pipeline: the nodes of the run.
            catalog: the catalog of the run.
            runner: executes the run; one runner executes one run after the other.
            loads_all: the run loads all its results before the next run of its runner starts.
        """
        files = _written_files(pipeline, catalog)
        with self._lock:
            for path, name in files.items():
                others = self._writers.setdefault(path, [])
                overlapping = [other for other, its_runner in others if not (loads_all and its_runner is runner)]
                if overlapping and path not in self._warned:
                    self._warned.add(path)
                    _logger.warning(
                        "Runs %s and %s of this service are active at the same time and both write dataset '%s' (%s): the run "
                        "that writes last overwrites the other's data. Give each run its own file (`versioned: true` in the "
                        "catalog entry, or a path that contains a parameter), or use one runner and load_results=True.",
                        overlapping[0],
                        run_id,
                        name,
                        path,
                    )
                others.append((run_id, runner))
        try:
            yield
        finally:
            with self._lock:
                for path in files:
                    self._writers[path].remove((run_id, runner))
                    if not self._writers[path]:
                        del self._writers[path]


def _written_files(pipeline: Pipeline, catalog: Catalog) -> dict[str, str]:
    """Map the path of each unversioned file that a pipeline writes to the name of its dataset."""
    files: dict[str, str] = {}
    for node in pipeline.nodes:
        for name in node.outputs:
            declared = catalog.recipe(name)
            recipe = declared.storing() if declared is not None else None
            if recipe is None:
                path = getattr(catalog[name], "filepath", None) if name in catalog else None
            elif recipe.config.get("versioned"):
                continue
            else:
                path = absolute_path(recipe.config.get("filepath"), recipe.project_path)
            if isinstance(path, str):
                files[path] = name
    return files
