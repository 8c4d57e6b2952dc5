"""Identify code outside the project: by the version of its distribution, or by content if no distribution contains it.

Nothing is imported. `importlib.metadata.packages_distributions` reads the metadata of the whole environment; here, only what is
needed is read: the distribution of the same name first, then the lists of files. State: the modules identified so far.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.folders import walk_package
from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from importlib.metadata import Distribution

_MOST_FILES = 5000
"""A package outside all distributions is identified by the content of its files, at most this many."""
_IGNORED = frozenset({"treadle", "__future__"})
"""Treadle itself does not count: an upgrade of Treadle alone runs nothing again."""

_PACKAGES = r"^(?:\.\./)?((?:[^/,\n]+/)*__init__\.[^/,\n]+|[^/,\n]+\.\w+)(?=,|$)"
"""Lines of a list of files that are packages, or modules outside packages. Older formats have paths relative to the metadata."""


class Outside(NamedTuple):
    """What identifies a module outside the project.

    Attributes:
        label: such as `distribution pandas`.
        value: its version, or the digest of its content; None if neither can be determined.
        imports: the modules that it imports, if it is identified by its content.
    """

    label: str
    value: str | None
    imports: frozenset[str] = frozenset()


class Distributions:
    """Identifies modules by their distributions."""

    def __init__(self) -> None:
        self._known: dict[str, Outside | None] = {}
        self._owners: dict[str, list[Distribution]] | None = None

    def of_module(self, module: str) -> Outside | None:
        """Identify a module outside the project.

        Args:
            module: its dotted name; it need not be imported.

        Returns:
            What identifies it; None for the standard library, for Treadle, and for modules that do not exist.
        """
        top = module.partition(".")[0]
        if top in sys.stdlib_module_names or top in _IGNORED or top == "__main__":
            return None
        if module not in self._known:
            package, spec = _find(module)
            if package not in self._known:
                self._known[package] = _identify(self, package, spec)
            self._known[module] = self._known[package]
        return self._known[module]

    def containing(self, package: str, file: str) -> Distribution | None:
        """Return the distribution that contains a file.

        Args:
            package: the dotted name of the package or module that the file is.
            file: its path.
        """
        from importlib import metadata  # takes longer than all the rest, and not every project needs it

        relative = "/".join((*package.split(".")[:-1], *_end(package, file)))
        try:
            same_name = metadata.distribution(package.partition(".")[0])
        except metadata.PackageNotFoundError:
            pass
        else:
            if relative in _owned(same_name) and _is_at(same_name, relative, file):
                return same_name
        if self._owners is None:
            self._owners = {}
            for each in metadata.distributions():
                for path in _owned(each):
                    self._owners.setdefault(path, []).append(each)
        return next((each for each in self._owners.get(relative, ()) if _is_at(each, relative, file)), None)


def _identify(distributions: Distributions, package: str, spec: ModuleSpec | None) -> Outside | None:
    if spec is None:
        return None
    if not spec.has_location or spec.origin is None:
        return Outside(f"package {package}", None) if spec.origin not in {"built-in", "frozen"} else None
    found = distributions.containing(package, spec.origin)
    if found is not None:
        return Outside(f"distribution {_name(found)}", _version(found))
    files = _files(spec)
    digest, imports = _digest(files) if files is not None else (None, frozenset())
    return Outside(f"package {package}", digest, imports)


def _version(distribution: Distribution) -> str:
    """Return the version of a distribution, with a hash of its files if it comes from no index.

    What is installed from a folder, a repository or an archive is edited and installed again while its version stays the same.
    """
    version = str(distribution.version)
    if distribution.read_text("direct_url.json") is None:
        return version
    # Lines with the hashes of the installed files, in any order; those of the metadata and of scripts contain paths.
    lines = (distribution.read_text("RECORD") or "").splitlines()
    files = sorted(line for line in lines if ",sha256=" in line and not re.match(r"\.\./|[^/]+\.dist-info/|/", line))
    content = "\n".join(files).encode("utf-8", "surrogatepass")
    return f"{version} ({hashlib.sha256(content).hexdigest()[:12]})"


def _find(module: str) -> tuple[str, ModuleSpec | None]:
    """Find the outermost package of a module that is not a namespace package, without importing anything."""
    path: list[str] | None = None
    name = ""
    spec: ModuleSpec | None = None
    for part in module.split("."):
        inner = f"{name}.{part}" if name else part
        loaded = getattr(sys.modules.get(inner), "__spec__", None)
        found = loaded if isinstance(loaded, ModuleSpec) else _search(inner, path)
        if found is None:
            return name or inner, spec
        name, spec = inner, found
        if spec.origin is not None or spec.submodule_search_locations is None:
            break
        path = list(spec.submodule_search_locations)
    return name, spec


def _search(name: str, path: list[str] | None) -> ModuleSpec | None:
    if path is not None:
        return PathFinder.find_spec(name, path)
    for finder in sys.meta_path:  # editable installs add a finder
        find = getattr(finder, "find_spec", None)
        spec = find(name, None) if find is not None else None
        if isinstance(spec, ModuleSpec):
            return spec
    return None


def _end(package: str, file: str) -> tuple[str, ...]:
    """Return the last parts of a file's path in its distribution: `("pandas", "__init__.py")`, `("six.py",)`."""
    last = os.path.basename(file)  # noqa: PTH119 - a spec's origin is a string
    return (package.rpartition(".")[2], last) if last.startswith("__init__.") else (last,)


