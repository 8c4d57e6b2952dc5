"""Say which nodes of a Kedro project are up to date, for `kedro treadle status` and its neighbours. Nothing is run.

Kedro's session, context and catalog are created as for a run, so their hooks are called; those of runs, nodes and datasets are
not. State: none. Neighbours: `reuse.py` decides, as it does for a run; `commands.py` has the commands.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession

from treadle.errors import PipelineError, UnknownNameError
from treadle.kedro.catalog import EngineCatalog
from treadle.kedro.dataset_pickling import collect_recipes
from treadle.kedro.nodes import KedroPipeline
from treadle.kedro.policies import read_rules
from treadle.kedro.project import KedroProject
from treadle.kedro.reuse import decide, find_reuse
from treadle.kedro.reuse_options import ReuseOptions
from treadle.kedro.run_record import record_folder
from treadle.kedro.secret_values import register_run_secrets
from treadle.kedro.session import session_info
from treadle.kedro.stored_values import values_stored
from treadle.planning import compile_plan
from treadle.session.status import RunStatus, node_statuses
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from kedro.pipeline import Pipeline

    from treadle.io import Catalog
    from treadle.pipeline import Pipeline as TreadlePipeline
    from treadle.planning import Plan


@contextmanager
def kedro_status(
    project_path: Path,
    *,
    env: str | None = None,
    conf_source: str | None = None,
    params: Mapping[str, Any] | None = None,
    pipeline_names: Sequence[str] | None = None,
    **filters: Any,
) -> Iterator[RunStatus]:
    """Decide about the nodes of a Kedro project, as a run with `skip_unchanged=True` does.

    Args:
        project_path: the project's folder; the project is bootstrapped.
        env: as for `KedroSession.create`.
        conf_source: as for `KedroSession.create`.
        params: as `runtime_params` for `KedroSession.create`.
        pipeline_names: as for `KedroSession.run`.
        **filters: `tags`, `from_nodes` and `to_nodes`, as for `KedroSession.run`.

    Yields:
        The status of each node.

    Raises:
        TreadleError: the project does not record its runs, or a name or the configuration is invalid.
    """
    created: Any = KedroSession.create(
        project_path, save_on_close=False, env=env, conf_source=conf_source, runtime_params=dict(params or {})
    )
    with created as session:
        context = session.load_context()
        manager = session._hook_manager
        pipeline = _selected(pipeline_names or ("__default__",), {key: each for key, each in filters.items() if each})
        info = session_info(manager, session.session_id)
        package = KedroProject.of_this_process().package_name
        reuse = find_reuse(ReuseOptions(skip_unchanged=True), record_folder(package, info), package, info, needs_store=True)
        nodes, catalog = KedroPipeline(pipeline), context.catalog
        recipes = collect_recipes(catalog, pipeline.datasets())
        register_run_secrets(catalog, recipes.values())
        for name in pipeline.datasets():  # as Kedro's runners do: builds it, in memory if nothing declares it
            catalog.get(name, fallback_to_runtime_pattern=True)
        rules = read_rules(info, nodes.nodes)
        engine_catalog = EngineCatalog(catalog, nodes.nodes)
        with values_stored(engine_catalog, nodes, rules, reuse, session.session_id) as stored:
            if stored:
                engine_catalog = EngineCatalog(catalog, nodes.nodes)
            decide(reuse.reuse, nodes.nodes, engine_catalog, recipes, manager, rules, None, info)

            def plan() -> Plan:
                return compile_plan(cast("TreadlePipeline", nodes), cast("Catalog", engine_catalog), rules)

            try:
                yield RunStatus(
                    node_statuses(reuse.reuse, reuse.store.durations(package_name=reuse.package)),
                    descendants=lambda names: [node.name for node in pipeline.from_nodes(*names).nodes],
                    plan=plan,
                    successes=lambda names: reuse.reuse.accepted(names, session.session_id, time.time()),
                    save=lambda successes: reuse.store.save_successes(reuse.package, reuse.reuse.env, successes),
                    forget=lambda names: reuse.store.invalidate_successes(reuse.package, reuse.reuse.env, names),
                )
            finally:
                reuse.store.close()


def _selected(names: Iterable[str], filters: Mapping[str, Any]) -> Pipeline:
    """Return the selected nodes, as Kedro's session selects them."""
    from kedro.pipeline import Pipeline

    if hasattr(pipelines, "set_requested"):
        pipelines.set_requested(None)
    selected = Pipeline([])
    for name in names:
        if name not in pipelines:
            close = close_names(name, pipelines)
            msg = f"There is no pipeline {name!r}.{did_you_mean(close, '`kedro registry list` shows the pipelines.')}"
            raise UnknownNameError(msg, name=name, close=close)
        selected += pipelines[name]
    try:
        return selected.filter(**filters) if filters else selected
    except ValueError as exc:  # Kedro's error of unknown names, or of an empty selection
        raise PipelineError(str(exc)) from exc
