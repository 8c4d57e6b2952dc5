"""Whole modules of the project, for where single names cannot be followed.

A module is identified by its normalised syntax tree, and depends on the modules of the project that it imports. Nothing is
imported to find this out. State: the modules found so far.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import types
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from treadle.fingerprint.accessors import registered_accessors
from treadle.fingerprint.facts import Facts, digest_of
from treadle.folders import walk_package

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import TypeGuard

    from treadle.fingerprint.names import Import
    from treadle.fingerprint.sources import SourceFile, Sources

_COMPILED = (".so", ".pyd", ".pyc")
"""Suffixes of compiled modules."""
_NONE = ModuleType("none")
_LAZY_IMPORT: Any = getattr(types, "LazyImportType", None)  # from Python 3.15 on


class Modules:
    """The modules of a package, as files.

    Args:
        package: the project's package.
        sources: the parsed files.
        is_edited: returns whether the file at a path was changed after it was imported.
    """

    def __init__(self, package: str, sources: Sources, is_edited: Callable[[str], bool]) -> None:
        self._is_edited = is_edited
        self._package = package
        self._sources = sources
        self._folders = [os.path.realpath(each) for each in _folders(package)]
        self._files: dict[str, str | None] = {}
        self._is_archive = any(_is_in_file(each) for each in self._folders)

    @property
    def root(self) -> str:
        """The project's folder: the nearest one with a pyproject.toml around the package, else the one that contains it."""
        if not self._folders:
            return ""
        folder = outer = os.path.dirname(self._folders[0])  # noqa: PTH120 - paths here are strings
        for _ in range(4):
            if os.path.basename(outer) in {"site-packages", "dist-packages"}:  # noqa: PTH119 - the same
                break
            if os.path.exists(os.path.join(outer, "pyproject.toml")):  # noqa: PTH110, PTH118 - the same
                return outer
            outer = os.path.dirname(outer)  # noqa: PTH120 - the same
        return folder

    @cached_property
    def accessors(self) -> dict[str, list[type]]:
        """The classes of the project that are registered with a library, by the name of the attribute that leads to them."""
        return registered_accessors(self.contains)

    def contains(self, module: str) -> bool:
        """Return whether a module belongs to the project: to its package, or to the main script."""
        return module == self._package or module.startswith(f"{self._package}.") or module == "__main__"

    def file(self, module: str) -> str | None:
        """Return the path of a module's file; None if the project has no such module."""
        if module not in self._files:
            self._files[module] = self._find(module)
        return self._files[module]

    def source(self, module: str) -> SourceFile | None:
        """Return a module's parsed file; None if it has no source."""
        loaded = sys.modules.get(module)
        path = getattr(loaded, "__file__", None) or self.file(module)
        if not isinstance(path, str) or path.endswith(_COMPILED):
            return None
        return self._sources.at(path, vars(loaded) if loaded is not None else None)

    def note_all(self, facts: Facts) -> None:
        """Refer to all modules of the package."""
        facts.edges.update(("module", each) for each in self._all())
        if self._is_archive:
            facts.cannot_tell(
                f"The package {self._package} is in an archive, whose modules are not listed: the node always runs."
            )

    def _all(self) -> Iterator[str]:
        for folder in self._folders:
            for root, inner, names in walk_package(folder):
                inner[:] = sorted(each for each in inner if each.isidentifier() and each != "__pycache__")
                steps = Path(root).relative_to(folder).parts
                for name in sorted(names):
                    stem = name.partition(".")[0]
                    if name.endswith((".py", *_COMPILED)):
                        yield ".".join((self._package, *steps, *([] if stem == "__init__" else [stem])))

    def describe(self, module: str, facts: Facts) -> None:
        """Note the content of a module, and what it imports.

        Args:
            module: its name.
            facts: receives them.
        """
        source = self.source(module)
        if source is not None:
            if module in sys.modules and self._is_edited(source.path):
                facts.add(f"module {module}", f"edited {source.digest}")
                facts.cannot_tell(f"The file of the module {module} was edited after it was imported: the node runs.")
            else:
                facts.add(f"module {module}", source.digest, source.digest[:16])
            self.note_imports(source.references.imports, module, facts)
            return
        path = self.file(module)
        if path is not None and os.path.isfile(path):  # noqa: PTH113 - a string
            with open(path, "rb") as file:  # noqa: PTH123 - the same
                digest = digest_of(file.read())
            facts.add(f"module {module}", digest, digest[:16])
            if path.endswith(_COMPILED):
                facts.cannot_tell(f"The module {module} is compiled, so what it imports is not known: the node always runs.")
        elif self._is_archive and not _is_empty(module):
            facts.cannot_tell(f"The module {module} is in an archive, where its source is not found: the node always runs.")
        elif module == "__main__":
            facts.cannot_tell("The source of the main script is not available: the node always runs.")

    def note_imports(self, imports: Iterable[Import], module: str, facts: Facts) -> None:
        """Note the modules that import statements import.

        Args:
            imports: the statements.
            module: the module that contains them.
            facts: receives a reference to each imported module.
        """
        for each in imports:
            name = absolute(each.module, self.package_of(module))
            if not self.contains(name):
                facts.edges.add(("outside", f"{name}.{each.attribute}" if each.attribute not in {None, "*"} else name))
                continue
            inner = f"{name}.{each.attribute}"
            for found in (*_with_parents(name, self._package), *([inner] if self._is_inner(name, each.attribute) else [])):
                if (found != module or found in {name, inner}) and (self.file(found) or self._is_archive):
                    facts.edges.add(("module", found))

    def _is_inner(self, package: str, attribute: str | None) -> bool:
        """Return whether an attribute that is imported from a package is, or may be, a module in it."""
        if self.file(f"{package}.{attribute}"):
            return True
        if not self._is_archive or attribute in {None, "*"}:
            return False
        found = vars(sys.modules.get(package, _NONE)).get(attribute, _NONE)
        return is_module(found)  # also if the package does not have it yet

    def package_of(self, module: str) -> str:
        """Return the package that relative imports of a module begin at."""
        path = self.file(module) or ""
        is_package = os.path.basename(path).startswith("__init__.")  # noqa: PTH119 - a string
        return module if is_package or "__path__" in vars(sys.modules.get(module, _NONE)) else module.rpartition(".")[0]

    def _find(self, module: str) -> str | None:
        if module == "__main__":
            main = getattr(sys.modules.get("__main__"), "__file__", None)
            return str(main) if main is not None else None
        if not self.contains(module):
            return None
        steps = module.removeprefix(self._package).split(".")[1:]
        for folder in self._folders:
            found = _file_at(os.path.join(folder, *steps), is_package=not steps)  # noqa: PTH118 - the same
            if found is not None:
                return found
        if not self._folders and module == self._package:  # a project that is one module
            spec = importlib.util.find_spec(module)
            return spec.origin if spec is not None else None
        return None


