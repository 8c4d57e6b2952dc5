"""The description of the project that a worker needs, on this machine or another one.

Made in the parent and sent to workers by plain pickle. State: none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from treadle.project.logging import LoggingLevels


class ProjectSetup(Protocol):
    """Configures a project of another framework in a worker. It is sent by plain pickle."""

    @property
    def package_name(self) -> str | None:
        """The project's package; None if there is none."""

    def configure(self) -> None:
        """Configure this process, which does not have the parent's memory. Log handlers that this adds are removed again."""


class ProjectSpec(NamedTuple):
    """The description of the project. Except for the folders of code, nothing in it depends on a process or a machine.

    Attributes:
        package_name: the configured package; None if there is none.
        code_paths: the entries of `sys.path`, as absolute paths.
        levels: levels of the parent's loggers.
        setup: configures the project of another framework; None for a Treadle project.
    """

    package_name: str | None
    code_paths: tuple[str, ...]
    levels: LoggingLevels
    setup: ProjectSetup | None = None
