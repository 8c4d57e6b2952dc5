"""What a worker needs to know of the project, on this machine or another one. State: none. It crosses by plain pickle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from treadle.project.logging import LoggingLevels


class ProjectSetup(Protocol):
    """How a worker configures the project of another framework; it crosses by plain pickle."""

    @property
    def package_name(self) -> str | None:
        """The project's package; None where there is none."""

    def configure(self) -> None:
        """Configure this process, which has none of the parent's memory; handlers of logging that this sets are dropped."""


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
