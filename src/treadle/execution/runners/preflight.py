"""The pre-flight check: check whether each node of a pipeline could run in a worker, without running any of them.

::

    parent                                                  a worker, under the chosen start method
    each node, its datasets ── RunBundle.spec() ──►         set up as for a run: project imported, settings read
    problem: a part cannot be pickled                       unpickle the function, build each dataset
    problems, each with its nodes          ◄── texts ──     problem: one of these raises

Each node is packed as a run of this node alone, so that one problem does not hide another. The specs are sent to the worker by a
run of a pipeline that has one checking node for each node to check. `packing/bundle.py` makes the specs, `parallel.py` runs the
pipeline, `treadle.session.checking` selects the nodes to check. `_check_in_worker` runs in the worker, everything else in the
parent. State: none.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from treadle.errors import NodeError, TreadleError, WorkerSetupError
from treadle.execution.attempt.failure import record_failure
from treadle.execution.attempt.plugins import rebuild_plugin
from treadle.execution.packing.bundle import RunBundle
from treadle.execution.runners.parallel import ParallelRunner
from treadle.io.catalog import Catalog, CatalogPart
from treadle.io.validation.checking import DatasetValidator
from treadle.parameter_names import is_parameter
from treadle.pipeline import Node, Pipeline
from treadle.pipeline.names import base_name
from treadle.planning.plan import Plan, PlannedDataset, PlannedNode
from treadle.planning.policies import NO_RULES, runs_in_main
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    import pluggy

    from treadle.execution.protocol.messages import RunSpec
    from treadle.execution.runners.runner import Runner
    from treadle.planning.policies import PolicyRules

_HOOKS = "the registered hooks"


@dataclass(frozen=True, slots=True)
class Problem:
    """A reason why nodes could not run.

    Attributes:
        message: text that describes the problem and what to do.
        nodes: names of the affected nodes; empty if all are affected.
        dataset: the dataset at fault, if any.
        traceback: the user's part of the traceback, if any.
    """

    message: str
    nodes: tuple[str, ...] = ()
    dataset: str | None = None
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The result of a check.

    Attributes:
        nodes: number of checked nodes.
        datasets: number of their datasets.
        start_method: start method of the worker; None if no worker was started.
        problems: all problems, in the order of the pipeline.
        in_main: nodes that will run in the main process, because their function or one of their datasets cannot leave it, or
        their policy requires it.
    """

    nodes: int = 0
    datasets: int = 0
    start_method: str | None = None
    problems: tuple[Problem, ...] = ()
    in_main: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _PackedNode:
    """A node to check, sent to the worker: its name and its pickled spec."""

    name: str
    spec: bytes


def check_pipeline(
    pipeline: Pipeline,
    catalog: Catalog,
    *,
    hooks: pluggy.PluginManager | None = None,
    start_method: str | None = None,
    policies: PolicyRules = NO_RULES,
    runner: Runner | None = None,
) -> CheckReport:
    """Check whether each node of a pipeline could run in a worker process, without running any.

    Args:
        pipeline: the nodes.
        catalog: the catalog of their datasets.
        hooks: the registered hooks, which are sent to the worker too.
        start_method: start method of the worker; None to choose it as for a run.
        policies: the configured policies of nodes.
        runner: runs the checks, in a worker of its own; None for a process of this machine.

    Returns:
        The problems that were found, and what was checked.

    Raises:
        RunnerError: the start method is unknown.
    """
    runner = ParallelRunner(1, start_method=start_method) if runner is None else runner
    problems: list[Problem] = list(_missing_data(pipeline, catalog))
    missing = {problem.dataset for problem in problems}
    sent, in_main, datasets = list[_PackedNode](), list[str](), set[str]()
    for node in pipeline.nodes:
        found, spec, stays = _pack(node, catalog, missing, in_main=runs_in_main(policies.of(node)))
        problems += found
        datasets.update((*node.inputs, *node.outputs))
        if stays:
            in_main.append(node.name)
        if spec is not None:
            sent.append(_PackedNode(node.name, spec))
    try:
        sent.append(_PackedNode(_HOOKS, RunBundle("check", Plan((), ()), catalog, hooks).spec(all_secrets=False)[0]))
    except TreadleError as exc:
        problems.append(Problem(str(exc.args[0])))
    problems += _check_in_pool(runner, sent)
    return CheckReport(
        len(pipeline.nodes),
        len(datasets),
        runner.start_method or runner.name,
        _merge_and_sort(problems, pipeline),
        tuple(in_main),
    )


def _missing_data(pipeline: Pipeline, catalog: Catalog) -> Iterator[Problem]:
    """Yield a problem for each dataset that no node makes and the catalog does not have."""
    made = {base_name(name) for node in pipeline.nodes for name in node.outputs}
    takers: dict[str, list[Node]] = {}
    for node in pipeline.nodes:
        for name in node.inputs:
            if base_name(name) not in made and name not in catalog:
                takers.setdefault(name, []).append(node)
    known = [*catalog, *made]
    for name, nodes in takers.items():
        hint = did_you_mean(close_names(name, known))
        message = (
            f"Dataset {name!r} is made by no node, and the catalog does not have it.{hint} Declare it in the catalog"
            f"{' or in a parameters file' if is_parameter(name) else ''}, or check the nodes that make it too."
        )
        yield Problem(message, tuple(node.name for node in nodes), name)


