"""The facts of a session that are not of its run: who, where, with which environment, versions and sources.

What is cheap is taken when the session is made (user, host, environment variables). git is asked by a process of its own,
started then and read when the session closes, so nothing waits for it; a thread would do as well, but the parallel
engine looks at the threads alive when it chooses a start method. Versions are read when the session closes, from the names
of the installed distributions' folders, because reading their metadata takes a hundred times as long.

State: a `GitProbe` holds its process until it is read. Neighbours: `recording.py` puts the facts in the record,
`treadle.secrets` masks.
"""

from __future__ import annotations

import getpass
import os
import platform
import re
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from treadle.forks import fork_safe
from treadle.secrets import MASK, looks_secret, mask_secrets, mask_setting

ENVIRONMENT_PREFIXES = (
    "TREADLE_",  # our own
    "PYTHON",  # PYTHONPATH, PYTHONHASHSEED, ...
    "VIRTUAL_ENV",
    "CONDA_",
    "OMP_",  # threads of numeric libraries
    "OPENBLAS_",
    "MKL_",
    "BLIS_",
    "VECLIB_",
    "NUMEXPR_",
    "NUMBA_",
    "POLARS_",
    "ARROW_",
    "LOKY_",
    "DASK_",
    "CUDA_",  # devices
    "NVIDIA_",
    "SLURM_",  # the batch job that this is
    "KUBERNETES_SERVICE_HOST",
    "AWS_REGION",  # where the data is, never who may read it
    "AWS_DEFAULT_REGION",
    "AWS_PROFILE",
    "CI",
    "GITHUB_SHA",
    "GITHUB_RUN_ID",
    "LANG",
    "LC_",
    "TZ",
    "TMPDIR",
)
"""Environment variables whose names begin like this are recorded; secret-looking ones among them are masked."""

GIT_DEADLINE = 2.0
"""Seconds that closing a session waits for git to answer, counted from the close; a run is mostly longer than git takes."""

_DISTRIBUTION = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+?)(?:-py[\d.]+)?\.(?:dist-info|egg-info)")


@dataclass(frozen=True, slots=True)
class GitFacts:
    """The state of the sources; None where it is not known, because there is no git or no repository."""

    commit: str | None = None
    dirty: bool | None = None


class GitProbe:
    """Asks git about a folder without waiting for the answer.

    The tree counts as dirty where the sources differ from the commit, and not for what the run writes meanwhile elsewhere.

    Args:
        folder: the project, somewhere in a repository.
        sources: what its runs are made of, relative to it; all of it by default.
    """

    def __init__(self, folder: Path, sources: Sequence[str] = (".",)) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._answer: IO[bytes] | None = None
        self._lock = fork_safe(threading.Lock())  # sessions of one service share a probe
        self._facts = GitFacts()
        self._abandon: weakref.finalize[..., GitProbe] | None = None
        # A file, not a pipe: git never waits for us to read, however many files changed. No optional locks and no
        # monitor: asking must not get in the way of what the user does in the repository.
        answer = tempfile.TemporaryFile(prefix="treadle-git-")  # noqa: SIM115 - closed by `facts`
        command = ["git", "-c", "core.fsmonitor=false", "status", "--porcelain=v2", "--branch", "--", *sources]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - a fixed command, found on PATH like the user's own
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=answer,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_LITERAL_PATHSPECS": "1"},
                start_new_session=True,  # the user's Ctrl-C is meant for the run
            )
        except OSError:  # no git here, or no such folder: then there is nothing to tell
            answer.close()
        else:
            self._answer = answer
            # A session that is never closed leaves no process behind either.
            self._abandon = weakref.finalize(self, _end, self._process, answer)

    def facts(self, deadline: float = GIT_DEADLINE) -> GitFacts:
        """Take the answer.

        Args:
            deadline: seconds to wait for it at most.

        Returns:
            The facts; unknown where git did not answer in time.
        """
        with self._lock:
            process, answer = self._process, self._answer
            if process is None or answer is None:
                return self._facts
            try:
                if process.wait(deadline) == 0:
                    answer.seek(0)
                    self._facts = parse_git_status(answer.read().decode("utf-8", "replace"))
            except subprocess.TimeoutExpired:
                self._facts = GitFacts()
            finally:
                self._process = None
                if self._abandon is not None:
                    self._abandon()
            return self._facts


def _end(process: subprocess.Popen[bytes], answer: IO[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
    answer.close()


def parse_git_status(text: str) -> GitFacts:
    """Read what `git status --porcelain=v2 --branch` says.

    Args:
        text: its output.

    Returns:
        The commit (None before the first one) and whether anything differs from it, files that git does not know included.
    """
    commit = None
    dirty = False
    for line in text.splitlines():
        if line.startswith("# branch.oid "):
            oid = line.rpartition(" ")[2]
            commit = None if oid == "(initial)" else oid
        elif line and not line.startswith("#"):
            dirty = True
    return GitFacts(commit, dirty)


def user_name() -> str | None:
    """Find who runs this.

    Returns:
        The user's name, None where the system has none for it.
    """
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return None


def host_name() -> str | None:
    """Find where this runs.

    Returns:
        The machine's name, None where it has none.
    """
    return platform.node() or None


def recorded_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Choose the environment variables that matter for a run.

    Args:
        environ: all of them.

    Returns:
        Those whose names begin like one of `ENVIRONMENT_PREFIXES`, sorted, secret-looking values masked.
    """
    return {
        name: MASK if looks_secret(name) else mask_secrets(mask_setting(value))
        for name, value in sorted(environ.items())
        if name.startswith(ENVIRONMENT_PREFIXES)
    }


def installed_versions() -> dict[str, str]:
    """List what is installed.

    Returns:
        The versions of Python, of the platform, and of every distribution on sys.path by its name.
    """
    versions = {"python": platform.python_version(), "platform": f"{sys.platform}-{platform.machine()}"}
    found: dict[str, str] = {}
    for folder in sys.path:
        try:
            names = [entry.name for entry in Path(folder or ".").iterdir()]
        except OSError:  # sys.path may hold archives and folders that are gone
            continue
        for name in names:
            match = _DISTRIBUTION.fullmatch(name)
            if match:
                # The first on sys.path is the one that is imported.
                found.setdefault(match["name"].replace("_", "-").lower(), match["version"])
    return {**versions, **dict(sorted(found.items()))}
