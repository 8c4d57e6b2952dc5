"""The names that datasets of parameters have: `parameters` for all of them, `params:a.b` for one. State: none.

Neighbours: `treadle.pipeline` reads them among the inputs of nodes, `treadle.io` looks their values up.
"""

from __future__ import annotations

from typing import Final

ALL_PARAMETERS: Final = "parameters"
PARAMETER_PREFIX: Final = "params:"


def is_parameter(name: str) -> bool:
    """Return whether a dataset is `parameters` (all parameters) or `params:…` (one of them).

    Args:
        name: a dataset's name.

    Returns:
        True for `parameters` and for names that begin with `params:`.
    """
    return name == ALL_PARAMETERS or name.startswith(PARAMETER_PREFIX)
