"""Check values with pandera's models and schemas, of any of its backends, and read what has failed.

Pandera is optional, and this module never imports it: a schema exists only if its module has. State: none. Neighbour:
`resolving.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from treadle.errors import DatasetError
from treadle.io.validation.failures import CheckFailure
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from treadle.io.validation.declaration import ValidatorRecipe

_OPTIONS: Final = ("lazy", "head", "tail", "sample", "random_state")
_ERRORS: Final = frozenset({"SchemaError", "SchemaErrors"})


class ReportedFailuresError(Exception):
    """The failures that a schema reports without raising."""

    def __init__(self, failures: Iterable[CheckFailure]) -> None:
        self.failures = tuple(failures)
        super().__init__(f"{len(self.failures)} checks failed")


def is_pandera_schema(found: Any) -> bool:
    """Return whether an object is a model class or a schema of pandera."""
    kind = found if inspect.isclass(found) else type(found)
    return any(_is_of_pandera(base) for base in kind.__mro__) and callable(getattr(found, "validate", None))


def schema_check(dataset: str, schema: Any, recipe: ValidatorRecipe) -> Callable[[Any], Any]:
    """Return the function that checks a value with a schema.

    Args:
        dataset: name of the dataset.
        schema: a model class or a schema.
        recipe: the validator, whose options are arguments of the schema's `validate`; all failures are collected by default.

    Raises:
        DatasetError: an option is unknown.
    """
    for name in recipe.options:
        if name not in _OPTIONS:
            hint = did_you_mean(close_names(name, _OPTIONS, most=1), f"The options are: {', '.join(_OPTIONS)}.")
            msg = f"The validator {recipe.path} of dataset {dataset!r} has the unknown option {name!r}.{hint}"
            raise DatasetError(msg, dataset=dataset)
    return partial(_check, schema, {"lazy": True, **recipe.options})


def failures_of(error: BaseException) -> tuple[CheckFailure, ...] | None:
    """Return the failed checks of an error of pandera; None for any other error."""
    if isinstance(error, ReportedFailuresError):
        return error.failures
    if not _is_of_pandera(type(error)) or type(error).__name__ not in _ERRORS:
        return None
    cases = list(_records(getattr(error, "failure_cases", None)))
    if type(error).__name__ == "SchemaError":  # of one check, which the records do not name
        check, column = getattr(error, "check", None), getattr(getattr(error, "schema", None), "name", None)
        cases = [{"check": check, "column": column, **case} for case in cases] or [{"check": check, "column": column}]
    groups: dict[tuple[str, str | None], list[Mapping[str, Any]]] = {}
    for case in cases:
        column = case.get("column")
        check = _text(case.get("check")) or "the schema"
        groups.setdefault((check, _text(column)), []).append(case)
    return tuple(
        CheckFailure(check, column, len(found), tuple(_example(case) for case in found[:MOST_EXAMPLES] if "failure_case" in case))
        for (check, column), found in groups.items()
    )


MOST_EXAMPLES: Final = 5
"""Number of values of a failed check that are kept."""


def _check(schema: Any, options: Mapping[str, Any], data: Any) -> Any:
    checked = schema.validate(data, **options)
    if type(data).__module__.startswith("pyspark."):  # its backend reports failures, and does not raise
        errors = getattr(getattr(checked, "pandera", None), "errors", None)
        if errors:
            raise ReportedFailuresError(_reported(errors))
    return checked


def _reported(errors: Mapping[str, Any]) -> Iterator[CheckFailure]:
    for category, of_category in errors.items():
        for kind, cases in of_category.items() if isinstance(of_category, Mapping) else ():
            for case in cases:
                found = case if isinstance(case, Mapping) else {"error": case}
                yield CheckFailure(_text(found.get("check")) or f"{category} {kind}", _text(found.get("column")))


def _records(cases: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the failed values, from a frame of pandas or polars."""
    if hasattr(cases, "iter_rows"):
        yield from cases.iter_rows(named=True)
    elif hasattr(cases, "to_dict"):
        yield from cases.to_dict(orient="records")


def _example(case: Mapping[str, Any]) -> str:
    row, value = _text(case.get("index")), case["failure_case"]
    return f"row {row}: {value!r}" if row is not None else repr(value)


def _text(value: Any) -> str | None:
    """Return a cell as text; None for a missing one. Integers in a column with missing values are floats."""
    if value is None or value != value:  # noqa: PLR0124 - true for NaN only
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _is_of_pandera(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "pandera"
