"""What is known about a node when it is decided whether it is up to date. State: none; the records are frozen."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from treadle.events import ContentRecord

Parts: TypeAlias = Mapping[str, str]
"""What the outputs of a node depend on, by a name that users understand: `function demo.nodes.clean`, `param model.alpha`,
`input table`. The values are hashes, or short texts that can be shown."""


INVALIDATED: Final[Parts] = MappingProxyType({"invalidated": "by the user"})
"""The parts of a success that does not count any more."""
VALUES: Final = "values in memory"
"""The part that identifies the run that made the in-memory outputs of a node; when it changes, there is another cause too."""


class LastSuccess(NamedTuple):
    """The last successful attempt at a node.

    Attributes:
        session_id: the session in which it ran.
        finished: when it ended, seconds since the epoch.
        parts: what its outputs depend on, including the contents of its inputs.
        outputs: the content of each persistent output, as the node saved it.
        inputs: the content of each of its inputs that no node of the run made, when the run began.
        env: the configuration environment under which it is stored; None for the default one. Two successes that differ only in
            it are equal.
    """

    session_id: str
    finished: float
    parts: Parts
    outputs: tuple[ContentRecord, ...] = ()
    inputs: tuple[ContentRecord, ...] = ()
    env: str | None = None

    @property
    def is_invalidated(self) -> bool:
        """Whether the user has said that the node shall run again."""
        return self.parts == INVALIDATED

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LastSuccess) and self[:-1] == other[:-1]

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self[:-1])


class NodeFacts(NamedTuple):
    """A node as it is now.

    Attributes:
        name: its name.
        parts: what its outputs depend on, except the contents of its inputs.
        inputs: the datasets that it loads, except params.
        outputs: the datasets that it saves.
        last: its last success; None if none is recorded.
        must_run: why it has to run whatever has changed, one sentence each: its policy, a part that cannot be followed, an
            output that is missing or was changed.
        trusting: whether the content of an input that cannot be verified counts as unchanged.
    """

    name: str
    parts: Parts
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    last: LastSuccess | None = None
    must_run: tuple[str, ...] = ()
    trusting: bool = False


def digest_of(parts: Parts) -> str:
    """Return one digest of all parts, which does not depend on their order."""
    text = "".join([f"{len(name)} {name} {len(value)} {value}\n" for name, value in sorted(parts.items())])
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()
