"""Remove credentials from locations of data: file paths, URLs, chains of URLs. State: none. Neighbour: `patterns.py`."""

from __future__ import annotations

import re

from treadle.secrets.known import mask_secrets
from treadle.secrets.patterns import mask_patterns

_CONTAINER_SCHEMES = frozenset({"abfs", "abfss", "wasb", "wasbs", "adl"})
"""Azure's URLs have the container before the `@`: `abfs://container@account.dfs.core.windows.net/path`."""
_WITH_FRAGMENT = frozenset({"http", "https"})
"""In the URLs of other schemes, a `#` may belong to the path."""
# A password may contain "/", "?" and "@", though a correct URL would encode them, so it ends at the last "@".
_USER_AND_PASSWORD = re.compile(r"[^\s/@:]*:\S*@")
_USER = re.compile(r"[^\s/@?#]*@")


def without_credentials(location: str) -> str:
    """Return a location without credentials.

    Args:
        location: a path, a URL, or URLs chained by `::`.

    Returns:
        The location without user and password, and without the query of a URL, which may be a signature; registered
        secrets and tokens of a known form are masked.
    """
    return "::".join(_one(part) for part in mask_secrets(location).split("::"))


def _one(location: str) -> str:
    scheme, separator, rest = location.partition("://")
    if not separator:
        return mask_patterns(location)
    user = _USER_AND_PASSWORD.match(rest) or (None if scheme in _CONTAINER_SCHEMES else _USER.match(rest))
    if user is not None:
        rest = rest[user.end() :]
    rest = rest.partition("?")[0]
    if scheme in _WITH_FRAGMENT:
        rest = rest.partition("#")[0]
    return mask_patterns(f"{scheme}://{rest}")
