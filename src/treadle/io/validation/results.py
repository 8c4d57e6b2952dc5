"""Check datasets on request, outside of loading and saving: a result for each, and no exception for data that is refused.

State: none. Neighbours: the catalog's `validate` calls `validate_dataset`, `treadle catalog validate` prints the results.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from treadle.errors import DatasetError
from treadle.io.validation import LOAD, SAVE
from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.io.validation.checking import DatasetValidator
    from treadle.io.validation.failures import CheckFailure

PASSED: Final = "passed"
WARNED: Final = "warned"
FAILED: Final = "failed"
SKIPPED: Final = "skipped"
ERROR: Final = "error"


class ValidationResult(NamedTuple):
    """What a validator says of a dataset.

    Attributes:
        dataset: name of the dataset.
        validator: path of the validator; None if the dataset has none.
        status: `passed`; `failed`, or `warned` with `severity: warn`; `skipped`: it has no validator, or one that does not check
            at this moment; `error`: the data cannot be loaded, or the validator cannot be imported.
        message: why it has not passed; empty if it has.
        failures: the checks that failed.
        data: the checked data, which the validator may have converted; None if it has not passed.
    """

    dataset: str
    validator: str | None
    status: str
    message: str = ""
    failures: tuple[CheckFailure, ...] = ()
    data: Any = None

    def __bool__(self) -> bool:
        return self.status not in (FAILED, ERROR)


def validate_dataset(
    name: str, validator: Callable[[], DatasetValidator | None], load: Callable[[], Any], moment: str
) -> ValidationResult:
    """Check a dataset with its validator.

    Args:
        name: name of the dataset.
        validator: returns its validator, imported.
        load: returns its data.
        moment: `load` or `save`.

    Raises:
        ValueError: the moment is neither.
    """
    if moment not in (LOAD, SAVE):
        msg = f"on= must be 'load' or 'save', not {moment!r}."
        raise ValueError(msg)
    path = None
    try:
        found = validator()
        if found is None:
            return ValidationResult(name, None, SKIPPED, "It has no validator.")
        path = found.recipe.path
        if moment not in found.recipe.on:
            return ValidationResult(name, path, SKIPPED, f"Its validator checks only on {found.recipe.on[0]}.")
        data, error = found.try_check(load(), moment)
    except DatasetError as exc:
        return ValidationResult(name, path, ERROR, str(exc.args[0]))
    if error is None:
        return ValidationResult(name, path, PASSED, data=data)
    status = WARNED if found.recipe.warns else FAILED
    return ValidationResult(name, path, status, str(error.args[0]), error.failures or ())
