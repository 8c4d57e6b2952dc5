"""Choose the secrets that dask workers learn. State: none. Runs in the driver.

Workers mask secrets in their logs and errors, so they must know them. A worker on another machine needs only those that the run's
datasets, params and code contain, which it is sent anyway.
"""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.execution.protocol.messages import RunSpec


def with_needed_secrets(pickled: bytes) -> bytes:
    """Remove the secrets that nothing else in a run contains.

    Args:
        pickled: a pickled RunSpec of this process.

    Returns:
        The same with fewer secrets, pickled.
    """
    spec: RunSpec = pickle.loads(pickled)  # noqa: S301 - this process made it
    rest = pickle.dumps(replace(spec, secrets=()), protocol=5)
    needed = tuple(secret for secret in spec.secrets if secret.encode("utf-8", "surrogatepass") in rest)
    return pickle.dumps(replace(spec, secrets=needed), protocol=5)
