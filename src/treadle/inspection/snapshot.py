"""The snapshot of a project: plain records, which convert to JSON and to the shape of Kedro's snapshot.

State: none; the records are immutable. Neighbours: `inspect.py` creates them; `treadle/schemas/snapshot.json` describes the JSON.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

FORMAT = {"format": "treadle-snapshot", "version": 1}
"""The first two keys of the JSON object."""
_DECLARED = frozenset({"catalog", "pattern"})


@dataclass(frozen=True, slots=True)
class SourceLines:
    """Where a function is defined.

    Attributes:
        file: the file, relative to the project's root, or to the folder of an installed package.
        first_line: number of its first line, with decorators; the first line of a file is 1.
        last_line: number of its last line.
    """

    file: str
    first_line: int
    last_line: int


@dataclass(frozen=True, slots=True)
class NodeSnapshot:
    """A node.

    Attributes:
        name: its name, with the namespace.
        function: name of its function; for a partial, that of the wrapped function.
        module: the module that defines the function; None if that is unknown.
        source: where the function is defined; None for code outside the project, and without a source file.
        namespace: the group that it belongs to.
        tags: sorted.
        inputs: names of datasets and parameters, in the order of the declaration.
        outputs: names of datasets, in the order of the declaration.
        confirms: datasets that are confirmed after it.
    """

    name: str
    function: str
    module: str | None
    source: SourceLines | None
    namespace: str | None
    tags: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    confirms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PipelineSnapshot:
    """A registered pipeline.

    Attributes:
        name: its name in the registry.
        nodes: in the order of execution.
        inputs: datasets and parameters that no node of it saves, sorted.
        outputs: datasets that no node of it loads, sorted.
    """

    name: str
    nodes: tuple[NodeSnapshot, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DatasetSnapshot:
    """A dataset that the catalog declares or a pipeline uses.

    Attributes:
        name: its name.
        origin: `catalog` (declared by name), `pattern` (its name matches a pattern), `memory` (not declared, saved by a node),
            `missing` (not declared, and no node saves it), or `code`.
        type: its type, as in the catalog; None if it is missing.
        location: its path or URL, without credentials; relative paths start from the project's root.
        pattern: the pattern that its name matches.
        versioned: whether each run saves a new version.
        validator: path of the class, schema or function that checks its data.
    """

    name: str
    origin: str
    type: str | None
    location: str | None
    pattern: str | None
    versioned: bool
    validator: str | None = None


@dataclass(frozen=True, slots=True)
class ProjectSnapshot:
    """A project as it is now.

    Attributes:
        project_name: its display name.
        package_name: import name of its package.
        treadle_version: the version of Treadle.
        env: the configuration environment; None if it is unknown which one the project's own config loader reads by default.
        pipelines: the inspected pipelines, in the order of the registry.
        datasets: those of the catalog in its order, then those that only pipelines use.
        patterns: the patterns of the catalog, in the order in which they are tried.
        parameters: names of the parameters, nested ones with dots, without values.
    """

    project_name: str
    package_name: str
    treadle_version: str
    env: str | None
    pipelines: tuple[PipelineSnapshot, ...]
    datasets: tuple[DatasetSnapshot, ...]
    patterns: tuple[str, ...]
    parameters: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the snapshot as plain data, as in JSON."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return {**FORMAT, **values}

    def to_json(self) -> str:
        """Return the snapshot as one JSON object, which `treadle/schemas/snapshot.json` describes."""
        return json.dumps(self.as_dict(), indent=2, ensure_ascii=False)

    def as_kedro_dict(self) -> dict[str, Any]:
        """Return the snapshot in the shape of Kedro's `ProjectSnapshot`, as its HTTP server returns it.

        Returns:
            Plain data with the keys `metadata`, `pipelines`, `datasets` and `parameters`; `kedro_version` is the version of
            Treadle.
        """
        return {
            "metadata": {
                "project_name": self.project_name,
                "package_name": self.package_name,
                "kedro_version": self.treadle_version,
            },
            "pipelines": [_pipeline_for_kedro(each) for each in self.pipelines],
            "datasets": {
                each.name: {"name": each.name, "type": each.type or "", "filepath": each.location}
                for each in self.datasets
                if each.origin in _DECLARED
            },
            "parameters": sorted(_top_level(self.parameters)),
        }


def _pipeline_for_kedro(pipeline: PipelineSnapshot) -> dict[str, Any]:
    return {
        "name": pipeline.name,
        "nodes": [_node_for_kedro(node) for node in pipeline.nodes],
        "inputs": list(pipeline.inputs),
        "outputs": list(pipeline.outputs),
    }


def _node_for_kedro(node: NodeSnapshot) -> dict[str, Any]:
    source = node.source
    return {
        "name": node.name,
        "func_name": node.function,
        "namespace": node.namespace,
        "tags": list(node.tags),
        "inputs": list(node.inputs),
        "outputs": list(node.outputs),
        "source": None
        if source is None
        else {"filepath": source.file, "line_start": source.first_line, "line_end": source.last_line},
    }


def _top_level(names: tuple[str, ...]) -> list[str]:
    """Return the names that are not below another one; a parameter is listed before those that it contains."""
    found: dict[str, None] = {}
    for name in names:
        parts = name.split(".")
        if not any(".".join(parts[:count]) in found for count in range(1, len(parts))):
            found[name] = None
    return list(found)
