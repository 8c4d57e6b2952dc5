"""Sources of configuration files: a folder, or a zip or tar archive.

A source lists its environments and the files of one, and reads a file. `describe` returns a path that the user can open, for
error messages. State: the contents of an archive, which is read once. Neighbours: `archive.py` unpacks archives; `loader.py` and
the logging setup read from a source.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Protocol

from treadle.config.archive import SUFFIXES, Contents, has_hidden_part, read_archive
from treadle.errors import ConfigError, MissingConfigError
from treadle.folders import walk_folder
from treadle.suggestions import close_names, did_you_mean

_BYTE_ORDER_MARK = "\ufeff"
"""Some editors on Windows write it at the start of a file."""


class ConfSource(Protocol):
    """A tree of configuration files; paths in it are relative and use slashes.

    An environment is a folder, directly at the top (`prod`) or nested (`prod/eu`).
    """

    def environments(self, below: str = "") -> list[str]:
        """List the folders directly inside a folder, as paths from the top."""

    def has_environment(self, env: str) -> bool:
        """Return whether the folder exists; the empty name means the top."""

    def files(self, env: str) -> list[str]:
        """List the configuration files under a folder (the top for an empty name), relative to it, sorted."""

    def has_file(self, env: str, file: str) -> bool:
        """Return whether the file exists."""

    def read(self, env: str, file: str) -> str:
        """Read a file as text."""

    def describe(self, env: str, file: str = "") -> str:
        """Return the path of a file or folder for a message."""


def open_source(path: Path, base_env: str = "base") -> ConfSource:
    """Open a source of configuration.

    Args:
        path: a folder, or a zip or tar archive whose top is either the environments or one folder with them.
        base_env: the name of the base environment; an archive without it at the top may have all files in one folder.

    Returns:
        The source.

    Raises:
        MissingConfigError: there is nothing at the path.
        ConfigError: the path is a file that is not an archive, or a damaged or encrypted archive.
    """
    if path.is_dir():
        return FolderSource(path)
    if not path.exists():
        msg = f"There is no configuration at {path}. Create it with a base environment, or correct CONF_SOURCE or --conf-source."
        raise MissingConfigError(msg, file=str(path))
    return ArchiveSource(path, base_env)


def check_environments(source: ConfSource, conf_source: Path, base_env: str, env: str | None) -> None:
    """Raise if an environment has no folder.

    Args:
        source: where the environments are.
        conf_source: its path, for messages.
        base_env: the base environment.
        env: the requested environment; None for the default.

    Raises:
        MissingConfigError: the base environment does not exist.
        ConfigError: the environment does not exist; the message suggests a similar name.
    """
    if not source.has_environment(base_env):
        place = source.describe(base_env)
        msg = (
            f"There is no base environment {base_env!r} in {conf_source}. Create {place}, or set the correct configuration with "
            "--conf-source or CONF_SOURCE."
        )
        raise MissingConfigError(msg, file=place, key=base_env)
    if env is None or source.has_environment(env):
        return
    wanted = PurePosixPath(env)
    if has_hidden_part(wanted) or wanted.is_absolute():
        create = "An environment is a folder inside the configuration, and no part of its path may begin with a dot."
        wanted = PurePosixPath(wanted.name)
    else:
        create = f"Or create {source.describe(env)}."
    while len(wanted.parts) > 1 and not source.has_environment(wanted.parent.as_posix()):
        wanted = wanted.parent  # find the first part of the path that does not exist
    known = source.environments(wanted.parent.as_posix())
    hint = did_you_mean(close_names(wanted.as_posix(), known, most=1), f"The environments are: {', '.join(known) or 'none'}.")
    msg = f"There is no environment {env!r} in {conf_source}.{hint} {create}"
    raise ConfigError(msg, file=source.describe(env), key=env)


class FolderSource:
    """Configuration in a folder.

    Args:
        root: the folder with the environments.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def environments(self, below: str = "") -> list[str]:
        """List the folders directly inside a folder, except hidden ones."""
        names = [entry.name for entry in (self.root / below).iterdir() if entry.is_dir() and not entry.name.startswith(".")]
        return sorted(PurePosixPath(below, name).as_posix() for name in names)

    def has_environment(self, env: str) -> bool:
        """Return whether the folder exists."""
        return not has_hidden_part(env) and not Path(env).is_absolute() and (self.root / env).is_dir()

    def files(self, env: str) -> list[str]:
        """List the configuration files under a folder, except hidden ones."""
        top = self.root / env
        found: list[str] = []
        try:
            for folder, folders, names in walk_folder(str(top), strict=True):
                folders[:] = [name for name in folders if not name.startswith(".")]
                files = [Path(folder, name) for name in names if not name.startswith(".")]
                # A broken link counts: reading it is an error, while a file that is left out would change results silently.
                found += [
                    file.relative_to(top).as_posix()
                    for file in files
                    if file.suffix.lower() in SUFFIXES and (file.is_file() or not file.exists())
                ]
        except OSError as exc:
            raise _unreadable(str(exc.filename), exc) from exc
        return sorted(found)

    def has_file(self, env: str, file: str) -> bool:
        """Return whether the file exists, or is a broken link, which `read` reports."""
        path = self.root / env / file
        return path.is_file() or (path.is_symlink() and not path.exists())

    def read(self, env: str, file: str) -> str:
        """Read a file as text."""
        path = self.root / env / file
        try:
            return path.read_text(encoding="utf-8").removeprefix(_BYTE_ORDER_MARK)  # the codec utf-8-sig is one more module
        except (OSError, UnicodeDecodeError) as exc:
            raise _unreadable(str(path), exc) from exc

    def describe(self, env: str, file: str = "") -> str:
        """Return the path of a file or folder."""
        return str(self.root / env / file)


