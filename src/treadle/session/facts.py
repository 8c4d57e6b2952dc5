"""The environment of a session: user, host, environment variables, installed versions and git state.

Cheap facts (user, host, environment variables) are collected when the session is created. git runs in a separate process,
started for the first run and read when the session closes, so a run does not wait for it; a thread is no alternative, because
the parallel runner considers the live threads when it chooses a start method. It is not started outside of a repository.
Installed versions are read when the session closes, from the names of the distributions' metadata folders, because reading the
metadata takes a hundred times as long.

State: a `GitProbe` holds its git process until its output is read. Neighbours: `recording.py` adds the facts to the record,
`treadle.secrets` masks secrets.
"""

from __future__ import annotations

import getpass
import os
import platform
import re
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

from treadle.forks import fork_safe
from treadle.named_tuple import NamedTuple
from treadle.secrets import MASK, looks_secret, mask_secrets, mask_setting
from treadle.working_directory import working_directory

if TYPE_CHECKING:
    import subprocess

ENVIRONMENT_PREFIXES = (
    "TREADLE_",
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
    "SLURM_",  # the batch job
    "KUBERNETES_SERVICE_HOST",
    "AWS_REGION",  # the location of the data, but no credentials
    "AWS_DEFAULT_REGION",
    "AWS_PROFILE",
    "CI",
    "GITHUB_SHA",
    "GITHUB_RUN_ID",
    "LANG",
    "LC_",
    "TZ",
    "TMPDIR",
    "TRACEPARENT",  # the trace that the session belongs to
)
"""Environment variables with these prefixes are recorded; those that look like secrets are masked."""

GIT_DEADLINE = 2.0
"""How many seconds closing a session waits for git; git has usually finished before, during the run. In a very large repository,
or on a slow disk, it has not; then only the commit is asked for, for as long again at most."""

_DISTRIBUTION = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+?)(?:-py[\d.]+)?\.(?:dist-info|egg-info)")


class GitFacts(NamedTuple):
    """The git state of the sources; None where unknown, because git or the repository is missing."""

    commit: str | None = None
    dirty: bool | None = None


class GitProbe:
    """Run `git status` on a folder in the background.

    The tree counts as dirty if the sources differ from the commit; files that a run writes elsewhere do not count.

    Args:
        folder: the project folder, inside a repository.
        sources: paths of the source files, relative to the folder; the whole folder by default.
    """

    def __init__(self, folder: Path, sources: Sequence[str] = (".",)) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._answer: IO[bytes] | None = None
        self._lock = fork_safe(threading.Lock())  # sessions of one service share a probe
        self._facts = GitFacts()
        self._abandon: weakref.finalize[..., GitProbe] | None = None
        if not _is_in_repository(folder):
            return
        import subprocess  # slow to import

        # A file, not a pipe: git never blocks on a full pipe, however many files changed. Optional locks and the file system
        # monitor are off, so that this does not interfere with the user's own git commands.
        answer = _open_answer()
        command = ["git", "-c", "core.fsmonitor=false", "status", "--porcelain=v2", "--branch", "--", *sources]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - a fixed command; git is found on PATH
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=answer,
                stderr=subprocess.DEVNULL,
                env=_git_environment(),
                start_new_session=True,  # Ctrl-C in the terminal must not reach git
            )
        except OSError:  # git or the folder is missing: the facts stay unknown
            answer.close()
        else:
            self._answer = answer
            # Ends the process of a session that is never closed.
            self._abandon = weakref.finalize(self, _end, self._process, answer)

    def facts_so_far(self) -> GitFacts:
        """Return the facts without waiting; unknown if git has not finished yet."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                return GitFacts()
        return self.facts()

    def facts(self, deadline: float = GIT_DEADLINE) -> GitFacts:
        """Wait for git and read its output; later calls return the same facts.

        Args:
            deadline: maximum seconds to wait.

        Returns:
            The facts; whether anything differs from the commit is unknown if git does not finish in time.
        """
        with self._lock:
            process, answer = self._process, self._answer
            if process is None or answer is None:
                return self._facts
            import subprocess

            try:
                if process.wait(deadline) == 0:
                    answer.seek(0)
                    self._facts = parse_git_status(answer.read().decode("utf-8", "replace"))
            except subprocess.TimeoutExpired:
                self._facts = GitFacts(_commit_of(self._folder, deadline))
            finally:
                self._process = None
                if self._abandon is not None:
                    self._abandon()
            return self._facts


def _git_environment() -> dict[str, str]:
    return {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_LITERAL_PATHSPECS": "1"}


def _commit_of(folder: Path, deadline: float) -> str | None:
    """Return the commit of a folder, without looking at its files; None if git does not answer in time either."""
    import subprocess

    try:
        done = subprocess.run(
            ["git", "rev-parse", "--verify", "--quiet", "HEAD"],  # noqa: S607 - git is found on PATH
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_git_environment(),
            start_new_session=True,
            timeout=deadline,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("ascii", "replace").strip() or None if done.returncode == 0 else None


def _is_in_repository(folder: Path) -> bool:
    """Return whether git would find a repository: in a folder or above it, or the one that its environment names."""
    path = Path(os.path.realpath(folder))
    folders = (path, *path.parents)
    return "GIT_DIR" in os.environ or any(os.path.exists(each / ".git") for each in folders)  # noqa: PTH110 - never raises


def _open_answer() -> IO[bytes]:
    """Open the file that git writes its answer to. The check before a fork knows a memory file of this name as Treadle's own."""
    if hasattr(os, "memfd_create"):
        with suppress(OSError):  # refused, as in some containers
            return os.fdopen(os.memfd_create("treadle-git"), "w+b")
    import tempfile

    return tempfile.TemporaryFile(prefix="treadle-git-")


