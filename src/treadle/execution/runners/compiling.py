"""Compile what a runner is given: check it, and return the plan and the catalog of the run. Runs in the parent. State: none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.io.versions import new_version
from treadle.planning import check_memory_datasets, check_parameters, check_transcoding, compile_plan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.io import Catalog
    from treadle.pipeline import Pipeline
    from treadle.planning import Plan
    from treadle.planning.policies import PolicyRules


def compile_run(
    run_id: str | None, pipeline: Pipeline, catalog: Catalog, inputs: Mapping[str, Any], policies: PolicyRules
) -> tuple[str, Plan, Catalog]:
    """Compile a run.

    Args:
        run_id: its id; None to make one from the time.
        pipeline: its nodes.
        catalog: the catalog of their datasets.
        inputs: values that replace free inputs of the pipeline, by dataset name.
        policies: the policies in `execution.yml`.

    Returns:
        The id of the run, its plan and its catalog.

    Raises:
        TreadleError: as for `Runner.run`.
    """
    run_id = run_id or new_version()
    if inputs:
        from treadle.planning import check_inputs

        check_inputs(pipeline, inputs)
        catalog = catalog.with_data(inputs)
    links = pipeline.links
    catalog = catalog.for_run(run_id, links.names, links.free_inputs, links.confirmed)
    plan = compile_plan(pipeline, catalog, policies)
    check_transcoding(plan)
    check_memory_datasets(plan, catalog)
    check_parameters(pipeline, catalog)
    return run_id, plan, catalog
