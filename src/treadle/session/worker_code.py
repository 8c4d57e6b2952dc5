"""Notice workers that have imported the project after its code was edited.

What nodes depend on is collected once, from the code that this process has imported. A worker that starts later, in place of one
that was lost or recycled, imports the files as they are then. What it runs is not what was looked at, so its nodes must not be
recorded as up to date. State: the files of the project's code, and such workers. Neighbour: `reusing.py` asks about nodes.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from treadle.project.code import code_stamp
from treadle.project.current import configured_project, is_configured

if TYPE_CHECKING:
    from treadle.events import WorkerStarted
    from treadle.observe.store import NodeRecord


_logger = logging.getLogger(__name__)


class WorkerCode:
    """Knows which workers may run other code than this process has imported.

    Args:
        package: the project's package.
    """

    def __init__(self, package: str) -> None:
        is_ours = is_configured() and configured_project().package_name == package
        self._files = configured_project().stamp if is_ours else code_stamp(package)
        self._since: dict[str, float] = {}  # when the first such worker with a label started

    def worker_started(self, event: WorkerStarted) -> None:
        """Compare the files with those that this process has imported, at the moment at which a worker is ready."""
        if event.worker not in self._since and event.pid != os.getpid() and self._is_edited():
            self._since[event.worker] = event.at
            _logger.warning(
                "%s was started after the project's code had been edited. Nodes that run on it are not recorded as up to date.",
                event.worker,
            )

    def may_differ(self, node: NodeRecord) -> bool:
        """Return whether a node ran in a worker whose code may be other than that of this process."""
        since = self._since.get(node.worker or "")
        return since is not None and (node.started is None or node.started >= since)

    def _is_edited(self) -> bool:
        try:
            for path, changed, size in self._files:
                status = os.stat(path)  # noqa: PTH116 - paths of code are strings
                if (status.st_mtime_ns, status.st_size) != (changed, size):
                    return True
        except OSError:  # a file was removed
            return True
        return False