def _pack(
    node: Node, catalog: Catalog, missing: Iterable[str | None], *, in_main: bool
) -> tuple[list[Problem], bytes | None, bool]:
    """Make the spec of one node.

    Returns:
        What is wrong with it here, the spec (None if it cannot be sent), and whether the node will run in the main process.
    """
    problems: list[Problem] = []
    datasets: list[PlannedDataset] = []
    for name in dict.fromkeys((*node.inputs, *node.outputs)):
        declared = name in catalog
        try:
            capabilities = catalog.capabilities(name) if declared else None
            if declared and capabilities is not None and capabilities.main_process_only:
                _ = catalog[name]  # the dataset's nodes run in this process, so build it here
        except TreadleError as exc:
            problems.append(Problem(str(exc.args[0]), (node.name,), name))
            continue
        in_memory = capabilities is None or capabilities.in_memory
        main_only = capabilities is not None and capabilities.main_process_only
        datasets.append(PlannedDataset(name, in_memory, main_only, declared and name not in missing, None, (), is_result=False))
    stays = in_main or any(dataset.main_only for dataset in datasets)
    # The spec needs the datasets for their recipes. The node is only unpickled, so its inputs and outputs can be left out.
    plan = Plan((PlannedNode(node.name, node, (), tuple(range(len(datasets))), (), (), stays),), tuple(datasets))
    try:
        spec, main_only_nodes = RunBundle("check", plan, catalog, None).spec(all_secrets=False)
    except TreadleError as exc:
        return [*problems, Problem(str(exc.args[0]), (node.name,), getattr(exc, "dataset", None))], None, stays
    stays = stays or bool(main_only_nodes)
    return problems, None if stays else spec, stays


def _check_in_pool(runner: Runner, sent: list[_PackedNode]) -> list[Problem]:
    """Check the specs in a worker and return its problems. If the worker dies, the later specs are not checked."""
    checks = [_make_checking_node(place, each.name) for place, each in enumerate(sent)]
    values: dict[str, Any] = {f"spec {place}": each for place, each in enumerate(sent)}
    try:
        result = runner.run(Pipeline(checks), Catalog(values))
    except WorkerSetupError as exc:
        trace = exc.failure.traceback if exc.failure is not None else ""
        return [Problem(str(exc.args[0]), traceback=trace)]
    except NodeError as exc:  # the code that a worker imports or builds can end its process
        trace = exc.failure.traceback if exc.failure is not None else ""
        message = f"{exc.args[0]} The check ended there: later nodes were not checked."
        return [Problem(message, (exc.node,), traceback=trace)]
    return [problem for place in range(len(sent)) for problem in result[f"problems {place}"]]


def _make_checking_node(place: int, name: str) -> Node:
    return Node(_check_in_worker, f"spec {place}", f"problems {place}", name=name)


def _check_in_worker(sent: _PackedNode) -> list[Problem]:
    """Unpickle and build everything in a spec, as the worker of a run does before it calls the function. Runs in the worker."""
    spec: RunSpec = pickle.loads(sent.spec)  # noqa: S301 - the parent sent it
    nodes = () if sent.name == _HOOKS else (sent.name,)
    problems: list[Problem] = []

    def attempt(what: str, dataset: str | None, build: Any) -> Any:
        try:
            return build()
        except TreadleError as exc:
            problems.append(Problem(str(exc.args[0]), nodes, dataset))
        except Exception as exc:  # noqa: BLE001 - unpickling runs the project's code, whose errors this check looks for
            failure = record_failure(exc, phase="setup")
            message = f"In a worker process {what} cannot be made: {failure.type_name}: {failure.message}"
            problems.append(Problem(message, nodes, dataset, failure.traceback))
        return None

    catalog_class = attempt("the catalog's class", None, lambda: pickle.loads(spec.catalog_class))  # noqa: S301 - as above
    for group in spec.node_groups:
        attempt(f"the function of node '{sent.name}'", None, lambda: pickle.loads(group))  # noqa: B023, S301 - called at once
    for payload in spec.hooks:
        attempt(f"the hooks {payload.name}", None, lambda: rebuild_plugin(payload))  # noqa: B023 - the same
    for name, pickled in spec.objects:
        attempt(f"the dataset '{name}'", name, lambda: pickle.loads(pickled))  # noqa: B023, S301 - the same
    if catalog_class is not None:
        catalog = catalog_class.from_part(CatalogPart(spec.recipes, (), spec.save_version))
        for recipe in spec.recipes:
            attempt(f"the dataset '{recipe.name}'", recipe.name, lambda: catalog[recipe.name])  # noqa: B023 - the same
            what = f"the validator of dataset '{recipe.name}'"
            attempt(what, recipe.name, lambda: catalog.validator(recipe.name))  # noqa: B023 - the same
    for index, declared in spec.validators:
        name = spec.dataset_names[index]
        attempt(f"the validator of dataset '{name}'", name, lambda: DatasetValidator(name, declared))  # noqa: B023 - the same
    return problems


def _merge_and_sort(problems: Iterable[Problem], pipeline: Pipeline) -> tuple[Problem, ...]:
    """Merge equal problems of several nodes, and sort the problems by the order of the pipeline."""
    joined: dict[tuple[str, str | None], Problem] = {}
    for problem in problems:
        known = joined.get((problem.message, problem.dataset))
        nodes = (*(known.nodes if known is not None else ()), *problem.nodes)
        joined[problem.message, problem.dataset] = Problem(
            problem.message, tuple(dict.fromkeys(nodes)), problem.dataset, problem.traceback
        )
    place = {node.name: position for position, node in enumerate(pipeline.nodes)}
    return tuple(sorted(joined.values(), key=lambda problem: min((place.get(name, -1) for name in problem.nodes), default=-1)))