class ArchiveSource:
    """Configuration in a zip or tar archive, which is read completely when opened; it behaves like the unpacked folder.

    Args:
        path: the archive.
        base_env: the name of the base environment. If the top of the archive has no such folder, but one folder with all files,
            that folder is the source.
    """

    def __init__(self, path: Path, base_env: str) -> None:
        self.path = path
        contents = read_archive(path)
        self._top = _top_folder(contents, base_env)
        self._contents = contents.below(self._top)

    def environments(self, below: str = "") -> list[str]:
        """List the folders directly inside a folder, except hidden ones."""
        inside = PurePosixPath(below)
        return sorted(folder for folder in self._contents.folders if PurePosixPath(folder).parent == inside)

    def has_environment(self, env: str) -> bool:
        """Return whether the folder exists."""
        return not env or PurePosixPath(env).as_posix() in self._contents.folders

    def files(self, env: str) -> list[str]:
        """List the configuration files under a folder."""
        prefix = f"{env}/" if env else ""
        return sorted(name[len(prefix) :] for name in self._contents.files if name.startswith(prefix))

    def has_file(self, env: str, file: str) -> bool:
        """Return whether the file exists."""
        return PurePosixPath(env, file).as_posix() in self._contents.files

    def read(self, env: str, file: str) -> str:
        """Read a file as text."""
        try:
            return self._contents.files[f"{env}/{file}" if env else file].decode("utf-8").removeprefix(_BYTE_ORDER_MARK)
        except UnicodeDecodeError as exc:
            raise _unreadable(self.describe(env, file), exc) from exc

    def describe(self, env: str, file: str = "") -> str:
        """Return the path of the archive and the path inside it."""
        inside = PurePosixPath(self._top, env, file)
        return f"{self.path}!/{inside}" if str(inside) != "." else str(self.path)


def _top_folder(contents: Contents, base_env: str) -> str:
    """Return the one folder that contains all files of an archive; empty if the top of the archive is the source."""
    folders = {PurePosixPath(folder).parts[0] for folder in contents.folders}
    if len(folders) != 1 or any("/" not in file for file in contents.files):
        return ""
    (top,) = folders
    return "" if base_env and top == PurePosixPath(base_env).parts[0] else top


def matches(file: str, patterns: tuple[str, ...]) -> bool:
    """Return whether a relative path matches any of the patterns.

    Args:
        file: the path, with slashes.
        patterns: `*` and `?` match within a folder, `**` across folders.

    Returns:
        True if one matches.
    """
    return any(re.fullmatch(_expression(pattern), file) for pattern in patterns)


@lru_cache(maxsize=256)
def _expression(pattern: str) -> str:
    translated = []
    for piece in re.findall(r"\*\*/|\*\*|\*|\?|\[[^\]]+\]|.", pattern):
        if piece == "**/":
            translated.append("(?:[^/]+/)*")
        elif piece == "**":
            translated.append(".*")
        elif piece == "*":
            translated.append("[^/]*")
        elif piece == "?":
            translated.append("[^/]")
        elif len(piece) > 1:
            translated.append(piece.replace("[!", "[^", 1))
        else:
            translated.append(re.escape(piece))
    return "".join(translated)


def _unreadable(name: str, exc: Exception) -> ConfigError:
    if isinstance(exc, UnicodeDecodeError):
        problem, hint = "it is not UTF-8", "Save it as UTF-8."
    elif (path := Path(name)).is_symlink() and not path.exists():
        problem = f"it is a link to {path.readlink()}, which does not exist"
        hint = "Restore that file, or remove the link."
    else:
        problem, hint = str(exc), "Check its permissions."
    return ConfigError(f"{name} cannot be read: {problem}. {hint}", file=name)
