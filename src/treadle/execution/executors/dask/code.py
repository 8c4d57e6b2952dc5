"""The code of a project on its way to workers that do not have it: an archive with a digest, unpacked once a version.

`pack_code` runs in the driver, the rest in dask workers. State: the version whose modules a process has loaded.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import sys
import sysconfig
import zipfile
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from treadle.errors import RunnerError
from treadle.execution.processes.sizes import format_bytes
from treadle.folders import walk_package
from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_MAX_BYTES = 64 << 20
_FOLDER = "treadle-code"
"""Folder for code in a dask worker's own directory."""
_INSTALLED = frozenset({"site-packages", "dist-packages"})
"""Folders of installed packages, also those that `sysconfig` does not name: the user's, the operating system's."""
_SKIPPED = frozenset({"__pycache__", ".git", ".ipynb_checkpoints", "node_modules", ".venv"})


class ProjectCode(NamedTuple):
    """Packages and modules, as an archive.

    Attributes:
        digest: stands for the content of all files.
        archive: the files.
        folders: where each package and module is on this machine, by its file name.
    """

    digest: str
    archive: bytes
    folders: Mapping[str, str] = MappingProxyType({})

    def with_local_paths(self, text: str) -> str:
        """Replace the paths of a worker's copy of the code by those of this machine.

        Args:
            text: of a traceback, for example.
        """
        if not self.digest or self.digest not in text:
            return text
        pattern = rf"[^\s\"']*{_FOLDER}/{self.digest}/(?P<name>[^/\s\"']+)"
        return re.sub(pattern, lambda found: os.path.join(self.folders.get(found["name"], ""), found["name"]), text)


def pack_code(names: Iterable[str]) -> ProjectCode:
    """Pack the modules that are not installed: those named, and all that were loaded from the same folders.

    Args:
        names: modules that a worker will import: the project's package, and those that nodes come from.

    Raises:
        RunnerError: the files are too large to be sent.
    """
    tops = {top: _own_paths(top) for top in {name.partition(".")[0] for name in names} if top}
    roots = {path.parent for paths in tops.values() for path in paths}
    for name in [each for each in list(sys.modules) if "." not in each and each not in tops]:
        tops[name] = [path for path in _own_paths(name) if path.parent in roots]
    own = [path for _name, paths in sorted(tops.items()) for path in paths]
    digest, stream, size = hashlib.blake2b(digest_size=16), io.BytesIO(), 0
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for place, (path, file) in _places(own).items():
            try:
                head = f"{place}\0".encode()
                size += file.stat().st_size
                content = file.read_bytes() if size <= _MAX_BYTES else b""
            except FileNotFoundError:
                continue  # an editor's temporary file that is gone by now
            except (OSError, UnicodeError) as exc:
                msg = (
                    f"The file {str(file)!r} of the project's code cannot be sent to the dask workers: {exc}. Make it readable, "
                    "and its name UTF-8, or move it out of the package's folder."
                )
                raise RunnerError(msg, name="dask") from exc
            if size > _MAX_BYTES:
                msg = (
                    f"The code in {path} has more than {format_bytes(_MAX_BYTES)} of files, too much to send to each dask "
                    "worker. Move data out of the package's folder, or install the package on the workers and here."
                )
                raise RunnerError(msg, name="dask")
            digest.update(head + f"{len(content)}\0".encode())
            digest.update(content)
            archive.writestr(zipfile.ZipInfo(place), content)
    folders = {path.name: str(path.parent) for path in reversed(own)}
    return ProjectCode(digest.hexdigest() if size else "", stream.getvalue(), folders)


def _places(own: Iterable[Path]) -> dict[str, tuple[Path, Path]]:
    """Return the module or package and the file for each name in the archive.

    Of the parts of a namespace package, the first with a file of that name counts, as for Python.
    """
    places: dict[str, tuple[Path, Path]] = {}
    for path in own:
        for file in _files(path):
            places.setdefault(file.relative_to(path.parent).as_posix(), (path, file))
    return places


