"""The project that is configured in this process, if there is one.

State: `_process` below holds the configured project and the number of times one was configured. It is set by replacing one
reference, without a lock, so a child forked at any moment sees a complete project or none. Neighbour: `configure.py` sets it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.errors import NotConfiguredError

if TYPE_CHECKING:
    from treadle.project.configured import ConfiguredProject


class _Process:
    def __init__(self) -> None:
        self.project: ConfiguredProject | None = None
        self.count = 0


_process = _Process()


def configured_project() -> ConfiguredProject:
    """Return the project of this process.

    Returns:
        The configured project.

    Raises:
        NotConfiguredError: neither `bootstrap_project` nor `configure_project` was called in this process.
    """
    if _process.project is None:
        msg = (
            "Package name not found. Make sure you have configured the project using 'bootstrap_project': call "
            "bootstrap_project(path) with the root of a project, or configure_project(package_name) for a packaged one, "
            "before a session is made. The command line does this by itself; a process that you start must do it again."
        )
        raise NotConfiguredError(msg)
    return _process.project


def is_configured() -> bool:
    """Return whether a project is configured in this process.

    Returns:
        True after `bootstrap_project` or `configure_project`, and in a forked child of such a process.
    """
    return _process.project is not None


def configure_count() -> int:
    """Count how often a project was configured in this process (a forked child starts from its parent's count).

    Returns:
        The number of successful calls of `configure_project` and `bootstrap_project`.
    """
    return _process.count
