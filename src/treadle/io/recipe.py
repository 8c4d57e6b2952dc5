"""A dataset that is not built yet: its entry in the catalog's configuration.

A recipe can be pickled and sent to a worker; each process builds the dataset when it first uses it. State: none; recipes are
immutable. Neighbours: `types` resolves `type:`, `paths` the paths, `catalog` stores recipes and builds datasets from them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from treadle.errors import DatasetError
from treadle.io.contents import shown_location
from treadle.io.copying import copy_value
from treadle.io.dataset import Capabilities, Dataset, capabilities_of
from treadle.io.exclusive import shared_database
from treadle.io.paths import PATH_KEYS, absolute_path, depend_on_process, is_process_bound, make_absolute
from treadle.io.storage import is_local, local_path
from treadle.io.types import known_type, resolve_type
from treadle.io.validation import KEY as VALIDATOR_KEY
from treadle.named_tuple import NamedTuple
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    import inspect

    from treadle.io.validation.declaration import ValidatorRecipe

_OWN_KEYS: Final = frozenset({"type", "versioned", VALIDATOR_KEY})
"""Keys of an entry that are not arguments of its class."""


class Version(NamedTuple):
    """The versions to load and to save of a versioned dataset; None lets the dataset choose."""

    load: str | None = None
    save: str | None = None


class DatasetRecipe(NamedTuple):
    """The data from which any process can build a dataset.

    Attributes:
        name: the dataset's name in the catalog.
        config: its entry including `type`; it refers to credentials by name.
        credentials: the credentials that the entry refers to, by name; None if it refers to none.
        project_path: the folder that relative paths start from.
        load_version: the version to load; None for the newest.
        save_version: the version that this run saves.
        pattern: the pattern of the dataset factory that created it; None if the catalog has an entry with its name.
        confirmed: whether a node of the run confirms the dataset.
    """

    name: str
    config: Mapping[str, Any]
    credentials: Mapping[str, Any] | None = None
    project_path: str | None = None
    load_version: str | None = None
    save_version: str | None = None
    pattern: str | None = None
    confirmed: bool = False

    def __repr__(self) -> str:
        path = next((f", {key}={shown_location(str(self.config[key]))!r}" for key in PATH_KEYS if key in self.config), "")
        return f"DatasetRecipe({self.name!r}, type={self.config.get('type')!r}{path})"

    def build(self) -> Dataset:
        """Build the dataset.

        Returns:
            a new dataset.

        Raises:
            DatasetError: the type is unknown, credentials are missing, or the constructor raises.
        """
        kind = resolve_type(self.config.get("type"), self.name)
        self._check_kind(kind)  # before the constructor is called, because the catalog may name any class
        arguments = self._arguments(kind)
        try:
            dataset: Dataset = kind(**arguments)
        except Exception as exc:  # noqa: BLE001 - a constructor raises anything; it becomes the cause
            from treadle.secrets import masked_exception  # imported late: workers start faster

            raise self._build_error(kind, arguments, exc) from masked_exception(exc)
        if "metadata" in self.config and not hasattr(dataset, "metadata"):
            dataset.metadata = copy_value(self.config["metadata"])  # type: ignore[attr-defined]  # its class does not accept the argument
        return dataset

    def dataset_class(self) -> type[Any]:
        """Return the class of the dataset.

        Raises:
            DatasetError: the type is unknown.
        """
        kind: type[Any] = resolve_type(self.config.get("type"), self.name)
        return kind

    def foreign_classes(self) -> list[type[Any]]:
        """Return the classes that load and save the data, of this dataset and the one that it wraps, except Treadle's own.

        Raises:
            DatasetError: a type is unknown.
        """
        found = [] if known_type(self.config.get("type")) is not None else [self.dataset_class()]
        return [*found, *(self.inner().foreign_classes() if "dataset" in self.config else ())]

    def is_per_run(self) -> bool:
        """Return whether the dataset depends on the run: what it loads or saves differs from run to run."""
        known = known_type(self.storing().config.get("type"))
        return known is not None and known.per_run

    def capabilities(self) -> Capabilities:
        """Return the capabilities of the dataset, without building it.

        Raises:
            DatasetError: the dataset cannot be built, because its type is unknown, credentials are missing, or the class does
                not accept the entry's keys.
        """
        self._check_credentials()
        type_name = self.config.get("type")
        kind = resolve_type(type_name, self.name)
        self._check_kind(kind)
        self._check_arguments(kind)
        known = known_type(type_name)
        if known is None:
            found = capabilities_of(kind)
            if found.exclusive is None and not found.in_memory:
                facts = {**self.config, "credentials": dict(self.credentials or {})}
                found = found._replace(exclusive=shared_database(facts, self.project_path))
            return found
        if known.in_files or "dataset" in self.config:
            self._check_paths()
        if known.in_files and any(is_process_bound(self.config.get(key)) for key in PATH_KEYS):
            return Capabilities(main_process_only=True)
        if known.wraps:
            return self.inner().capabilities()
        if "dataset" in self.config:  # a partitioned dataset: check the type of its partitions
            resolve_type(self.inner().config.get("type"), self.name)
        return known.capabilities

    def absolute_local_path(self) -> str | None:
        """Return the absolute path of the file or folder; None if the entry has no path or a remote one."""
        path = next((self.config[key] for key in PATH_KEYS if key in self.config), None)
        if path is None and isinstance(self.config.get("dataset"), Mapping):
            return self.inner().absolute_local_path()
        return self._absolute_local(path)

    def plain_file(self) -> str | None:
        """Return the absolute path of the local file that is all that the dataset loads; None if it may load anything else."""
        known = known_type(self.config.get("type"))
        if known is None or not known.in_files or "filepath" not in self.config or "versioned" in self.config:
            return None
        return self._absolute_local(self.config["filepath"])

    def _absolute_local(self, path: Any) -> str | None:
        if not isinstance(path, str) or not is_local(path):
            return None
        if "://" in path or path.startswith("~"):
            return local_path(absolute_path(path, self.project_path))
        base = "" if self.project_path is None else self.project_path
        return os.path.normpath(os.path.join(base or os.getcwd(), path))  # noqa: PTH109, PTH118 - faster for thousands of datasets

    def portable(self) -> DatasetRecipe:
        """Return the recipe with paths that mean the same in a process with another home folder or working directory."""
        if not any(depend_on_process(self.config)):
            return self
        config = copy_value(dict(self.config))
        make_absolute(config, self.project_path)
        return self._replace(config=config)

    def validator(self) -> ValidatorRecipe | None:
        """Return the validator that the entry declares; None if it declares none.

        Raises:
            DatasetError: the declaration is invalid.
        """
        declared = self.config.get(VALIDATOR_KEY)
        if declared is None:
            return None
        from treadle.io.validation.declaration import read_validator

        return read_validator(self.name, declared)

    def inner(self) -> DatasetRecipe:
        """Return the recipe of the wrapped dataset, with the same name, credentials and versions."""
        entry = self.config.get("dataset")
        config = dict(entry) if isinstance(entry, Mapping) else {"type": entry}
        if self.config.get("versioned"):
            config["versioned"] = True
        return self._replace(config=config)

    def storing(self) -> DatasetRecipe:
        """Return the recipe of the dataset that stores the data: the wrapped one if this one wraps another, else this one."""
        known = known_type(self.config.get("type"))
        return self.inner().storing() if known is not None and known.wraps else self

    def _arguments(self, kind: type[Any]) -> dict[str, Any]:
        self._check_credentials()
        arguments: dict[str, Any] = {key: copy_value(value) for key, value in self.config.items() if key not in _OWN_KEYS}
        arguments = _with_credentials(arguments, self.credentials or {})
        make_absolute(arguments, self.project_path)
        known = known_type(self.config.get("type"))
        if known is not None and known.wraps:
            return {**arguments, "dataset": self.inner().build()}  # the wrapped dataset has the versions
        if known is not None and known.per_run:
            arguments.update(run=self.save_version, confirmed=self.confirmed)
        accepted = _accepted_by(kind)
        if accepted is not None and "metadata" not in accepted.names:
            arguments.pop("metadata", None)
        self._check_version(accepted)
        if self.config.get("versioned"):
            arguments["version"] = Version(self.load_version, self.save_version)
        return arguments

    def _check_kind(self, kind: type[Any]) -> None:
        """Raise if a class is not a dataset class."""
        if not (callable(getattr(kind, "load", None)) and callable(getattr(kind, "save", None))):
            msg = f"Dataset {self.name!r} has type {self.config['type']!r}, which is not a dataset class with `load` and `save`."
            raise DatasetError(msg, dataset=self.name)

    def _check_arguments(self, kind: type[Any]) -> None:
        """Raise if the class does not accept the entry's arguments, without calling it."""
        accepted = _accepted_by(kind)
        known = known_type(self.config.get("type"))
        if known is None or not known.wraps:
            self._check_version(accepted)
        if accepted is None:
            return
        given = self.config.keys() - _OWN_KEYS - {"metadata"}
        if not given.issubset(accepted.names) or not accepted.required.issubset(given):
            try:
                accepted.signature.bind(**dict.fromkeys(given))
            except TypeError as exc:
                raise self._build_error(kind, dict.fromkeys(given), exc) from exc

    def _check_paths(self) -> None:
        """Raise if a path is not one: building the dataset would fail only when its node runs, or use the project's folder."""
        for key in PATH_KEYS:
            path = self.config.get(key, "unset")
            if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
                shown = repr(path) if type(path) in (str, int, float, bool, type(None)) else f"a {type(path).__name__}"
                hint = "Write a path or URL, in quotes if it looks like a number."
                msg = f"Dataset {self.name!r} has no valid {key!r}: {shown}. {hint}"
                raise DatasetError(msg, dataset=self.name)

    def _check_version(self, accepted: _Accepted | None) -> None:
        if self.config.get("versioned"):
            if accepted is not None and "version" not in accepted.names:
                msg = f"Dataset {self.name!r} is `versioned: true`, but its type {self.config['type']!r} has no versions."
                raise DatasetError(msg, dataset=self.name)
        elif self.load_version is not None:
            msg = (
                f"A load version ({self.load_version!r}) is given for dataset {self.name!r}, which is not versioned. "
                "Add `versioned: true` to its catalog entry, or omit the load version."
            )
            raise DatasetError(msg, dataset=self.name)

    def _check_credentials(self) -> None:
        for wanted in credential_names(self.config):
            if wanted not in (self.credentials or {}):
                msg = (
                    f"Dataset {self.name!r} refers to the credentials {wanted!r}, which no credentials file has. "
                    f"Add a section {wanted!r} to credentials.yml of your environment."
                )
                raise DatasetError(msg, dataset=self.name)
            given = (self.credentials or {})[wanted]
            if known_type(self.config.get("type")) is not None and not isinstance(given, Mapping):
                msg = (
                    f"Dataset {self.name!r} refers to the credentials {wanted!r}, which are of type {type(given).__name__} and "
                    "not a mapping. Write them as keys and values, such as `key: …` and `secret: …`, which are the arguments of "
                    "the storage."
                )
                raise DatasetError(msg, dataset=self.name)

    def _build_error(self, kind: type[Any], arguments: Mapping[str, Any], exc: Exception) -> DatasetError:
        likely = ""
        accepted = _accepted_by(kind)
        if isinstance(exc, TypeError) and accepted is not None:
            for key in (key for key in arguments if key not in accepted.names):
                hint = did_you_mean(close_names(key, accepted.names, most=1), f"The arguments are {', '.join(accepted.names)}.")
                likely = f" It has no argument {key!r}.{hint}"
        msg = (
            f"Dataset {self.name!r} of type {self.config['type']!r} cannot be built: {type(exc).__name__}: "
            f"{str(exc).rstrip('.')}.{likely} "
            "Check its entry in the catalog."
        )
        return DatasetError(msg, dataset=self.name)


