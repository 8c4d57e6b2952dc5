"""What a worker needs to know of the project, on this machine or another one. State: none. It crosses by plain pickle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.execution.protocol.messages import ProjectSetup
    from treadle.project.logging import LoggingLevels


@dataclass(frozen=True, slots=True)
class ProjectSpec:
    """The project: nothing in it belongs to one process or one machine, except the folders that code is imported from.

    Attributes:
        package_name: the configured package; None if there is none.
        code_paths: the entries of `sys.path`, as absolute paths.
        levels: levels of the parent's loggers.
        setup: how the project of another framework is configured, if the run is one of those.
    """

    package_name: str | None
    code_paths: tuple[str, ...]
    levels: LoggingLevels
    setup: ProjectSetup | None = None
