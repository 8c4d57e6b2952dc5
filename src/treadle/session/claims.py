"""The files that the runs of one service are writing, so that two runs under way that write one file are warned of it.

State: the runs under way and their files; the datasets that were warned of. Neighbours: `service.py` owns one for all its runs,
`running.py` holds a claim while a run lasts.
"""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from treadle.forks import fork_safe
from treadle.io.recipe import absolute_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.io import Catalog
    from treadle.pipeline import Pipeline

_logger = logging.getLogger(__name__)


class OutputClaims:
    """Which run under way writes which file."""

    def __init__(self) -> None:
        self._lock = fork_safe(threading.Lock())
        self._writers: dict[str, list[str]] = {}  # ids of the runs that write a file, by its path
        self._warned: set[str] = set()

    @contextmanager
    def held(self, run_id: str, pipeline: Pipeline, catalog: Catalog, *, warn: bool) -> Iterator[None]:
        """Note, while a run lasts, the files that it writes; warn, once for each file, where another run writes it too.

        Args:
            run_id: the run.
            pipeline: its nodes.
            catalog: where its datasets lie.
            warn: False where the run loads all its results before another one may begin.
        """
        files = _written_files(pipeline, catalog)
        with self._lock:
            for path, name in files.items():
                others = self._writers.setdefault(path, [])
                if warn and others and path not in self._warned:
                    self._warned.add(path)
                    _logger.warning(
                        "The runs %s and %s of this service are under way at the same time, and both write '%s' (%s): the one "
                        "that writes last leaves its data there. Give each run a file of its own (`versioned: true` in the "
                        "catalog entry, or a path with a parameter in it), or take the results with load_results=True.",
                        others[0],
                        run_id,
                        name,
                        path,
                    )
                others.append(run_id)
        try:
            yield
        finally:
            with self._lock:
                for path in files:
                    self._writers[path].remove(run_id)
                    if not self._writers[path]:
                        del self._writers[path]


def _written_files(pipeline: Pipeline, catalog: Catalog) -> dict[str, str]:
    """Return the path of each file that a pipeline writes in the same place at every run, with its dataset's name."""
    files: dict[str, str] = {}
    for node in pipeline.nodes:
        for name in node.outputs:
            recipe = catalog.recipe(name)
            if recipe is None:
                path = getattr(catalog[name], "filepath", None) if name in catalog else None
            elif recipe.config.get("versioned"):
                continue
            else:
                path = absolute_path(recipe.config.get("filepath"), recipe.project_path)
            if isinstance(path, str):
                files[path] = name
    return files
