"""Follow a name in a function to the object that it means, through modules of the project as far as attributes lead.

State: none of its own; neighbours: `objects.py` says which objects have facts of their own.
"""

from __future__ import annotations

import builtins
import sys
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from treadle.fingerprint.modules import Modules, absolute, is_module, variable_of
from treadle.fingerprint.names import Chain, Import, References
from treadle.fingerprint.typing_values import classes_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from treadle.fingerprint.facts import Facts

_WHOLE_PACKAGE = {
    "builtins.__import__",
    "builtins.eval",
    "builtins.exec",
    "importlib.__import__",
    "importlib.import_module",
    "importlib.reload",
    "inspect.getmodule",
    "pkgutil.iter_modules",
    "pkgutil.resolve_name",
    "pkgutil.walk_packages",
    "runpy.run_module",
    "sys.modules",
}
"""What can lead to any module of the project."""
_LEADING_ON = {"__subclasses__", "__globals__", "f_globals"}
"""Attributes that lead from an object to any module of the project."""
_OWN_MODULE = {"builtins.globals"}
"""What can lead to any name of the function's own module."""
_ANYTHING = {
    "importlib.metadata.entry_points",
    "importlib.util.module_from_spec",
    "importlib.util.spec_from_file_location",
    "runpy.run_path",
}
"""What can lead to code that nothing in the project names."""
_IMPORTING = {"builtins.__import__", "importlib.import_module"}

_DATA = (bool, int, float, str, bytes, list, tuple, dict, set, frozenset)
"""Types of global variables that count by value where any name of a module may be meant; its tree has the others."""
_NO_MODULE = ModuleType("none")
_MOST_ENTRIES = 1000
"""Entries of a registry of a library that are looked at."""


