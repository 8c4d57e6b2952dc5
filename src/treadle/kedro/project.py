"""Configure a worker process for a Kedro project, once, from one picklable value.

When Kedro is first imported, it configures logging from the project's files, and a file handler would truncate the log that the
parent writes. A worker sends its records to the parent, so this module keeps Kedro from creating handlers in workers.
State: Kedro's own, in `kedro.framework.project`.
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
    """The value from which a worker configures itself.

    Attributes:
        package_name: the project's package; None if there is no project.
        logging_config: the parent's logging configuration, for code that reads it from Kedro. Only the parent has handlers.
    """

    package_name: str | None
    logging_config: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of_this_process(cls) -> KedroProject:
        """Return the project of this process, in the parent."""
        from kedro.framework import project

        return cls(project.PACKAGE_NAME, dict(project.LOGGING.data))

    def configure(self) -> None:
        """Configure this process for the project."""
        project = import_quietly()
        # This configuration has the package's logger, so `configure_project` does not configure logging again.
        project.LOGGING.data = dict(self.logging_config)
        if self.package_name is not None:
            project.configure_project(self.package_name)
            settings = f"{self.package_name}.settings"
            if find_spec(settings) is not None:
                import_module(settings)  # Kedro's lazy settings would hide an error in this module


def import_quietly() -> Any:
    """Import `kedro.framework.project` without the project's logging configuration."""
    if "kedro.framework.project" not in sys.modules:
        spec = find_spec("kedro.framework")  # this does not import its submodules
        home = Path(next(iter(spec.submodule_search_locations or ()))) if spec is not None else Path()
        before = os.environ.get(_LOGGING_VARIABLE)
        os.environ[_LOGGING_VARIABLE] = str(home / "project" / "default_logging.yml")
        disabled = logging.root.manager.disable
        logging.disable()  # Kedro logs which file it uses
        try:
            import_module("kedro.framework.project")
        finally:
            logging.disable(disabled)
            if before is None:
                del os.environ[_LOGGING_VARIABLE]
            else:
                os.environ[_LOGGING_VARIABLE] = before
    return import_module("kedro.framework.project")  # waits for another thread that has begun to import it
