"""How a worker process becomes one of a Kedro project: once, by value.

Kedro configures logging when it is first imported, from files that may truncate the log that the parent writes. A worker
sends its records to the parent, whose handlers take them, so it must not open any of its own: that is what is kept
away here. State: Kedro's own, in `kedro.framework.project`.
"""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_LOGGING_VARIABLE = "KEDRO_LOGGING_CONFIG"


@dataclass(frozen=True, slots=True)
class KedroProject:
    """The facts from which a worker configures itself.

    Attributes:
        package_name: the project's package; None for nodes that belong to no project.
        logging_config: the parent's logging configuration, for code that asks Kedro for it. Handlers stay the parent's.
    """

    package_name: str | None
    logging_config: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of_this_process(cls) -> KedroProject:
        """Return the project that this process is configured for."""
        from kedro.framework import project

        return cls(project.PACKAGE_NAME, dict(project.LOGGING.data))

    def configure(self) -> None:
        """Configure this process for the project."""
        project = import_quietly()
        # It holds the package's logger already, so that `configure_project` has no reason to set handlers up.
        project.LOGGING.data = dict(self.logging_config)
        if self.package_name is not None:
            project.configure_project(self.package_name)
            settings = f"{self.package_name}.settings"
            if find_spec(settings) is not None:
                import_module(settings)  # now, and for itself: Kedro's settings hide what goes wrong in it


def import_quietly() -> Any:
    """Import `kedro.framework.project` without the project's logging configuration."""
    if "kedro.framework.project" not in sys.modules:
        spec = find_spec("kedro.framework")  # its own modules are not imported by this
        home = Path(next(iter(spec.submodule_search_locations or ()))) if spec is not None else Path()
        before = os.environ.get(_LOGGING_VARIABLE)
        os.environ[_LOGGING_VARIABLE] = str(home / "project" / "default_logging.yml")
        disabled = logging.root.manager.disable
        logging.disable()  # it announces the file that it took
        try:
            import_module("kedro.framework.project")
        finally:
            logging.disable(disabled)
            if before is None:
                del os.environ[_LOGGING_VARIABLE]
            else:
                os.environ[_LOGGING_VARIABLE] = before
    return sys.modules["kedro.framework.project"]
