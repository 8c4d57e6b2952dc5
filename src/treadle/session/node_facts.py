"""Collect what the outputs of each node depend on: its code, its params, the catalog entries of its datasets, and its hooks.

This is done once, before a run, and only compares what is loaded in this process: the functions that will run, not the files
that they came from. State: the texts of params and entries found so far. Neighbours: `treadle.fingerprint` follows the code,
`treadle.planning.reuse` compares the facts, `run_facts.py` collects them for a run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from treadle.errors import TreadleError
from treadle.fingerprint import Fingerprinter
from treadle.io.validation import KEY as VALIDATOR_KEY
from treadle.io.validation import LOAD, SAVE
from treadle.parameter_names import is_parameter
from treadle.pipeline.names import base_name
from treadle.pipeline.typed import typed_parameters
from treadle.secrets import looks_secret
from treadle.session.dataset_code import DatasetCodes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pluggy import PluginManager

    from treadle.io import Catalog
    from treadle.io.validation.declaration import ValidatorRecipe
    from treadle.pipeline import Node
    from treadle.session.dataset_code import DatasetCode

_SHORT: Final = 60
"""Texts up to this length are kept as they are, so that they can be shown; longer ones are hashed."""
_HOOKS: Final = (
    "before_node_run",
    "after_node_run",
    "before_dataset_loaded",
    "after_dataset_loaded",
    "before_dataset_saved",
    "after_dataset_saved",
)
"""The hooks that can change what a node gets or saves."""
_PICKLED: Final = ("pickle", "joblib")
"""Words in the types of datasets whose files contain objects."""
_NOT_DATA: Final = frozenset({"credentials", "metadata", "versioned", VALIDATOR_KEY})
"""Keys of a catalog entry that do not change the data; a validator is a part of its own."""
_PLAIN: Final = frozenset({type(None), bool, int, float, str})
"""The types of most values, checked first: a catalog may have thousands of entries."""
_Described: TypeAlias = "tuple[str, str, str]"
"""The label of a param or catalog entry among the parts, its text, and why it has none; the texts may be empty."""
STORED_TYPE: Final = "treadle.io.datasets.pickled_value.PickledValueDataset"
"""The type of stored values; their entries are made for each run, and say nothing about the data."""
_NOT_FOR: Final = {"input": _NOT_DATA | {"filepath", "path", "save_args"}, "output": _NOT_DATA | {"load_args"}}
"""The keys that do not count, by the role of the dataset."""


class PartsCollector:
    """Collect the parts of nodes.

    Args:
        package: the project's package.
        catalog: the catalog of the run.
        hooks: the registered hooks.
    """

    def __init__(self, package: str, catalog: Catalog, hooks: PluginManager | None) -> None:
        self._fingerprinter = Fingerprinter(package)
        self._catalog = catalog
        self._described: dict[str, dict[str, _Described]] = {"input": {}, "output": {}}  # by role, then by name
        self._validators: dict[tuple[str, str], _Described] = {}  # by role and name, of the datasets that have one
        self._codes = DatasetCodes(catalog, self._fingerprinter)
        self._code_of: dict[str, DatasetCode] = {}  # by name, of the datasets that have code other than Treadle's
        self._counted: dict[tuple[str, ...], list[str]] = {}  # the keys that count, by the role and the keys of an entry
        self._untyped: set[tuple[object, ...]] = set()  # functions whose arguments, by keyword and kind, have no such type
        self._package = package
        self._hook_doubts: list[str] = []
        self._hooks = dict(self._hook_parts(hooks)) if hooks is not None else {}

    def parts(self, node: Node) -> tuple[dict[str, str], list[str]]:
        """Return what a node depends on, except the contents of its inputs.

        Args:
            node: the node.

        Returns:
            The parts, and one sentence for each dependency that cannot be compared.
        """
        code = self._fingerprinter.of(node.func)
        parts = {**code.parts, **self._hooks}
        doubts = [] if code.is_complete else [f"its code cannot be followed: {', '.join(code.unknown) or node.func_name}"]
        doubts += self._hook_doubts
        self._add_types(node, parts)
        parts["arguments"] = _short(", ".join([f"{keyword or ''}={name}" for keyword, name in node.call_arguments]))
        parts["outputs"] = _short(", ".join(node.outputs))
        for role, names in (("input", node.inputs), ("output", node.outputs)):
            known = self._described[role]
            for name in names:
                described = known.get(name)
                if described is None:
                    described = known[name] = self._describe(role, name)
                label, text, doubt = described
                if doubt:
                    doubts.append(doubt)
                elif text:
                    parts[_new_label(label, name, text, parts)] = text
                if name in self._code_of:
                    code_of = self._code_of[name]
                    parts |= code_of.parts
                    doubts += [code_of.doubt] if code_of.doubt else []
                if (role, name) in self._validators:
                    label, text, doubt = self._validators[role, name]
                    parts[_new_label(label, name, text, parts)] = text
                    doubts += [doubt] if doubt else []
        return parts, doubts

    def _add_types(self, node: Node, parts: dict[str, str]) -> None:
        """Add the classes that parameters are converted to, if they are outside the project; the function has the others."""
        layout = (id(node.func), *[(keyword, is_parameter(name)) for keyword, name in node.call_arguments])
        if layout in self._untyped:  # looking at annotations takes as long as all the rest
            return
        typed = typed_parameters(node)
        if not typed:
            self._untyped.add(layout)
        for name, annotation in typed.items():
            code = self._fingerprinter.of(annotation)
            added = {label: each for label, each in code.parts.items() if label != "callable" and label not in parts}
            if added:
                parts |= added
                parts[f"type of {_param_label(name)}"] = _short(code.parts["callable"])

    def stored_classes(self, name: str, producers: Callable[[], Iterable[Node]]) -> str:
        """Return a digest of the project's classes whose objects a file may contain; empty if its format has no objects.

        The bytes of a pickled object do not change with the code of its class, but a node that calls its methods does.

        Args:
            name: the dataset.
            producers: returns the nodes that make it, in this run or in others.
        """
        recipe = self._catalog.recipe(name)
        if recipe is None or not _has_objects(str(recipe.config.get("type", ""))):
            return ""
        classes = {self._fingerprinter.classes_of(producer.func) for producer in producers()}
        return ", ".join(sorted(each for each in classes if each is not None))

    def _hook_parts(self, hooks: PluginManager) -> Iterator[tuple[str, str]]:
        """Yield the code of each hook, and the order in which the implementations of one hook are called."""
        for name in _HOOKS:
            caller = getattr(hooks.hook, name, None)
            labels: dict[str, None] = {}  # in the order of the calls
            for implementation in caller.get_hookimpls() if caller is not None else ():
                function: Callable[..., Any] = implementation.function
                plain = label = f"hook {name} of {type(implementation.plugin).__qualname__}"
                while label in labels:  # another plugin with a class of this name
                    label = f"{plain} ({len(labels) + 1})"
                labels[label] = None
                code = self._fingerprinter.of(function)
                yield label, code.digest
                if not code.is_complete and _is_of_package(function, self._package):
                    self._hook_doubts.append(f"the {label} cannot be followed: {' '.join(code.unknown)}")
            if len(labels) > 1:
                yield f"order of hook {name}", _short(", ".join(label.partition(" of ")[2] for label in labels))

    def _describe(self, role: str, name: str) -> _Described:
        if is_parameter(name):
            return self._param(name)
        find = getattr(self._catalog, "validator_recipe", None)  # a catalog class of the project may not have it
        declared: ValidatorRecipe | None = find(name) if find is not None else None
        if declared is not None and (LOAD if role == "input" else SAVE) in declared.on:
            self._validators[role, name] = self._validator(name, declared)
        code = self._codes.of_entry(name)
        if code.parts or code.doubt:
            self._code_of[name] = code
        return self._entry(role, name)

    def _validator(self, name: str, declared: ValidatorRecipe) -> _Described:
        """Return a digest of a dataset's validator: its code and its declaration, which may change what is saved or loaded."""
        from treadle.io.validation.resolving import import_validator

        label = f"validator of {base_name(name)}"
        try:
            code = self._fingerprinter.of(import_validator(name, declared))
            options = canonical(
                declared.options, f"the catalog entry of {name}.validator.options", checks_names=False, sorts=True
            )
        except TreadleError:  # the run reports it
            return label, declared.path, f"{label} cannot be imported"
        except ValueError as exc:
            return label, declared.path, str(exc)
        doubt = "" if code.is_complete else f"{label}: its code cannot be followed: {', '.join(code.unknown) or declared.path}"
        return label, _digest(f"{declared.path} {declared.warns} {options} {code.digest}"), doubt

    def _param(self, name: str) -> _Described:
        label = _param_label(name)
        try:
            if looks_secret(name.rpartition(".")[2].removeprefix("params:")):
                raise _secret(label)
            return label, _short(canonical(self._catalog.load(name), label)), ""
        except TreadleError:  # the run reports it
            return label, "", f"{label} does not exist"
        except ValueError as exc:
            return label, "", str(exc)

    def _entry(self, role: str, name: str) -> _Described:
        """Return a digest of a dataset's catalog entry, as far as it changes data, or why it has none; both may be empty."""
        label, recipe = f"entry {base_name(name)} ({role})", self._catalog.recipe(name)
        if recipe is not None:
            if recipe.config.get("type") == STORED_TYPE:
                return label, "", ""
            try:
                return label, _digest(self._entry_text(role, name, recipe.config)), ""
            except ValueError as exc:
                return label, "", str(exc)
        if name in self._catalog and not self._catalog.capabilities(name).in_memory:
            return label, *self._codes.of_object(name, _NOT_FOR[role])
        return label, "", ""

    def _entry_text(self, role: str, name: str, config: Mapping[str, Any]) -> str:
        """Return the keys of a catalog entry that count, as `canonical` writes them."""
        layout = (role, *config)  # most entries have the same keys
        keys = self._counted.get(layout)
        if keys is None:
            keys = self._counted[layout] = sorted(config.keys() - _NOT_FOR[role], key=repr)
        texts = []
        for key in keys:
            value = config[key]
            text = (
                repr(value)
                if type(value) in _PLAIN
                else canonical(value, f"the catalog entry of {name}.{key}", checks_names=False, sorts=True)
            )
            texts.append(f"{key!r}: {text}")
        return f"{{{', '.join(texts)}}}"


