"""Read the `validator:` of a catalog entry, and the switch that turns all validators off. State: none.

A declaration is the path of a class, schema or function, or a mapping with the path as `class`. It is plain data, so it travels
with the recipe of its dataset; `resolving.py` imports what it names.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from treadle.errors import DatasetError
from treadle.io.validation import KEY, LOAD, SAVE, SWITCH
from treadle.named_tuple import NamedTuple
from treadle.suggestions import close_names, did_you_mean

_KEYS: Final = ("class", "on", "severity", "options", "enabled")
_MOMENTS: Final = (LOAD, SAVE)
_SEVERITIES: Final = ("error", "warn")
_SWITCH_VALUES: Final = {
    **dict.fromkeys(("on", "true", "1", "yes"), True),
    **dict.fromkeys(("off", "false", "0", "no"), False),
}


class ValidatorRecipe(NamedTuple):
    """A declared validator.

    Attributes:
        path: module and name of a class, a schema or a function.
        on: when it checks: `load`, `save` or both.
        warns: whether a failed check is a warning, and the value is used as it is.
        options: arguments of the class, the schema's `validate` or the function.
    """

    path: str
    on: tuple[str, ...]
    warns: bool
    options: Mapping[str, Any]


def read_validator(dataset: str, declared: Any) -> ValidatorRecipe | None:
    """Read the `validator:` of a catalog entry.

    Args:
        dataset: name of the dataset.
        declared: the value of the key.

    Returns:
        The validator; None if it is switched off with `enabled: false`.

    Raises:
        DatasetError: the declaration is invalid.
    """
    if isinstance(declared, str):
        return ValidatorRecipe(_path(dataset, declared), _MOMENTS, warns=False, options={})
    if not isinstance(declared, Mapping):
        raise _wrong(dataset, f"it is {declared!r}; write the path of a class, or a mapping with the key `class`")
    keys = _with_on(dataset, declared)
    for key in keys:
        if key not in _KEYS:
            hint = did_you_mean(close_names(key, _KEYS, most=1), f"The keys are: {', '.join(_KEYS)}.")
            more = " Write `on: save` to check only what is saved." if key == "skip_load_after_save" else ""
            raise _wrong(dataset, f"it has the unknown key {key!r}", f"{hint}{more}")
    severity, options, enabled = keys.get("severity", "error"), keys.get("options") or {}, keys.get("enabled", True)
    if severity not in _SEVERITIES:
        raise _wrong(dataset, f"its `severity` is {severity!r}; write error or warn")
    if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
        raise _wrong(dataset, f"its `options` are {options!r}; write a mapping of names to values")
    if not isinstance(enabled, bool):
        raise _wrong(dataset, f"its `enabled` is {enabled!r}; write true or false, without quotes")
    recipe = ValidatorRecipe(_path(dataset, keys.get("class")), _moments(dataset, keys), severity == "warn", dict(options))
    return recipe if enabled else None


def without_validators(catalog: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return catalog entries without their validators.

    Args:
        catalog: entries by name; those that are no mappings are returned as they are.
    """
    return {
        name: {key: value for key, value in entry.items() if key != KEY} if isinstance(entry, Mapping) else entry
        for name, entry in catalog.items()
    }


def validation_enabled(*, setting: bool = True) -> bool:
    """Return whether validators are used, by the environment variable or else by the setting.

    Args:
        setting: DATASET_VALIDATION of the project.

    Raises:
        DatasetError: the environment variable has a value that is neither on nor off.
    """
    value = os.environ.get(SWITCH, "").strip().lower()
    if not value:
        return setting
    if value not in _SWITCH_VALUES:
        msg = f"The environment variable {SWITCH} is {value!r}. Set it to `on` or `off`, or unset it."
        raise DatasetError(msg)
    return _SWITCH_VALUES[value]


def _with_on(dataset: str, declared: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return a declaration whose key `on`, which YAML may read as the value true, is a text."""
    keys = {("on" if key is True else key): value for key, value in declared.items()}
    if len(keys) < len(declared):
        raise _wrong(dataset, "it has the key `on` twice, with and without quotes; keep one")
    return keys


def _moments(dataset: str, keys: Mapping[Any, Any]) -> tuple[str, ...]:
    on = keys.get("on", _MOMENTS)
    given = [on] if isinstance(on, str) else on
    if not isinstance(given, (list, tuple)) or not given or not all(each in _MOMENTS for each in given):
        raise _wrong(dataset, f"its `on` is {on!r}; write load, save or [load, save]")
    return tuple(moment for moment in _MOMENTS if moment in given)


def _path(dataset: str, path: Any) -> str:
    if not isinstance(path, str) or not path.strip():
        raise _wrong(
            dataset, f"its `class` is {path!r}; write the path of a class, schema or function, such as shop.checks.Orders"
        )
    if "." not in path.strip():
        raise _wrong(dataset, f"{path!r} has no module; write the whole path, such as shop.checks.{path.strip()}")
    return path.strip()


def _wrong(dataset: str, problem: str, hint: str = "") -> DatasetError:
    end = hint or " docs/validation.md has examples."
    return DatasetError(f"The validator of dataset {dataset!r} is invalid: {problem}.{end}", dataset=dataset)
