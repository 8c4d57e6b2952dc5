"""What a Kedro runner is asked to skip. State: none. Neighbours: `reuse.py` decides."""

from __future__ import annotations

from dataclasses import dataclass

from treadle.execution.runners.arguments import checked_flag


@dataclass(frozen=True, slots=True)
class ReuseOptions:
    """What a runner was asked for.

    Attributes:
        resume: the session to resume, or "last"; None for none.
        skip_unchanged: whether nodes that are up to date are skipped.

    Raises:
        RunnerError: `skip_unchanged` is neither true nor false.
    """

    resume: str | None = None
    skip_unchanged: bool = False

    def __post_init__(self) -> None:
        """Check the value, which can be any text on the command line."""
        checked_flag("skip_unchanged", self.skip_unchanged)

    @property
    def skips(self) -> bool:
        """Whether nodes may be skipped."""
        return self.skip_unchanged or self.resume is not None
