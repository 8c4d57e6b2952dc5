"""The facts around a run."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
from pathlib import Path

import psutil
import pytest

from treadle.session import facts
from treadle.session.facts import (
    GitFacts,
    GitProbe,
    host_name,
    installed_versions,
    parse_git_status,
    recorded_environment,
    user_name,
)


def git(folder: Path, *words: str) -> str:
    """Run git in a folder."""
    who = ["-c", "user.name=ada", "-c", "user.email=ada@loom"]
    return subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit."""
    git(tmp_path, "init", "-q")
    (tmp_path / "file.txt").write_text("one")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "one")
    return tmp_path


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for git as long as it takes on a machine that has other things to do."""
    monkeypatch.setattr(GitProbe.facts, "__defaults__", (60.0,))


def test_git_is_asked_in_the_background(repository: Path, patient: None) -> None:
    """A clean tree, a changed file and an unknown file are told apart, from any folder of the repository."""
    commit = git(repository, "rev-parse", "HEAD")
    assert GitProbe(repository).facts() == GitFacts(commit, dirty=False)
    (repository / "inner").mkdir()
    (repository / "inner" / "new.txt").write_text("new")
    assert GitProbe(repository / "inner").facts() == GitFacts(commit, dirty=True)
    (repository / "inner" / "new.txt").unlink()
    (repository / "file.txt").write_text("two")
    probe = GitProbe(repository)
    assert probe.facts() == GitFacts(commit, dirty=True)
    assert probe.facts() == GitFacts(commit, dirty=True)


def test_no_repository_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of a repository, without git, or without the folder, the facts are unknown."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert GitProbe(tmp_path).facts() == GitFacts()
    assert GitProbe(tmp_path / "nowhere").facts() == GitFacts()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert GitProbe(tmp_path).facts() == GitFacts()


def test_git_is_started_only_in_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of a repository no process is started, unless the environment names one; a worktree has a file, not a folder."""
    for name in ("GIT_DIR", "GIT_WORK_TREE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "project").mkdir()
    started: list[Path] = []

    def start(*_words: object, cwd: Path, **_options: object) -> None:
        started.append(cwd)
        raise OSError

    monkeypatch.setattr(subprocess, "Popen", start)
    GitProbe(tmp_path / "project")
    assert not started
    (tmp_path / ".git").write_text("gitdir: elsewhere")
    GitProbe(tmp_path / "project")
    assert started == [tmp_path / "project"]
    (tmp_path / ".git").unlink()
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "repository"))
    GitProbe(tmp_path / "project")
    assert len(started) == 2


def slow_git(folder: Path) -> None:
    """Make a repository, for a git that never answers by itself."""
    (folder / ".git").mkdir()
    (folder / "git").write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    (folder / "git").chmod(0o755)


def test_a_git_that_does_not_answer_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the deadline the facts are unknown and the process is gone."""
    slow_git(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    probe = GitProbe(tmp_path)
    process = probe._process
    assert process is not None
    assert probe.facts(deadline=0.01) == GitFacts()
    assert process.returncode is not None


def test_the_commit_is_known_if_git_takes_long_for_the_files(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a very large repository, or on a slow disk: only whether files were changed is unknown."""
    commit, real = git(repository, "rev-parse", "HEAD"), shutil.which("git")
    folder = tmp_path_factory.mktemp("bin")
    (folder / "git").write_text(f'#!/bin/sh\n[ "$1" = rev-parse ] && exec {real} "$@"\nexec tail -f /dev/null\n')
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    commit_of = facts._commit_of
    monkeypatch.setattr(facts, "_commit_of", lambda folder, _deadline: commit_of(folder, 60.0))  # on a busy machine, too
    assert GitProbe(repository).facts(deadline=0.01) == GitFacts(commit, dirty=None)


def test_a_probe_nobody_asks_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that is never closed leaves no process and warns of nothing."""
    slow_git(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    probe = GitProbe(tmp_path)
    assert probe._process is not None
    pid = probe._process.pid
    del probe
    gc.collect()
    assert not psutil.pid_exists(pid)


def test_a_repository_without_commits_has_no_commit() -> None:
    """Before the first commit there is none; that files wait for it makes the tree dirty."""
    assert parse_git_status("# branch.oid (initial)\n# branch.head main\n? new.txt\n") == GitFacts(None, dirty=True)


def test_environment_variables_that_matter() -> None:
    """An allow-list of beginnings; secrets among them are masked."""
    environ = {
        "TREADLE_ENV": "prod",
        "TREADLE_API_TOKEN": "abc",
        "TREADLE_STORE": "postgresql://ada:hunter2@host/db",
        "OMP_NUM_THREADS": "2",
        "HOME": "/home/ada",
        "AWS_SECRET_ACCESS_KEY": "abc",
        "AWS_REGION": "eu",
    }
    assert recorded_environment(environ) == {
        "AWS_REGION": "eu",
        "OMP_NUM_THREADS": "2",
        "TREADLE_API_TOKEN": "***",
        "TREADLE_ENV": "prod",
        "TREADLE_STORE": "postgresql://ada:***@host/db",
    }


def test_versions_are_those_installed() -> None:
    """Python, the platform and every distribution, as importlib.metadata knows them."""
    from importlib.metadata import version

    versions = installed_versions()
    for name in ("treadle", "sqlalchemy", "pluggy", "typing-extensions"):
        assert versions[name] == version(name)
    assert versions["python"].startswith("3.")
    assert "platform" in versions


def test_versions_without_a_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node may remove the working directory; the versions are those of the other folders."""
    gone = tmp_path / "gone"
    gone.mkdir()
    known = installed_versions()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert installed_versions()["pluggy"] == known["pluggy"]


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container the user may have none; that is no error."""
    import getpass

    def nobody() -> str:
        raise KeyError

    assert host_name()
    monkeypatch.setattr(getpass, "getuser", nobody)
    assert user_name() is None
