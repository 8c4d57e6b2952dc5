"""Validate dataset names passed to a run: `inputs` must be free inputs, `load_results` must be free outputs.

State: none. Neighbours: runners and sessions validate their arguments here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from treadle.errors import PipelineError, UnknownNameError
from treadle.parameter_names import is_parameter
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from treadle.pipeline import Pipeline
    from treadle.planning.plan import Plan


def check_inputs(pipeline: Pipeline, names: Any) -> None:
    """Raise if values are given for datasets that are not free inputs of a pipeline, as they would not be used.

    Args:
        pipeline: the nodes to run.
        names: the values by dataset name.

    Raises:
        UnknownNameError: a name is not a free input; has close matches.
        PipelineError: `names` is not a mapping.
    """
    if not isinstance(names, Mapping):
        msg = f"inputs= was given {names!r}, a {type(names).__name__}. Pass a mapping of dataset name to value."
        raise PipelineError(msg)
    free = pipeline.inputs()
    for name in names:
        if name in free:
            continue
        producer = next((node.name for node in pipeline.nodes if name in node.outputs), None)
        if producer is not None:
            msg = (
                f"A value was given for '{name}', but node '{producer}' of this run produces it. Start after that node "
                "(from_nodes, from_inputs), or pass values for its inputs."
            )
            raise UnknownNameError(msg, name=name, nodes=(producer,))
        close = close_names(name, free)
        known = ", ".join(sorted(each for each in free if not is_parameter(each))) or "none"
        hint = did_you_mean(close, f"Its free inputs are: {known}.")
        msg = f"A value was given for '{name}', which is not a free input of the pipeline.{hint}"
        raise UnknownNameError(msg, name=str(name), close=close)


def check_results(plan: Plan, wanted: bool | Iterable[str]) -> tuple[str, ...]:  # noqa: FBT001 - an argument of `run`
    """Return the names of the results to load before a run ends.

    Args:
        plan: the plan of the run.
        wanted: one or more names of free outputs; True for all, False for none.

    Returns:
        The names.

    Raises:
        UnknownNameError: a name is not a free output; has close matches.
    """
    if wanted is False:
        return ()
    results = [plan.datasets[dataset].name for dataset in plan.results]
    if wanted is True:
        return tuple(results)
    names = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    for name in names:
        if name not in results:
            close = close_names(name, results)
            hint = did_you_mean(close, f"Those are: {', '.join(results) or 'none'}.")
            msg = f"load_results contains '{name}', which is not a free output of this run.{hint}"
            raise UnknownNameError(msg, name=str(name), close=close)
    return names
