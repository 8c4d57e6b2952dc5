"""Check a value with the validator of its dataset, before it is saved or after it is loaded.

An error shows which checks failed with a few values each, never the whole data, and masks secrets. State: none besides the
imported validator. Neighbours: `resolving.py` imports the validator; the catalog and, for values in memory, the attempt at a node
check values here.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from treadle.errors import DataValidationError
from treadle.io.validation import SAVE
from treadle.io.validation.failures import CheckFailure
from treadle.io.validation.masks import is_mask, mask_failures
from treadle.io.validation.pandera import MOST_EXAMPLES, failures_of, is_pandera_schema
from treadle.io.validation.resolving import import_validator, resolve_validator
from treadle.secrets import looks_secret, mask_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from treadle.io.validation.declaration import ValidatorRecipe

_logger = logging.getLogger(__name__)
_MOST_CHECKS: Final = 10
"""Number of failed checks in a message; an error has all of them as a field."""
_LONGEST_EXAMPLE: Final = 60
_LONGEST_TEXT: Final = 300
"""Number of characters of a value, and of the message of a validator, that are shown."""


class RefusedError(Exception):
    """Replaces the exception of a validator whose message may contain the whole data, and that of one that raises none.

    Args:
        message: what is wrong.
        failures: the failed checks, if they are known.
    """

    def __init__(self, message: str, failures: tuple[CheckFailure, ...] = ()) -> None:
        super().__init__(message)
        self.failures = failures


class DatasetValidator:
    """The validator of a dataset, imported in this process.

    Args:
        dataset: name of the dataset.
        recipe: the declared validator.

    Raises:
        DatasetError: the validator cannot be imported or used.
    """

    def __init__(self, dataset: str, recipe: ValidatorRecipe) -> None:
        self.dataset = dataset
        self.recipe = recipe
        self._check: Callable[[Any], Any] = resolve_validator(dataset, recipe)
        self._is_schema = is_pandera_schema(import_validator(dataset, recipe))  # it converts, and returns no result of a check

    def check(self, data: Any, moment: str) -> Any:
        """Check a value.

        Args:
            data: the value.
            moment: `load` or `save`; if the validator is not declared for it, nothing is checked.

        Returns:
            The value to use, which the validator may have converted.

        Raises:
            DataValidationError: the validator refuses the value.
        """
        if moment not in self.recipe.on:
            return data
        value, error = self.try_check(data, moment)
        if error is not None:
            if not self.recipe.warns:
                raise error  # here, where it has no context: an exception of pandera has the whole data
            _logger.warning("%s The value is used as it is (severity: warn).", error.args[0])
        return value

    def try_check(self, data: Any, moment: str) -> tuple[Any, DataValidationError | None]:
        """Check a value, and return the value to use and the error; None if the validator accepts the value.

        Args:
            data: the value.
            moment: `load` or `save`, for the error.
        """
        try:
            return self._checked(data), None
        except Exception as exc:  # noqa: BLE001 - whatever a validator raises means that it refuses the value
            error = self._error(exc, moment)
            error.__cause__ = _harmless(exc)
            return data, error

    def _checked(self, data: Any) -> Any:
        checked = self._check(data)
        if checked is None:
            return data
        if _is_bool(checked) and not _is_bool(data):
            if not checked:
                msg = "it returned False"
                raise RefusedError(msg)
            return data
        if is_mask(checked) and not self._is_schema and not is_mask(data):
            if failures := mask_failures(self.recipe.path.rpartition(".")[2], checked):
                msg = "it returned False for some values"
                raise RefusedError(msg, failures)
            return data
        return checked

    def _error(self, exc: Exception, moment: str) -> DataValidationError:
        known = exc.failures if isinstance(exc, RefusedError) else failures_of(exc)
        failures = tuple(_masked(each) for each in known) if known else (CheckFailure(_message_of(exc)),)
        when = "before it was saved" if moment == SAVE else "after it was loaded"
        where = "the function of the node that saves it" if moment == SAVE else "the data"
        shown = [f"  {_line(each)}" for each in failures[:_MOST_CHECKS]]
        if len(failures) > _MOST_CHECKS:
            shown.append(f"  and {len(failures) - _MOST_CHECKS} more checks")
        lines = "\n".join(shown)
        msg = (
            f"Dataset {self.dataset!r} was refused by its validator {self.recipe.path} {when}:\n{lines}\n"
            f"Correct {where}, or the validator in the catalog entry."
        )
        return DataValidationError(msg, dataset=self.dataset, validator=self.recipe.path, moment=moment, failures=failures)


def _masked(failure: CheckFailure) -> CheckFailure:
    """Shorten the values of a failed check, and mask secrets in them; values of a column with a secret name are not shown."""
    is_secret = failure.column is not None and looks_secret(failure.column)
    examples = () if is_secret else tuple(_shown(each, _LONGEST_EXAMPLE) for each in failure.examples[:MOST_EXAMPLES])
    return failure._replace(check=_shown(failure.check, _LONGEST_TEXT), examples=examples)


def _line(failure: CheckFailure) -> str:
    target = f"column {failure.column!r}: " if failure.column is not None else ""
    count = f" failed for {failure.failed} values" if failure.failed > 1 else ""
    examples = f", such as {'; '.join(failure.examples)}" if failure.examples and count else ""
    single = f" failed for {failure.examples[0]}" if failure.examples and not count else ""
    return f"{target}{failure.check}{count}{examples}{single}"


def _message_of(exc: Exception) -> str:
    if isinstance(exc, RefusedError):
        return str(exc)
    text = _text(exc)
    return _shown(f"{type(exc).__name__}: {text}" if text else type(exc).__name__, _LONGEST_TEXT)


def _harmless(exc: Exception) -> BaseException | None:
    """Return the cause of an error: the validator's exception, unless its text may contain the whole data."""
    if isinstance(exc, RefusedError) or failures_of(exc) is not None:
        return None
    if all(len(_text(each)) <= _LONGEST_TEXT for each in _chain(exc)):
        return exc
    return RefusedError(_message_of(exc)).with_traceback(exc.__traceback__)


def _chain(exc: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while exc is not None and id(exc) not in seen:
        seen.add(id(exc))
        yield exc
        exc = exc.__cause__ or exc.__context__


def _text(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception:  # noqa: BLE001 - a `__str__` may raise anything
        return ""


def _shown(text: str, longest: int) -> str:
    """Return a text on one line, without secrets, and not longer than a limit."""
    line = mask_text(" ".join(text.split()))
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")
