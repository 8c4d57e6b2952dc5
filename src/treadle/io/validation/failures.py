"""The record of a failed check, in an error. State: none. Not a part of `treadle.errors`, which every worker imports."""

from __future__ import annotations

from treadle.named_tuple import NamedTuple


class CheckFailure(NamedTuple):
    """A check that failed for some values of a dataset.

    Attributes:
        check: what was checked, such as `greater_than(0)`, or the message of the validator.
        column: the column that was checked; None if the check is not about one column.
        failed: the number of values that failed; 1 if the validator does not count them.
        examples: some of these values as text, with their row if it is known.
    """

    check: str
    column: str | None = None
    failed: int = 1
    examples: tuple[str, ...] = ()