class Binding:
    """Follows the names of one function or class.

    Args:
        owner: the function or class, for sentences.
        module: the module that it was defined in.
        namespace: the global variables of the module.
        modules: the project's modules.
        mark: notes an object that has facts of its own and returns its label; None for any other object.
        mark_global: notes a global variable, by its module and name, with its value.
    """

    def __init__(
        self,
        owner: str,
        module: str,
        namespace: Mapping[str, Any],
        modules: Modules,
        mark: Callable[[Any, Facts], str | None],
        mark_global: Callable[[str, str, Any, Facts], None],
    ) -> None:
        self._owner = owner
        self._module = module
        self._namespace = namespace
        self._modules = modules
        self._mark = mark
        self._mark_global = mark_global

    def follow_all(self, found: References, cells: Mapping[str, Any], facts: Facts) -> str:
        """Follow everything that a function or a class refers to.

        Args:
            found: the names.
            cells: the values of the variables that a closure captures; only modules among them are followed here.
            facts: receives references.

        Returns:
            A text that says what each name means.
        """
        quoted = {chain for chain in found.quoted if chain[0] in self._namespace}
        chains = sorted(found.chains | quoted)
        meanings = [f"{'.'.join(chain)}={self._follow(chain, found, cells, facts)}" for chain in chains]
        self._modules.note_imports(found.imports, self._module, facts)
        for chain in found.annotations:
            self._follow_annotation(chain, facts)
        for each in found.imports:
            self._note_dynamic_import(each, found, facts)
        for attribute in self._modules.accessors.keys() & found.attributes:
            for kind in self._modules.accessors[attribute]:
                self._mark(kind, facts)
        for attribute in sorted(_LEADING_ON & found.attributes):
            facts.unknown.add(f"{self._owner} uses {attribute}: it depends on every module of the project.")
            facts.edges.add(("package",))
        return "\n".join(meanings)

    def _follow(self, chain: Chain, found: References, cells: Mapping[str, Any], facts: Facts) -> str:
        name = chain[0]
        texts = found.texts.get(chain, {None})
        if name in cells:
            value = cells[name]
            return self._through_module(value, chain[1:], texts, facts) if is_module(value) else "cell"
        if name not in self._namespace:
            return self._to_builtin(name, texts, facts)
        value = variable_of(self._namespace, name)
        if is_module(value):
            return self._through_module(value, chain[1:], texts, facts)
        return self._to_value(value, self._module, name, texts, facts)

    def _to_builtin(self, name: str, texts: set[str | None], facts: Facts) -> str:
        """Follow a name that the module does not have; code of the project may have added it to those of Python."""
        if not hasattr(builtins, name):
            return "missing"
        self._note_dynamic(f"builtins.{name}", texts, facts)
        value = getattr(builtins, name)
        if not name.startswith("__") and type(value) in _DATA:
            self._mark_global("builtins", name, value, facts)
        else:
            self._note_own_code(f"builtins.{name}", value, facts)
        return "builtin"

    def _note_own_code(self, path: str, value: Any, facts: Facts) -> None:
        """Note functions and classes of the project that a name of a library leads to.

        The project may have put them there when it was imported: in the place of a function of the library, or in a registry.

        Args:
            path: the name, with its module.
            value: what it means now: a function or a class of the project, or a container or class of the library with some.
            facts: receives references.
        """
        own = [each for each in _candidates(value) if self._is_own_code(each)]
        if own:
            home, _, name = path.rpartition(".")
            self._mark_global(home, name, own, facts)

    def _is_own_code(self, value: Any) -> bool:
        kind = type(value)
        if kind is FunctionType:
            return self._modules.contains(str(value.__globals__.get("__name__", "")))
        return issubclass(kind, type) and self._modules.contains(str(value.__module__))

    def _note_dynamic_import(self, imported: Import, found: References, facts: Facts) -> None:
        """Note a function that can lead to any code, if the function under examination imports it itself."""
        module = absolute(imported.module, self._modules.package_of(self._module))
        if imported.attribute is not None:
            module = f"{module}.{imported.attribute}"
        elif not imported.is_whole_path:
            module = imported.name
        for chain in found.read:
            if chain[0] == imported.name:
                names = [module, *chain[1:]]
                self._note_dynamic(".".join(names), found.texts.get(chain, {None}), facts)

    def _follow_annotation(self, chain: Chain, facts: Facts) -> None:
        """Follow an annotation to a class of the project, because its methods are called through the parameter."""
        if chain[0] in self._namespace:
            value = variable_of(self._namespace, chain[0])
        else:
            value = self._imported_for_checking(chain[0], facts)
        for attribute in chain[1:]:
            value = variable_of(vars(value), attribute) if is_module(value) else None
        for kind in classes_in(value):
            if self._modules.contains(str(kind.__module__)):
                self._mark(kind, facts)

    def _imported_for_checking(self, name: str, facts: Facts) -> Any:
        """Return what a name means that a module imports only for type checkers; None if that is not imported."""
        source = self._modules.source(self._module)
        imported = source.imports.get(name) if source is not None else None
        if imported is None:
            return None
        module = absolute(imported.module, self._modules.package_of(self._module))
        if not self._modules.contains(module):
            return None
        attribute = imported.attribute
        path = (module if imported.is_whole_path else name) if attribute is None else f"{module}.{attribute}"
        loaded = sys.modules.get(path) or variable_of(vars(sys.modules.get(module, _NO_MODULE)), attribute or "")
        if loaded is None:
            self._modules.note_imports([imported], self._module, facts)
        return loaded

    def _through_module(self, module: ModuleType, attributes: Chain, texts: set[str | None], facts: Facts) -> str:
        while attributes and is_module(inner := variable_of(vars(module), attributes[0])):
            module, attributes = inner, attributes[1:]
        name = module.__name__
        if not self._modules.contains(name):
            path = f"{name}.{attributes[0]}" if attributes else name
            facts.edges.add(("outside", path))
            self._note_dynamic(path, texts, facts)
            self._note_own_code(path, vars(module).get(attributes[0]) if attributes else None, facts)
            return path
        if not attributes or attributes[0] == "__dict__":
            return self._whole_module(name, f"uses the module {name} as a value, so any of its names may be meant", facts)
        attribute = attributes[0]
        if attribute in vars(module):
            return self._to_value(variable_of(vars(module), attribute), name, attribute, texts, facts)
        if self._modules.file(f"{name}.{attribute}"):
            facts.edges.add(("module", f"{name}.{attribute}"))
            return f"module {name}.{attribute}"
        return self._made_by_module(module, attribute, facts)

    def _made_by_module(self, module: ModuleType, attribute: str, facts: Facts) -> str:
        """Follow an attribute that a module of the project does not have, but may make when it is read."""
        name = module.__name__
        if self._modules.contains(str(type(module).__module__)):
            self._mark(type(module), facts)
            return self._whole_module(name, f"uses {name}.{attribute}, which the class of the module makes", facts)
        if "__getattr__" in vars(module):
            return self._whole_module(name, f"uses {name}.{attribute}, which __getattr__ of the module makes", facts)
        return "missing"

    def _whole_module(self, name: str, why: str, facts: Facts) -> str:
        mark_module(name, self._mark_global, facts)
        facts.unknown.add(f"{self._owner} {why}: it depends on the whole module {name} and on those that it imports.")
        return f"module {name}"

    def _to_value(self, value: Any, home: str, name: str, texts: set[str | None], facts: Facts) -> str:
        source = self._modules.source(home)
        imported = source.imports.get(name) if source is not None else None
        if imported is not None:
            outside = self._outside_name(imported, home)
            if outside is not None:
                # Whatever it is, the version of its distribution says what it is, unless it is code of the project.
                facts.edges.add(("outside", outside))
                self._note_dynamic(outside, texts, facts)
                self._note_own_code(outside, value, facts)
                return outside
        label = self._mark(value, facts)
        if label is not None:
            return label
        self._mark_global(home, name, value, facts)
        return f"global {home}.{name}"

    def _outside_name(self, imported: Import, home: str) -> str | None:
        module = absolute(imported.module, self._modules.package_of(home))
        if self._modules.contains(module):
            return None
        return f"{module}.{imported.attribute}" if imported.attribute is not None else module

    def _note_dynamic(self, name: str, texts: set[str | None], facts: Facts) -> None:
        """Note a function that can lead to code that its arguments name only when it is called."""
        constant = [each for each in texts if each is not None]
        if name in _IMPORTING and len(constant) == len(texts):
            self._modules.note_imports([Import("_", each, None, is_whole_path=True) for each in constant], self._module, facts)
        elif leads_anywhere(name):
            facts.edges.add(("package",))
            short = name.removeprefix("builtins.")
            facts.unknown.add(
                f"{self._owner} uses {short}, which can lead to any code of the project: it depends on every module of"
                " the project."
            )
        elif name in _OWN_MODULE:
            self._whole_module(
                self._module, f"uses {name.removeprefix('builtins.')}, so any name of its module may be meant", facts
            )
        elif name in _ANYTHING:
            facts.cannot_tell(f"{self._owner} uses {name}, which can lead to code outside the project: the node always runs.")


def _candidates(value: Any) -> Iterable[Any]:
    """Return a value, the elements of a plain container, or the attributes of a class: what may be code of the project."""
    kind = type(value)
    if kind is dict:
        return [*value.values()][:_MOST_ENTRIES]
    if kind in {list, tuple, set, frozenset}:
        return [*value][:_MOST_ENTRIES]
    return (value, *vars(value).values()) if issubclass(kind, type) else (value,)


def leads_anywhere(name: str) -> bool:
    """Return whether a function or variable, by its module and name, can lead to any module of the project."""
    return name in _WHOLE_PACKAGE


def mark_module(name: str, mark_global: Callable[[str, str, Any, Facts], None], facts: Facts) -> None:
    """Refer to a whole module of the project, and to the constants in it.

    Args:
        name: the module.
        mark_global: notes a global variable, by its module and name, with its value.
        facts: receives the references.
    """
    facts.edges.add(("module", name))
    for variable, value in list(vars(sys.modules.get(name, _NO_MODULE)).items()):  # another thread may be importing it
        if type(value) in _DATA and not variable.startswith("__"):
            mark_global(name, variable, value, facts)
