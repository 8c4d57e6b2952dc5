"""Hooks: code that runs at fixed moments of every run, without a line in the nodes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from treadle import hook_impl

if TYPE_CHECKING:
    from treadle import Node

logger = logging.getLogger(__name__)


class DatasetLog:
    """Logs each dataset that is saved, and the node that made it."""

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """Log a dataset once it is saved; a hook names those of its arguments that it needs."""
        logger.info("%s made %s", node.name, dataset_name)