def _end(process: subprocess.Popen[bytes], answer: IO[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
    answer.close()


def parse_git_status(text: str) -> GitFacts:
    """Parse the output of `git status --porcelain=v2 --branch`.

    Args:
        text: the output.

    Returns:
        The commit (None before the first one), and whether any file differs from it or is untracked.
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
    """Return the name of the current user.

    Returns:
        The name; None if the system does not know one.
    """
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return None


def host_name() -> str | None:
    """Return the name of this machine.

    Returns:
        The host name; None if it has none.
    """
    return platform.node() or None


def recorded_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Select the environment variables that affect a run.

    Args:
        environ: all environment variables.

    Returns:
        Those with a prefix in `ENVIRONMENT_PREFIXES`, sorted, with secrets masked.
    """
    return {
        name: MASK if looks_secret(name) else mask_secrets(mask_setting(value))
        for name, value in sorted(environ.items())
        if name.startswith(ENVIRONMENT_PREFIXES)
    }


def installed_versions() -> dict[str, str]:
    """List the versions of Python and of the installed distributions.

    Returns:
        Versions by name: `python`, `platform`, and every distribution on sys.path.
    """
    folders: list[tuple[str, int]] = []
    for folder in sys.path:
        try:
            folders.append((folder, os.stat(folder or ".").st_mtime_ns))  # noqa: PTH116 - a service records many sessions
        except OSError:  # sys.path may contain archives and missing folders
            continue
    return dict(_versions_in(working_directory(), tuple(folders)))


@lru_cache(maxsize=1)
def _versions_in(_cwd: str, folders: tuple[tuple[str, int], ...]) -> dict[str, str]:
    """List the versions in folders, each with the time of its last change; some are relative to the working directory."""
    versions = {"python": platform.python_version(), "platform": f"{sys.platform}-{platform.machine()}"}
    found: dict[str, str] = {}
    for folder, changed in folders:
        try:
            installed = _distributions_in(Path(folder).absolute(), changed)
        except OSError:
            continue
        for name, version in installed:  # Python imports the first one on sys.path
            found.setdefault(name, version)
    return {**versions, **dict(sorted(found.items()))}


@lru_cache(maxsize=64)
def _distributions_in(folder: Path, _changed: int) -> tuple[tuple[str, str], ...]:
    """List the names and versions of the distributions in a folder, which was last changed at a time."""
    names = os.listdir(folder)  # noqa: PTH208 - a path for each of a thousand names would take milliseconds
    matches = [match for name in names if name.endswith("-info") and (match := _DISTRIBUTION.fullmatch(name))]
    return tuple((match["name"].replace("_", "-").lower(), match["version"]) for match in matches)
