"""What was found out about one object: its own parts, and the objects that it refers to. State: what was noted so far."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

from treadle.named_tuple import NamedTuple
from treadle.secrets import mask_secrets, summary_of

Key: TypeAlias = "tuple[str, ...] | tuple[str, int]"
"""Names an object: `("function", id)`, `("class", id)`, `("global", module, name)`, `("module", name)`, `("outside", module)`."""

_LONGEST_SHOWN = 60
_HASH = re.compile(r"#[0-9a-f]{32}")
"""A hash in a token, in place of something long."""
_ITERATIONS = 20_000
"""Of the hash of a secret: slow enough to make guessing expensive, fast enough for the few that a project has."""


class Part(NamedTuple):
    """A part of a fingerprint.

    Attributes:
        token: identifies it exactly.
        shown: the same for people: a short text, or a hash.
    """

    token: str
    shown: str


@dataclass(slots=True)
class Facts:
    """What one object depends on.

    Attributes:
        parts: by label; several closures of one function have the same labels.
        edges: the objects that it refers to, whose facts are kept apart.
        unknown: sentences that say what could not be followed.
        is_complete: whether the parts and edges cover everything that the object depends on.
        opaque: the type of an object that cannot be compared, until a sentence says so.
    """

    parts: dict[str, set[Part]] = field(default_factory=dict)
    edges: set[Key] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    is_complete: bool = True
    opaque: str = ""

    def add(self, label: str, token: str, shown: str | None = None) -> None:
        """Note a part.

        Args:
            label: such as `global demo.nodes.LIMIT`.
            token: identifies its value.
            shown: the value for people; by default the token, if it is short and contains no registered secret.
        """
        self.parts.setdefault(label, set()).add(Part(token, shown_value(token) if shown is None else shown))

    def include(self, other: Facts) -> None:
        """Add the facts of a part of the object."""
        for label, parts in other.parts.items():
            self.parts.setdefault(label, set()).update(parts)
        self.edges |= other.edges
        self.unknown |= other.unknown
        self.is_complete = self.is_complete and other.is_complete
        self.opaque = self.opaque or other.opaque

    def cannot_tell(self, sentence: str) -> None:
        """Note that something cannot be compared, so that the node always runs."""
        self.unknown.add(sentence)
        self.is_complete = False

    def cannot_examine(self, label: str, error: Exception) -> None:
        """Note that code of the project raised an error while an object was examined."""
        self.cannot_tell(f"The {label} cannot be examined ({summary_of(error)}): the node always runs.")


def digest_of(text: str | bytes) -> str:
    """Return the digest of a text or bytes."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text).hexdigest()[:32]


def short_hash(text: str) -> str:
    """Return the hash that is shown in place of a text: 16 hexadecimal digits."""
    return digest_of(text)[:16]


def shown_value(token: str) -> str:
    """Return a token for people: as it is if it is short, else a hash. A registered secret is never shown."""
    if mask_secrets(token) != token:
        return hidden(token, "")
    return token if len(token) <= _LONGEST_SHOWN and _HASH.search(token) is None else short_hash(token)


@lru_cache(maxsize=1000)
def hidden(text: str, name: str) -> str:
    """Return the token of a secret: a salted hash that is slow on purpose, because passwords can be short.

    Args:
        text: the secret.
        name: of the variable that contains it; it is the salt.
    """
    salt = f"treadle fingerprint of {name}".encode("utf-8", "surrogatepass")
    return f"hidden:{hashlib.pbkdf2_hmac('sha256', text.encode('utf-8', 'surrogatepass'), salt, _ITERATIONS).hex()[:16]}"
