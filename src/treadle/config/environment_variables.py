"""The resolver `${oc.env:NAME}`: reads an environment variable, in credentials only.

State: none besides the environment. Neighbour: `loader.py` chooses one of these functions by the kind of configuration.
"""

from __future__ import annotations

import os
from typing import Any

from treadle.config.resolvers import MISSING, ResolutionError


def environment_variable(name: str, default: Any = MISSING) -> Any:
    """Return the value of an environment variable.

    Args:
        name: its name.
        default: the value to return if it is not set.

    Raises:
        ResolutionError: it is not set, and there is no default.
    """
    value = os.environ.get(str(name))
    if value is not None:
        return value
    if default is MISSING:
        msg = (
            f"${{oc.env:{name}}} names an environment variable that is not set; set it, or give a default: "
            f"${{oc.env:{name},default}}"
        )
        raise ResolutionError(msg)
    return default if default is None else str(default)


def refused_variable(name: str, default: Any = MISSING) -> Any:
    """Raise, because only credentials can refer to environment variables.

    Args:
        name: the variable.
        default: not used.

    Raises:
        ResolutionError: always.
    """
    del default
    msg = (
        f"${{oc.env:{name}}} is for credentials only, so that a run has no hidden dependency on the environment; move it to a "
        "credentials file, pass the value with --params, or add 'oc.env' to custom_resolvers in CONFIG_LOADER_ARGS"
    )
    raise ResolutionError(msg)