def _is_in_file(folder: str) -> bool:
    """Return whether a folder of a package is inside a file, such as a zip archive, as far as one can tell from its path."""
    while not os.path.exists(folder) and os.path.dirname(folder) != folder:  # noqa: PTH110, PTH120 - a string
        folder = os.path.dirname(folder)  # noqa: PTH120 - the same
    return os.path.isfile(folder)  # noqa: PTH113 - the same


def _is_empty(module: str) -> bool:
    """Return whether a module has been imported from an archive, and has no code."""
    loaded = sys.modules.get(module)
    read = getattr(getattr(loaded, "__loader__", None), "get_source", None)
    with contextlib.suppress(ImportError):
        return read is not None and read(module) == ""
    return False


def _file_at(place: str, *, is_package: bool) -> str | None:
    """Return the file of the module or package at a path without the end of its name."""
    inside = f"{place}{os.sep}__init__"
    for path in (f"{inside}.py", f"{place}.py", f"{inside}.pyc"):
        if os.path.isfile(path):  # noqa: PTH113 - a string
            return path
    around, name = os.path.split(place)
    if not is_package and os.path.isdir(around):  # noqa: PTH112 - the same
        for each in sorted(os.listdir(around)):  # noqa: PTH208 - the same
            if each.startswith(f"{name}.") and each.endswith(_COMPILED):
                return os.path.join(around, each)  # noqa: PTH118 - the same
    return None


def is_module(value: Any) -> TypeGuard[ModuleType]:
    """Return whether a value is a module, without asking the value: a proxy may raise."""
    return issubclass(type(value), ModuleType)


def variable_of(namespace: Mapping[str, Any], name: str) -> Any:
    """Return the value of a global variable, None if there is none; what was imported lazily is imported, as the code would.

    Args:
        namespace: the global variables of a module.
        name: the variable's name.
    """
    value: Any = namespace.get(name)
    if _LAZY_IMPORT is not None and type(value) is _LAZY_IMPORT:
        with contextlib.suppress(ImportError):  # the code that uses the name raises it
            return value.resolve()
    return value


def absolute(module: str, package: str) -> str:
    """Return the absolute name of a module as an import statement has it.

    Args:
        module: the name, with a dot for each level of a relative import.
        package: the package that it is relative to.
    """
    name = module.lstrip(".")
    level = len(module) - len(name)
    if not level:
        return name
    steps = package.split(".")
    base = ".".join(steps[: len(steps) - level + 1])
    return f"{base}.{name}" if name and base else base or name


def _with_parents(module: str, package: str) -> Iterator[str]:
    """Yield a module and the packages around it, which are imported with it."""
    yield module
    while module != package and "." in module:
        module = module.rpartition(".")[0]
        yield module


def _folders(package: str) -> list[str]:
    loaded = sys.modules.get(package)
    if loaded is not None:
        return [*getattr(loaded, "__path__", [])]
    try:
        spec = importlib.util.find_spec(package) if package else None
    except (ImportError, ValueError):
        return []
    return [*(spec.submodule_search_locations or [])] if spec is not None else []
