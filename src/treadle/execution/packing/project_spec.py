"""Describe the project for workers. State: none. Neighbours: `worker_spec.py` describes this process."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from treadle.execution.protocol.project import ProjectSpec
from treadle.project.configure import configured_project, is_configured
from treadle.project.logging import snapshot_levels

if TYPE_CHECKING:
    from treadle.execution.protocol.project import ProjectSetup


def make_project_spec(setup: ProjectSetup | None = None) -> ProjectSpec:
    """Return what the workers of any backend are set up from.

    Args:
        setup: the project of another framework, if the run is one of those.
    """
    return ProjectSpec(
        package_name=configured_project().package_name if setup is None and is_configured() else None,
        code_paths=tuple(os.path.abspath(entry) for entry in sys.path),
        levels=snapshot_levels(),
        setup=setup,
    )
