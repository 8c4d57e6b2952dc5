"""The JSON that commands print with `--json`: one object, which begins with its format and version. State: none.

Within a version, keys are only added. `treadle/schemas` has a JSON schema of each format, docs/json-output.md describes them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.execution.runners.preflight import CheckReport
    from treadle.observe.store.diff import Change, SessionDiff
    from treadle.observe.store.records import NodeRecord
    from treadle.planning.datasets import DatasetFacts
    from treadle.session.what_if import WhatIf


def print_json(kind: str, **values: Any) -> None:
    """Print one JSON object.

    Args:
        kind: the format, without `treadle-`; the schema has the same name.
        **values: the other keys; records are converted.
    """
    from treadle.observe.export.plain_json import plain_record

    facts = {"format": f"treadle-{kind}", "version": 1, **plain_record(values)}
    click.echo(json.dumps(facts, indent=2, ensure_ascii=False))


def diff_values(diff: SessionDiff) -> dict[str, Any]:
    """Return the differences of two sessions, with a list of changes for each kind, and the nodes of both."""
    kinds = ("facts", "code", "params", "parameters", "arguments", "environment", "versions")
    changes = {kind: [_change(each) for each in getattr(diff, kind)] for kind in kinds}
    nodes = [{"node": each.node, "before": _attempt(each.before), "after": _attempt(each.after)} for each in diff.nodes]
    return {**changes, "nodes": nodes}


def what_if_values(answer: WhatIf) -> dict[str, Any]:
    """Return the estimated durations of a run."""
    return {
        "recorded_seconds": answer.recorded,
        "recorded_workers": answer.recorded_workers,
        "work_seconds": answer.work,
        "estimates": [
            {"workers": count, "seconds": seconds, "lower_bound_seconds": least} for count, seconds, least in answer.makespans
        ],
        "critical_path_seconds": answer.critical_path,
        "critical_path": [{"node": node, "seconds": seconds} for node, seconds in answer.critical_nodes],
    }


def dataset_values(datasets: Sequence[DatasetFacts], *, nodes: bool) -> list[dict[str, Any]]:
    """Return the facts of datasets, with the names that `treadle registry snapshot` uses too.

    Args:
        datasets: the facts.
        nodes: whether the facts include the nodes that save and load each dataset.
    """
    return [
        {
            "name": each.name,
            "origin": each.origin.value,
            "type": each.type_name,
            "location": each.place,
            "pattern": each.pattern,
            "versioned": each.versioned,
            **({"saved_by": list(each.made_by), "loaded_by": list(each.taken_by)} if nodes else {}),
        }
        for each in datasets
    ]


def check_values(report: CheckReport) -> dict[str, Any]:
    """Return the result of a check."""
    return {
        "nodes": report.nodes,
        "datasets": report.datasets,
        "start_method": report.start_method,
        "problems": [
            {"message": each.message, "nodes": list(each.nodes), "dataset": each.dataset, "traceback": each.traceback}
            for each in report.problems
        ],
        "main_process_nodes": list(report.in_main),
    }


def _change(change: Change) -> dict[str, Any]:
    """Return a change; the key of a session that does not have the value is missing."""
    from treadle.observe.store.diff import ABSENT

    sides = {"before": change.before, "after": change.after}
    return {"name": change.name, **{side: value for side, value in sides.items() if value is not ABSENT}}


def _attempt(node: NodeRecord | None) -> dict[str, Any] | None:
    if node is None:
        return None
    took = node.finished - node.started if node.started is not None and node.finished is not None else None
    return {"outcome": node.outcome, "attempt": node.attempt, "seconds": took}
