"""The settings of a dask worker process before Treadle changed them for a run, such as levels of loggers and warning filters.

State: the settings while a driver uses the process. Runs in dask workers. Neighbours: `host.py` saves and restores them.
"""

from __future__ import annotations

from treadle.execution.worker import process_state
from treadle.project.logging import LoggingLevels, apply_levels, snapshot_levels


class OwnSettings:
    """The settings that a process has for itself."""

    def __init__(self) -> None:
        self._saved: tuple[bytes, LoggingLevels] | None = None

    def save(self) -> None:
        """Note the settings, unless they were noted and not restored since."""
        if self._saved is None:
            self._saved = process_state.describe(), snapshot_levels()

    def restore(self) -> None:
        """Restore the settings; called in the thread that runs nodes, because some settings belong to a thread."""
        if self._saved is not None:
            (described, levels), self._saved = self._saved, None
            process_state.apply(described, system=False)
            apply_levels(levels, snapshot_levels())
