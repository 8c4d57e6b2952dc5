"""The names that a run is called with: values are given only for its inputs, and only its results are asked for.

State: none. Neighbours: a runner checks its arguments here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from treadle.errors import PipelineError, UnknownNameError
from treadle.pipeline.names import is_parameter

if TYPE_CHECKING:
    from treadle.pipeline import Pipeline
    from treadle.planning.plan import Plan


def check_inputs(pipeline: Pipeline, names: Any) -> None:
    """Raise if values are given for what a pipeline does not take from outside: they would not be used.

    Args:
        pipeline: the nodes that will run.
        names: the values, by the datasets that they are given for.

    Raises:
        UnknownNameError: one is no free input; carries close matches.
        PipelineError: it is no mapping.
    """
    if not isinstance(names, Mapping):
        msg = f"inputs= was given {names!r}, a {type(names).__name__}. Give a mapping from dataset to value."
        raise PipelineError(msg)
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


def check_results(plan: Plan, wanted: bool | Iterable[str]) -> tuple[str, ...]:  # noqa: FBT001 - `run`'s own argument
    """Return the results that a run is to load when it ends.

    Args:
        plan: the run.
        wanted: names of free outputs, or one; True for all, False for none.

    Returns:
        Their names.

    Raises:
        UnknownNameError: one is no free output; carries close matches.
    """
    results = [plan.datasets[dataset].name for dataset in plan.results]
    if isinstance(wanted, bool):
        return tuple(results) if wanted else ()
    names = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    for name in names:
        if name not in results:
            close = tuple(get_close_matches(str(name), results, n=3))
            hint = f"Did you mean {' or '.join(map(repr, close))}?" if close else f"Those are: {', '.join(results) or 'none'}."
            msg = f"load_results names '{name}', which is no free output of this run. {hint}"
            raise UnknownNameError(msg, name=str(name), close=close)
    return names