def _own_paths(name: str) -> list[Path]:
    """Return the folder or file of a top-level module that is neither installed nor part of Python.

    There are several if it is a namespace package in several places, of which some may be installed; none for other modules.
    """
    module = sys.modules.get(name)
    spec = find_spec(name) if module is None else None  # a project's package may not have been imported
    if name in ("__main__", "__mp_main__", "treadle"):
        return []
    file = getattr(module, "__file__", None) if spec is None else spec.origin
    folders = list((getattr(module, "__path__", ()) if spec is None else spec.submodule_search_locations) or ())
    paths = [Path(each) for each in folders] if file is None else [Path(file).parent if folders else Path(file)]
    return [path for path in paths if path.suffix not in (".so", ".pyd") and path.exists() and not _is_installed(path)]


def _is_installed(path: Path) -> bool:
    resolved = path.resolve()
    return str(resolved).startswith(_installed_folders()) or not _INSTALLED.isdisjoint(resolved.parts)


@cache
def _installed_folders() -> tuple[str, ...]:
    """Return the folders of Python's own modules and of installed packages; finding them takes a millisecond."""
    paths = {sysconfig.get_path(each) for each in ("stdlib", "platstdlib", "purelib", "platlib")}
    return tuple(os.path.realpath(path) + os.sep for path in paths)


def _files(path: Path) -> Iterator[Path]:
    """Yield the files of a module or package."""
    if path.is_file():
        yield path
        return
    for folder, folders, files in walk_package(str(path)):
        folders[:] = sorted(each for each in folders if each not in _SKIPPED)
        for file in [Path(folder, each) for each in sorted(files) if not each.endswith((".pyc", ".pyo"))]:
            if file.is_file():  # not a pipe or socket, nor a broken link, such as the lock of an editor
                yield file


def code_folder(local_directory: str, digest: str) -> str:
    """Return the folder of a version of code on a worker.

    Args:
        local_directory: the dask worker's own directory.
        digest: of the code.
    """
    return os.path.join(local_directory, _FOLDER, digest)


def unpack_code(code: ProjectCode, folder: str) -> None:
    """Unpack an archive, unless this version is there.

    Args:
        code: the archive.
        folder: where it goes.
    """
    if os.path.exists(folder):
        return
    partial = f"{folder}.{os.getpid()}"
    try:
        with zipfile.ZipFile(io.BytesIO(code.archive)) as archive:
            archive.extractall(partial)
        os.rename(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


class CodeFolders:
    """The versions of code that this process has loaded: one at a time is importable, with its modules."""

    def __init__(self) -> None:
        self._current = ""
        self._names: set[str] = set()  # of the top-level modules in the current version
        self._modules: dict[str, dict[str, Any]] = {}  # of the versions that are not current

    def use(self, folder: str) -> None:
        """Make a version the current one.

        Args:
            folder: where it was unpacked; empty for none.
        """
        if folder == self._current:
            return
        before, self._current = self._current, folder
        if before:
            with suppress(ValueError):  # a node has removed it
                sys.path.remove(before)
            # Those of a namespace package that were imported from elsewhere are attributes of this version's package, too.
            self._modules[before] = {
                name: module
                for name, module in list(sys.modules.items())
                if name.partition(".")[0] in self._names or _is_from(module, before)
            }
            for name in self._modules[before]:
                del sys.modules[name]
        if folder:
            sys.path.insert(0, folder)
            sys.path_importer_cache.pop(folder, None)
            self._names = {entry.partition(".")[0] for entry in os.listdir(folder)}
            for name in [each for each in list(sys.modules) if each.partition(".")[0] in self._names]:
                del sys.modules[name]  # of an installed or inherited version
            sys.modules.update(self._modules.pop(folder, {}))


def _is_from(module: Any, folder: str) -> bool:
    file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), "")
    return str(file).startswith(folder + os.sep)
