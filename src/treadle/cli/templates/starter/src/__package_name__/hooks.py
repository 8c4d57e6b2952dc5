"""Hooks: code that runs at fixed points of every run, without a line in the nodes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from treadle import hook_impl

if TYPE_CHECKING:
    from treadle import Node

logger = logging.getLogger(__name__)


class DatasetLog:
    """Logs each dataset that is saved, and the node that saved it."""

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """Log a saved dataset. A hook declares only the arguments that it needs."""
        logger.info("%s saved %s", node.name, dataset_name)
