"""`find_pipelines()`, which a project's `pipeline_registry.py` calls.

State: none. Neighbours: `found_pipelines.py` searches the folder, `configure.py` has the default package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.project.current import configured_project
from treadle.project.found_pipelines import discover_pipelines

if TYPE_CHECKING:
    from collections.abc import Iterable

    from treadle.project.found_pipelines import FoundPipelines


def find_pipelines(package_name: str | None = None, *, names: Iterable[str] | None = None) -> FoundPipelines:
    """Discover a project's pipelines; each is imported on first use.

    Args:
        package_name: the package to search; by default that of the configured project.
        names: the pipelines to discover; all by default. `__default__` is the sum of these.

    Returns:
        Pipelines by name of their module, and their sum as `__default__`.

    Raises:
        NotConfiguredError: no package was given and no project is configured.
        UnknownNameError: the package has no pipeline of one of the names.
    """
    package = configured_project().package_name if package_name is None else package_name
    return discover_pipelines(package, None if names is None else list(names))
