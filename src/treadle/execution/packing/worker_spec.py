"""Make the spec from which a pool's workers are set up, and its fingerprint. Runs in the parent.

State: the environment of the last `fingerprint`.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from treadle.errors import RunnerError
from treadle.execution.packing.project_spec import make_project_spec
from treadle.execution.processes.cores import usable_cores
from treadle.execution.protocol.messages import ProcessSpec
from treadle.execution.worker import process_state
from treadle.project.current import configured_project, is_configured
from treadle.working_directory import working_directory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from treadle.execution.processes.start_method import StartMethod
    from treadle.execution.protocol.project import ProjectSetup

_VOLATILE = frozenset(
    {"PYTEST_CURRENT_TEST", "COLUMNS", "LINES", "OLDPWD", "SHLVL", "_", "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK"}
)
"""Environment variables that change without the user's intent and do not affect a worker; scikit-learn sets the last two."""


def make_worker_spec(
    method: StartMethod, max_workers: int, scratch: str, fingerprint: str, project: ProjectSetup | None = None
) -> ProcessSpec:
    """Return the spec from which workers are set up.

    Args:
        method: start method of the workers.
        max_workers: number of workers, which share the cores.
        scratch: path of the pool's scratch directory.
        fingerprint: the fingerprint, from `fingerprint`.
        project: configures the project of another framework; None for a Treadle project.
    """
    return ProcessSpec(
        project=make_project_spec(project),
        inherits=method.child_inherits,
        working_directory=_working_directory(),
        environment=dict(os.environ),
        thread_limit=max(1, usable_cores() // max_workers),
        parent_pid=os.getpid(),
        scratch=scratch,
        fingerprint=fingerprint,
        start_method=method.value,
        state=process_state.describe(),
        main_file=_main_file(),
    )


def _working_directory() -> str:
    if not (folder := working_directory()):
        msg = (
            "The working directory of this process was deleted, and worker processes start in it. Change to another directory "
            "first (`cd`, or os.chdir)."
        )
        raise RunnerError(msg, name="parallel")
    return folder


def _main_file() -> str | None:
    file = getattr(sys.modules["__main__"], "__file__", None)
    return os.path.abspath(file) if file is not None else None


def package_name(project: ProjectSetup | None) -> str | None:
    """Return the name of the project's package; None if there is no project.

    Args:
        project: configures the project of another framework; None for a Treadle project.
    """
    if project is not None:
        return project.package_name
    return configured_project().package_name if is_configured() else None


def fingerprint(modules: Iterable[str], project: ProjectSetup | None = None, *, environment: bool = True) -> str:
    """Return a fingerprint that changes when warm workers would differ from newly started ones; for this process only.

    It covers the project's package and its files on disk, the files of the modules that define the nodes' functions, the
    environment, `sys.path` and the working directory.

    Args:
        modules: names of the modules of the nodes' functions.
        project: configures the project of another framework; None for a Treadle project.
        environment: include the environment and the working directory; False for workers that have their own.
    """
    facts: list[object] = []
    package = package_name(project)
    if package is not None:
        from treadle.project.code import code_stamp  # imported late: a script has no project

        facts += [package, code_stamp(package)]
    for name in sorted(set(modules)):
        if package is not None and f"{name}.".startswith(f"{package}."):
            continue  # `code_stamp` covers the package
        file = getattr(sys.modules.get(name), "__file__", None)
        if file is not None and name not in ("__main__", "__mp_main__"):
            try:
                status = os.stat(file)
            except OSError:
                continue  # a module inside an archive, which is not edited in place
            facts += [file, status.st_mtime_ns, status.st_size]
    if environment:
        facts += [_environment(), _working_directory()]
    return f"{hash((*facts, repr(sys.path))):x}"


_last_environment: list[tuple[dict[bytes, bytes], str]] = [({}, "[]")]
"""The environment, and its variables as text; in one tuple, so that threads can replace both at once."""


def _environment() -> str:
    """Return the environment variables that a worker depends on, as text. They rarely change from run to run."""
    variables: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]  # noqa: SLF001 - public views convert each variable
    before, text = _last_environment[0]
    if variables != before:
        before = variables.copy()
        text = repr(sorted((name, value) for name, value in os.environ.items() if name not in _VOLATILE))
        _last_environment[0] = (before, text)
    return text
