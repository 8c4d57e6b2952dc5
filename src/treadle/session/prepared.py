"""Prepare a run: select its nodes, and read the configuration and the catalog that they use.

State: none. Neighbours: `running.py` executes what was prepared, `status.py` says which nodes would run.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from treadle.named_tuple import NamedTuple
from treadle.planning import check_inputs
from treadle.session.policies import configured_policies
from treadle.session.selection import keep_missing, select_pipeline
from treadle.session.versions import check_load_versions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from treadle.io import Catalog
    from treadle.pipeline import Pipeline
    from treadle.planning.policies import PolicyRules
    from treadle.session.context import Context
    from treadle.session.request import RunRequest

_logger = logging.getLogger(__name__)


class PreparedRun(NamedTuple):
    """What a run consists of.

    Attributes:
        pipeline: the nodes to run.
        catalog: their datasets.
        policies: the configured policies.
        context: the project as configured.
        loaded: the version of each versioned dataset that the run loads but does not make.
    """

    pipeline: Pipeline
    catalog: Catalog
    policies: PolicyRules
    context: Context
    loaded: Mapping[str, str]


def prepare_run(
    request: RunRequest,
    pipelines: Mapping[str, Pipeline],
    load_context: Callable[[], Context],
    inputs: Mapping[str, Any],
    check: Callable[[], None] = lambda: None,
) -> PreparedRun:
    """Prepare a run.

    Args:
        request: the arguments of the run.
        pipelines: the registered pipelines.
        load_context: returns the context; called after the nodes are selected, so a wrong name fails before `conf/` is read.
        inputs: values that replace catalog datasets in this run.
        check: called between the two; it may raise another reason why the run cannot begin.

    Returns:
        The run. The newest versions are pinned, because other runs may save newer ones while this run loads them.

    Raises:
        TreadleError: a name, the configuration or a dataset is invalid.
    """
    pipeline = select_pipeline(pipelines, request)
    check_inputs(pipeline, inputs)
    check()
    context = load_context()
    if context.extra_params:
        from treadle.session.unknown_params import warn_about_unknown_params

        warn_about_unknown_params(context, pipeline)
    policies = configured_policies(context.config_loader, pipelines, pipeline)
    catalog = context.catalog_with(request.load_versions)
    check_load_versions(catalog, pipeline, request.load_versions, context.config_loader)
    if inputs:
        catalog = catalog.with_data(inputs)
    if request.only_missing_outputs:
        pipeline = keep_missing(pipeline, catalog)
        if not pipeline.nodes:
            _logger.info("Nothing to run: every persistent output exists already.")
    loaded = {**request.load_versions, **catalog.pin_versions(pipeline.inputs().difference(inputs))}
    return PreparedRun(pipeline, catalog, policies, context, loaded)
