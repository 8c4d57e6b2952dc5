"""Mark the tests of the contract that need a capability. State: none."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from treadle.execution.executors.protocol import Capabilities

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


def needs(*capabilities: str) -> Callable[[_T], _T]:
    """Skip a test of the contract if the pool under test lacks a capability; the reason names the capability.

    Args:
        capabilities: names of fields of `Capabilities`.

    Raises:
        ValueError: there is no such capability.
    """
    known = set(Capabilities._fields)
    if unknown := sorted(set(capabilities) - known):
        msg = f"there is no capability {unknown[0]!r}; Capabilities has {', '.join(sorted(known))}"
        raise ValueError(msg)

    def mark(test: _T) -> _T:
        test.needed_capabilities = capabilities  # type: ignore[attr-defined] # read by the contract's fixture
        return test

    return mark
