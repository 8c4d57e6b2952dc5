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
    tops = {top: path for name in names if (top := name.partition(".")[0]) and (path := _own_path(top)) is not None}
    roots = {path.parent for path in tops.values()}
    for name in [each for each in list(sys.modules) if "." not in each]:
        path = _own_path(name)
        if path is not None and path.parent in roots:
            tops[name] = path
    digest, stream, size = hashlib.blake2b(digest_size=16), io.BytesIO(), 0
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for _name, path in sorted(tops.items()):
            for file in _files(path):
                try:
                    size += file.stat().st_size
                    content = file.read_bytes() if size <= _MAX_BYTES else b""
                except FileNotFoundError:
                    continue  # an editor's temporary file that is gone by now
                except OSError as exc:
                    msg = (
                        f"The file {file} of the project's code cannot be read, so it cannot be sent to the dask workers: {exc}. "
                        "Make it readable, or move it out of the package's folder."
                    )
                    raise RunnerError(msg, name="dask") from exc
                place = file.relative_to(path.parent).as_posix()
                if size > _MAX_BYTES:
                    msg = (
                        f"The code in {path} has more than {format_bytes(_MAX_BYTES)} of files, too much to send to each dask "
                        "worker. Move data out of the package's folder, or install the package on the workers and here."
                    )
                    raise RunnerError(msg, name="dask")
                digest.update(f"{place}\0{len(content)}\0".encode())
                digest.update(content)
                archive.writestr(zipfile.ZipInfo(place), content)
    folders = {path.name: str(path.parent) for path in tops.values()}
    return ProjectCode(digest.hexdigest() if size else "", stream.getvalue(), folders)


def _own_path(name: str) -> Path | None:
    """Return the folder or file of a top-level module that is neither installed nor part of Python; None for others."""
    module = sys.modules.get(name)
    spec = find_spec(name) if module is None else None  # a project's package may not have been imported
    file = getattr(module, "__file__", None) if spec is None else spec.origin
    folders = list((getattr(module, "__path__", ()) if spec is None else spec.submodule_search_locations) or ())
    if name in ("__main__", "__mp_main__", "treadle") or (file is None and len(folders) != 1):
        return None
    path = Path(file) if file is not None else Path(folders[0])
    path = path.parent if folders and file is not None else path
    if path.suffix in (".so", ".pyd") or not path.exists():
        return None
    resolved = path.resolve()
    is_installed = str(resolved).startswith(_installed_folders()) or not _INSTALLED.isdisjoint(resolved.parts)
    return None if is_installed else path


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
            if file.is_file():  # not a pipe or socket, nor a link to nothing, such as the lock of an editor
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
            sys.path.remove(before)
            self._modules[before] = {name: module for name, module in list(sys.modules.items()) if _is_from(module, before)}
            for name in self._modules[before]:
                del sys.modules[name]
        if folder:
            sys.path.insert(0, folder)
            sys.path_importer_cache.pop(folder, None)
            for name in {entry.partition(".")[0] for entry in os.listdir(folder)}:  # of an installed or inherited version
                for loaded in [each for each in sys.modules if each == name or each.startswith(f"{name}.")]:
                    del sys.modules[loaded]
            sys.modules.update(self._modules.pop(folder, {}))


def _is_from(module: Any, folder: str) -> bool:
    file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), "")
    return str(file).startswith(folder + os.sep)
