"""The seeds of a run's random number generators. Made in the parent and sent with the run. State: none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from treadle.named_tuple import NamedTuple


class Seeds(NamedTuple):
    """The seeds of a run.

    Attributes:
        run: the runner's seed; None if it has none.
        nodes: by node index, the seed in the node's policy; False if the policy turns seeding off.
    """

    run: int | None
    nodes: Mapping[int, int | Literal[False]]

    def __bool__(self) -> bool:
        return self.run is not None or any(seed is not False for seed in self.nodes.values())

    def of(self, index: int) -> int | None:
        """Return the seed of a node; None if the node is not seeded.

        Args:
            index: plan index of the node.
        """
        seed = self.nodes.get(index, self.run)
        return None if seed is False else seed