def _owned(distribution: Distribution) -> set[str]:
    """Return the packages and modules that a distribution contains, as paths of files, from its list of files."""
    text = distribution.read_text("RECORD") or distribution.read_text("installed-files.txt")
    if text is None and _is_installed(distribution):  # an egg, or a package of the operating system
        text = distribution.read_text("SOURCES.txt")
    return set(re.findall(_PACKAGES, text or "", re.MULTILINE))


def _is_installed(distribution: Distribution) -> bool:
    """Return whether a distribution is no checkout, whose files are edited while its version stays the same."""
    return not {"site-packages", "dist-packages"}.isdisjoint(Path(str(distribution.locate_file(""))).parts)


def _is_at(distribution: Distribution, relative: str, file: str) -> bool:
    located = str(distribution.locate_file(relative))
    return os.path.realpath(located) == os.path.realpath(file)


def _name(distribution: Distribution) -> str:
    return re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()


def _files(spec: ModuleSpec) -> list[tuple[str, str]] | None:
    """Return a package's files, or a module's file, with their names in it; None if there are too many."""
    folders = spec.submodule_search_locations
    if folders is None:
        return [("", str(spec.origin))]
    files: list[tuple[str, str]] = []
    for folder in folders:
        for root, inner, names in walk_package(folder):
            inner[:] = sorted(each for each in inner if each != "__pycache__" and not each.startswith("."))
            paths = ((os.path.relpath(os.path.join(root, each), folder), os.path.join(root, each)) for each in names)  # noqa: PTH118 - os.walk yields strings
            files += [each for each in paths if each[1].endswith((".py", ".so", ".pyd"))]
            if len(files) > _MOST_FILES:
                return None
    return sorted(files)


def _digest(files: list[tuple[str, str]]) -> tuple[str | None, frozenset[str]]:
    """Return the digest of files, None if one cannot be read, and the modules that they import, as far as a search shows."""
    digest = hashlib.sha256()
    imports: set[bytes] = set()
    for name, path in files:
        try:
            with open(path, "rb") as file:  # noqa: PTH123 - a string
                content = file.read()
        except OSError:
            return None, frozenset()
        digest.update(f"{name.replace(os.sep, '/')}\0{len(content)}\0".encode("utf-8", "surrogateescape"))
        digest.update(content)
        if path.endswith(".py"):
            imports.update(re.findall(rb"^[ \t]*from[ \t]+([\w.]+)[ \t]+import\b", content, re.MULTILINE))
            for line in re.findall(rb"^[ \t]*import[ \t]+([\w., \t]+)", content, re.MULTILINE):
                imports.update(each.split()[0] for each in line.split(b",") if each.split())
    found = (each.decode("utf-8", "ignore") for each in imports)  # also words of texts, and relative names, which are left out
    return digest.hexdigest()[:32], frozenset(each for each in found if all(map(str.isidentifier, each.split("."))))
