"""Import the class, schema or function that a validator's path names, and make a function of it that checks a value.

State: none. Neighbours: `declaration.py` has the path, `pandera.py` calls schemas, `checking.py` uses the function.
"""

from __future__ import annotations

import functools
import inspect
from importlib import import_module
from typing import TYPE_CHECKING, Any

from treadle.errors import DatasetError
from treadle.io.failures import install_hint
from treadle.io.validation.pandera import is_pandera_schema, schema_check
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.io.validation.declaration import ValidatorRecipe


def import_validator(dataset: str, recipe: ValidatorRecipe) -> Any:
    """Import the object that a validator's path names.

    Args:
        dataset: name of the dataset.
        recipe: the validator.

    Returns:
        A class, a schema or a function.

    Raises:
        DatasetError: it cannot be imported.
    """
    return _import(dataset, recipe, recipe.path)


def resolve_validator(dataset: str, recipe: ValidatorRecipe) -> Callable[[Any], Any]:
    """Return the function that checks a value: it returns the value to use, or raises.

    Args:
        dataset: name of the dataset.
        recipe: the validator.

    Raises:
        DatasetError: the validator cannot be imported, is no validator, or does not take its options.
    """
    found = import_validator(dataset, recipe)
    if is_pandera_schema(found):
        return schema_check(dataset, found, recipe)
    if inspect.isclass(found):
        if not callable(getattr(found, "validate", None)):
            raise _useless(dataset, recipe, f"the class {found.__name__} has no method `validate`")
        try:
            created: Any = found(**recipe.options)
            check = created.validate
        except Exception as exc:
            raise _useless(dataset, recipe, f"{found.__name__} cannot be created: {type(exc).__name__}: {exc}") from exc
    else:
        check = getattr(found, "validate", found)
        if not callable(check):
            raise _useless(
                dataset, recipe, f"it is of the type {type(found).__name__}, neither a class with `validate` nor a function"
            )
        if recipe.options:
            check = functools.partial(check, **recipe.options)
    _check_call(dataset, recipe, check)
    checked: Callable[[Any], Any] = check
    return checked


def _import(dataset: str, recipe: ValidatorRecipe, path: str) -> Any:
    owner_path, _, name = path.rpartition(".")
    owner: Any = None
    missing = None
    try:
        owner = import_module(owner_path)
    except ModuleNotFoundError as exc:
        if exc.name is None or not f"{owner_path}.".startswith(f"{exc.name}."):  # a module that the owner imports
            hint = f" To correct it, {install_hint(exc.name)}."
            raise _not_found(dataset, recipe, f"{owner_path} cannot be imported: {exc}", hint) from exc
        missing = exc.name
    except Exception as exc:
        raise _not_found(dataset, recipe, f"{owner_path} raises {type(exc).__name__}: {exc}", " Correct the module.") from exc
    if missing is not None:  # not in the handler, so that the error does not show the frames of the import
        if "." not in owner_path:
            hint = " To correct it, check the path, and whether the package is installed."
            raise _not_found(dataset, recipe, f"there is no module {missing!r}", hint)
        owner = _import(dataset, recipe, owner_path)  # perhaps the path of a class
    if not hasattr(owner, name):
        hint = did_you_mean(close_names(name, [each for each in dir(owner) if not each.startswith("_")]), "Check the path.")
        raise _not_found(dataset, recipe, f"{owner_path} has no {name!r}", hint)
    return getattr(owner, name)


def _check_call(dataset: str, recipe: ValidatorRecipe, check: Any) -> None:
    """Raise if the function cannot be called with one value."""
    try:
        inspect.signature(check).bind(None)
    except ValueError:  # a builtin without a readable signature
        return
    except TypeError as exc:
        raise _useless(dataset, recipe, f"it cannot be called with the data of the dataset and its options: {exc}") from exc


def _not_found(dataset: str, recipe: ValidatorRecipe, problem: str, hint: str) -> DatasetError:
    msg = f"The validator {recipe.path} of dataset {dataset!r} cannot be imported: {problem.rstrip('.')}.{hint}"
    return DatasetError(msg, dataset=dataset)


def _useless(dataset: str, recipe: ValidatorRecipe, problem: str) -> DatasetError:
    msg = (
        f"The validator {recipe.path} of dataset {dataset!r} cannot be used: {problem.rstrip('.')}. It must be a pandera model "
        "or schema, a class or an object with a method `validate`, or a function of the data; `options` in the catalog entry are "
        "its arguments."
    )
    return DatasetError(msg, dataset=dataset)
