"""Calls as a user writes them: mypy, strict, reads this file and nothing runs it.

What is right has its type asserted. What is wrong carries a `type: ignore` that mypy would call unused if it let it pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from typing_extensions import assert_type

from treadle import (
    Catalog,
    Context,
    Dataset,
    MemoryDataset,
    Node,
    NodePolicy,
    ParallelRunner,
    Pipeline,
    Runner,
    RunResult,
    SequentialRunner,
    Session,
    ThreadRunner,
    bootstrap_project,
    configure_project,
    hook_impl,
    node,
    pipeline,
)
from treadle.errors import NodeError, NodeTimeoutError, WorkerLostError
from treadle.events import Event, NodeFinished


def clean(raw: list[int]) -> list[int]:
    return sorted(raw)


def fit(table: list[int], params: Mapping[str, float]) -> float:
    return sum(table) * params["rate"]


# --- a project ------------------------------------------------------------------------------------------------------------


def project_mode() -> None:
    metadata = bootstrap_project(Path.cwd())
    assert_type(metadata.package_name, str)
    assert_type(metadata.source_dir, Path)
    with Session.create(env="prod", extra_params={"day": 1}) as session:
        assert_type(session, Session)
        result = session.run(runner="parallel", tags=["nightly"], runner_params={"max_workers": 2})
    assert_type(result, RunResult)
    assert_type(result["model"], Any)
    assert_type(session.session_id, str)
    assert_type(session.load_context(), Context)
    assert_type(session.load_context().catalog, Catalog)


def packaged_mode() -> None:
    assert_type(configure_project("flights"), None)
    with ParallelRunner(max_workers=8) as runner:
        assert_type(runner, ParallelRunner)
        for day in range(3):
            with Session.create("path", save_on_close=False, runtime_params={"day": day}) as session:
                session.run("training", runner=runner, from_nodes="split")


# --- a library ------------------------------------------------------------------------------------------------------------


def library_mode() -> None:
    parts = Pipeline(
        [
            node(clean, "raw", "table", name="clean", tags="first"),
            node(fit, {"table": "table", "params": "params:fit"}, "model"),
            node(lambda model: print(model * 2), "model", None),
        ]
    )
    assert_type(parts.nodes, tuple[Node, ...])
    assert_type(parts | Pipeline([]), Pipeline)
    assert_type(parts.filter(from_nodes=["clean"]), Pipeline)
    assert_type(pipeline(parts, namespace="north", inputs={"raw"}), Pipeline)
    catalog = Catalog({"raw": MemoryDataset([3, 1]), "params:fit": {"rate": 0.5}})
    for runner in (SequentialRunner(), ThreadRunner(4), ParallelRunner(2, start_method="spawn")):
        assert_type(runner.run(parts, catalog, observers=[Progress(), print]), RunResult)
        assert_type(runner.start_method, str | None)


class Progress:
    """An observer is any callable that takes an event."""

    def __call__(self, event: Event) -> None:
        if isinstance(event, NodeFinished):
            assert_type(event.sizes, tuple[tuple[str, int], ...])


class Counter(Dataset):
    """A dataset of one's own: `load` and `save` are enough."""

    main_process_only = True

    def load(self) -> int:
        return 1

    def save(self, data: int) -> None:
        print(data)


class Hooks:
    """A hook takes what it wants of its arguments, by name."""

    @hook_impl
    def before_node_run(self, node: Node, inputs: Mapping[str, Any]) -> dict[str, Any] | None:
        return dict(inputs) if node.name == "clean" else None

    @hook_impl(trylast=True)
    def after_pipeline_run(self, run_result: Mapping[str, Any]) -> None:
        print(len(run_result))


def failures(runner: Runner, parts: Pipeline) -> None:
    try:
        runner.run(parts, Catalog({"counter": Counter()}))
    except WorkerLostError as error:
        assert_type(error.exitcode, int | None)
    except NodeError as error:
        assert_type(error.node, str)
        assert_type(error.resume_from, tuple[str, ...] | None)


# --- mistakes that the types catch ----------------------------------------------------------------------------------------


def mistakes(parts: Pipeline) -> None:
    ParallelRunner("two")  # type: ignore[arg-type]  # a number is wanted
    SequentialRunner(2)  # type: ignore[call-arg, arg-type]  # it has one worker, always
    node("clean", "raw", "table")  # type: ignore[arg-type]  # a function is wanted, not its name
    node(clean, "raw", "table", "clean")  # type: ignore[call-arg]  # the name is given by keyword
    SequentialRunner().run(parts, {"raw": 1})  # type: ignore[arg-type]  # a catalog is wanted
    SequentialRunner().run(parts, Catalog(), hooks=[Hooks()])  # type: ignore[arg-type]  # a manager, not the hooks themselves
    Session.create(extra_params=["day=1"])  # type: ignore[arg-type]  # a mapping is wanted


# --- policies -------------------------------------------------------------------------------------------------------------


def policies() -> None:
    policy = NodePolicy(retries=3, retry_delay="10s", timeout=60, run_in="main", resources={"gpu": 1, "memory": "4GB"})
    assert_type(policy.timeout, float | None)
    assert_type(policy.resources, tuple[tuple[str, int], ...] | None)
    assert_type(node(clean, "raw", "table", policy=policy).policy, NodePolicy | None)
    node(clean, "raw", "table", policy={"retries": 3})  # type: ignore[arg-type]  # a NodePolicy
    NodePolicy(retries="3")  # type: ignore[arg-type]  # a number
    with ParallelRunner(2, resources={"gpu": 1}, on_failure="continue") as runner:
        try:
            runner.run(Pipeline([]), Catalog(), on_failure="stop")
        except NodeTimeoutError as error:
            assert_type(error.timeout, float | None)
        except NodeError as error:
            assert_type(error.failures, tuple[NodeError, ...])
