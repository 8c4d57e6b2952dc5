"""Make the description of the project from which workers are set up. Runs in the parent. State: none.

`worker_spec.py` adds the description of this process.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from treadle.execution.protocol.project import ProjectSpec
from treadle.project.current import configured_project, is_configured
from treadle.project.logging import snapshot_levels

if TYPE_CHECKING:
    from treadle.execution.protocol.project import ProjectSetup


def make_project_spec(setup: ProjectSetup | None = None) -> ProjectSpec:
    """Return the description of the project, which is the same for the workers of all backends.

    Args:
        setup: configures the project of another framework; None for a Treadle project.
    """
    return ProjectSpec(
        package_name=configured_project().package_name if setup is None and is_configured() else None,
        code_paths=tuple(os.path.abspath(entry) for entry in sys.path),
        levels=snapshot_levels(),
        setup=setup,
    )