def canonical(value: Any, label: str, *, checks_names: bool = True, sorts: bool = False) -> str:
    """Write a value as a text that is equal for equal values of equal types.

    The order of a mapping counts, because a node may iterate over it.

    Args:
        value: a param, or another value from configuration.
        label: what it is called in messages.
        checks_names: whether names that look secret are refused; their values are neither stored nor compared.
        sorts: whether the order of the outermost mapping does not count: its keys are the names of arguments.

    Returns:
        The text.

    Raises:
        ValueError: the value, or one inside it, cannot be compared.
    """
    if type(value) in _PLAIN or isinstance(value, (bool, int, float, str, bytes, date)):
        return repr(value)
    if isinstance(value, Mapping):
        pairs = []
        for key, each in sorted(value.items(), key=lambda pair: repr(pair[0])) if sorts else value.items():
            inner = f"{label}.{key}"
            if checks_names and looks_secret(str(key)):
                raise _secret(inner)
            if key != "credentials":
                pairs.append(f"{key!r}: {canonical(each, inner, checks_names=checks_names)}")
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, Sequence):
        start, end = "()" if isinstance(value, tuple) else "[]"
        return f"{start}{', '.join(canonical(each, label, checks_names=checks_names) for each in value)}{end}"
    if isinstance(value, (set, frozenset)):
        return f"{{{', '.join(sorted(canonical(each, label, checks_names=checks_names) for each in value))}}}"
    msg = f"{label} is an object of type {type(value).__qualname__}, which cannot be compared"
    raise ValueError(msg)


def _new_label(label: str, name: str, text: str, parts: Mapping[str, str]) -> str:
    """Return the label of a part; a node that loads `table@csv` and `table@text` depends on both of their entries."""
    return label if parts.get(label, text) == text else f"{label} as {name}"


def _is_of_package(function: Callable[..., Any], package: str) -> bool:
    module = str(getattr(function, "__module__", ""))
    return module == package or module.startswith(f"{package}.")


@lru_cache(maxsize=256)
def _has_objects(kind: str) -> bool:
    """Return whether files of a type of dataset contain pickled objects."""
    return any(word in kind.lower() for word in _PICKLED)


def _param_label(name: str) -> str:
    return f"param {name.removeprefix('params:')}" if name != "parameters" else "parameters"


def _secret(label: str) -> ValueError:
    return ValueError(f"{label} looks like a secret, which is not stored and so cannot be compared")


def _short(text: str) -> str:
    return text if len(text) <= _SHORT else _digest(text)


@lru_cache(maxsize=1024)  # without the path of their file, most entries of inputs are equal
def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()
