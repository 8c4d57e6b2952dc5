"""Where configuration files lie: a folder, or a zip or tar archive.

Job: list the environments of a source, the files of one, and read a file. State: an archive's texts, read once.
Neighbours: `loader.py` asks; it names files by `describe`, so that errors point at something a person can open.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Protocol

from treadle.errors import ConfigError, MissingConfigError

SUFFIXES = (".yml", ".yaml", ".json")
"""The endings of configuration files."""


class ConfSource(Protocol):
    """A tree of configuration files; paths in it are relative and use slashes."""

    def environments(self) -> list[str]:
        """List the folders at the top."""

    def files(self, env: str) -> list[str]:
        """List the configuration files under a folder (the top for an empty name), relative to it, sorted."""

    def read(self, env: str, file: str) -> str:
        """Read a file as text."""

    def describe(self, env: str, file: str = "") -> str:
        """Name a file or a folder for a message."""


def open_source(path: Path) -> ConfSource:
    """Open a source of configuration.

    Args:
        path: a folder, or a zip or tar archive whose top is either the environments or one folder with them.

    Returns:
        The source.

    Raises:
        MissingConfigError: there is nothing at the path.
        ConfigError: the path is a file that is no archive, or a broken one.
    """
    if path.is_dir():
        return FolderSource(path)
    if not path.exists():
        msg = f"There is no configuration at {path}. Create it with a base environment, or correct CONF_SOURCE or --conf-source."
        raise MissingConfigError(msg, file=str(path))
    return ArchiveSource(path)


class FolderSource:
    """Configuration in a folder.

    Args:
        root: the folder that holds the environments.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def environments(self) -> list[str]:
        """List the folders at the top."""
        return sorted(entry.name for entry in self.root.iterdir() if entry.is_dir() and not entry.name.startswith("."))

    def files(self, env: str) -> list[str]:
        """List the configuration files under a folder, hidden ones left out."""
        top = self.root / env
        found = (file.relative_to(top) for file in top.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        return sorted(file.as_posix() for file in found if not any(part.startswith(".") for part in file.parts))

    def read(self, env: str, file: str) -> str:
        """Read a file as text."""
        path = self.root / env / file
        try:
            return path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as exc:
            raise _unreadable(str(path), exc) from exc

    def describe(self, env: str, file: str = "") -> str:
        """Name a file or a folder by its path."""
        return str(self.root / env / file)


class ArchiveSource:
    """Configuration in a zip or tar archive, read whole when opened.

    Args:
        path: the archive.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        contents = _read_archive(path)
        tops = {PurePosixPath(name).parts[0] for name in contents}
        if len(tops) == 1 and all(len(PurePosixPath(name).parts) > 2 for name in contents):
            contents = {str(PurePosixPath(*PurePosixPath(name).parts[1:])): data for name, data in contents.items()}
        self._contents = contents

    def environments(self) -> list[str]:
        """List the folders at the top."""
        return sorted({name.partition("/")[0] for name in self._contents if "/" in name})

    def files(self, env: str) -> list[str]:
        """List the configuration files under a folder."""
        prefix = f"{env}/" if env else ""
        return sorted(name[len(prefix) :] for name in self._contents if name.startswith(prefix))

    def read(self, env: str, file: str) -> str:
        """Read a file as text."""
        try:
            return self._contents[f"{env}/{file}" if env else file].decode("utf-8-sig")
        except UnicodeDecodeError as exc:
            raise _unreadable(self.describe(env, file), exc) from exc

    def describe(self, env: str, file: str = "") -> str:
        """Name a file or a folder by the archive and its path inside."""
        inside = PurePosixPath(env, file)
        return f"{self.path}!/{inside}" if str(inside) != "." else str(self.path)


def matches(file: str, patterns: tuple[str, ...]) -> bool:
    """Say whether a relative path fits one of some patterns.

    Args:
        file: the path, with slashes.
        patterns: `*` and `?` stay within a folder, `**` crosses folders.

    Returns:
        True where one fits.
    """
    return any(re.fullmatch(_expression(pattern), file) for pattern in patterns)


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


def _read_archive(path: Path) -> dict[str, bytes]:
    import tarfile
    import zipfile

    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return {_clean(name): archive.read(name) for name in archive.namelist() if _is_config(name)}
        with tarfile.open(path) as archive_tar:
            contents = {}
            for member in archive_tar.getmembers():
                stream = archive_tar.extractfile(member) if member.isfile() and _is_config(member.name) else None
                if stream is not None:
                    contents[_clean(member.name)] = stream.read()
            return contents
    except (OSError, tarfile.TarError, zipfile.BadZipFile, KeyError) as exc:
        why = f": {exc}" if isinstance(exc, OSError) else ""  # tarfile lists every format that it is not, in several lines
        msg = f"{path} is neither a folder nor a readable zip or tar archive of configuration{why}."
        raise ConfigError(msg, file=str(path)) from exc


def _clean(name: str) -> str:
    return name.removeprefix("./")


def _is_config(name: str) -> bool:
    path = PurePosixPath(_clean(name))
    return path.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in path.parts)


def _unreadable(name: str, exc: Exception) -> ConfigError:
    problem = "it is not UTF-8" if isinstance(exc, UnicodeDecodeError) else str(exc)
    return ConfigError(f"{name} cannot be read: {problem}. Save it as UTF-8 and check its permissions.", file=name)