def credential_names(config: Any) -> Iterator[str]:
    """Yield the names of the credentials that an entry refers to, at any depth."""
    if isinstance(config, (dict, Mapping)):  # a dict first, as this check is faster
        for key, value in config.items():
            if isinstance(value, str):
                if key == "credentials":
                    yield value
            elif isinstance(value, (dict, Mapping)):
                yield from credential_names(value)


def _with_credentials(config: dict[str, Any], credentials: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in config.items():
        if key == "credentials" and isinstance(value, str):
            config[key] = copy_value(credentials[value])
        elif isinstance(value, dict):
            _with_credentials(value, credentials)
    return config


class _Accepted(NamedTuple):
    """The arguments that a class accepts."""

    signature: inspect.Signature
    names: tuple[str, ...]
    required: frozenset[str]


def _accepted_by(kind: Any) -> _Accepted | None:
    """Return the arguments that a class accepts; None if it accepts any, or has no readable signature."""
    return _read_signature(kind)


@lru_cache(maxsize=256)  # thousands of datasets may have the same class
def _read_signature(kind: Any) -> _Accepted | None:
    import inspect

    try:
        # A class without a constructor inherits that of the protocol, which accepts any arguments but ignores them.
        bare = getattr(kind, "__init__", None) is getattr(Dataset, "__init__", None)
        signature = inspect.Signature() if bare else inspect.signature(kind)
    except (TypeError, ValueError):
        return None
    parameters = signature.parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    required = {each.name for each in parameters if each.default is each.empty and each.kind is not each.VAR_POSITIONAL}
    return _Accepted(signature, tuple(each.name for each in parameters), frozenset(required))
