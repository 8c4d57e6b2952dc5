"""Values that a run is given for some of its inputs: are they inputs at all? No state. Neighbours: a runner asks."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING

from treadle.errors import UnknownNameError
from treadle.pipeline.names import is_parameter

if TYPE_CHECKING:
    from treadle.pipeline import Pipeline


def check_inputs(pipeline: Pipeline, names: Iterable[str]) -> None:
    """Refuse values for what a pipeline does not take from outside: they would be lost without a word.

    Args:
        pipeline: the nodes that will run.
        names: the datasets that values are given for.

    Raises:
        UnknownNameError: one is no free input; carries close matches.
    """
    free = pipeline.inputs()
    for name in names:
        if name in free:
            continue
        maker = next((node.name for node in pipeline.nodes if name in node.outputs), None)
        if maker is not None:
            msg = (
                f"A value is given for '{name}', which the node '{maker}' of this run makes. Start after that node "
                "(from_nodes, from_inputs), or give values for its inputs."
            )
            raise UnknownNameError(msg, name=name, nodes=(maker,))
        close = tuple(get_close_matches(str(name), free, n=3))
        known = ", ".join(sorted(each for each in free if not is_parameter(each))) or "none"
        hint = f"Did you mean {' or '.join(map(repr, close))}?" if close else f"Its free inputs are: {known}."
        msg = f"A value is given for '{name}', which is no input of the pipeline that runs. {hint}"
        raise UnknownNameError(msg, name=str(name), close=close)
