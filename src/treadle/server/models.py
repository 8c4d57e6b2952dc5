"""What requests and responses contain. Unknown fields are refused, so that a misspelt filter does not run everything.

State: none. Neighbours: `app.py` and `kedro_api.py` declare them; `runs.py` makes the views.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, JsonValue, StringConstraints, field_validator

Name = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Names = Annotated[list[Name], Field(max_length=10_000)]
Version = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:+\-]*$", max_length=200)]
"""A version becomes a part of a path, so it must not contain a separator or be `..`."""

State = Literal["queued", "running", "succeeded", "failed", "cancelled", "interrupted", "lost"]


class RunBody(BaseModel):
    """What to run: the arguments of `session.run` that a client may choose."""

    model_config = ConfigDict(extra="forbid")

    pipelines: Names | None = Field(default=None, validation_alias=AliasChoices("pipelines", "pipeline_names"))
    nodes: Names | None = Field(default=None, validation_alias=AliasChoices("nodes", "node_names"))
    tags: Names | None = None
    from_nodes: Names | None = None
    to_nodes: Names | None = None
    from_inputs: Names | None = None
    to_outputs: Names | None = None
    namespaces: Names | None = None
    load_versions: dict[Name, Version] | None = None
    only_missing_outputs: bool = False
    skip_unchanged: bool = False
    on_failure: Literal["stop", "continue"] | None = None
    load_results: bool | Names = Field(
        default=False, description="Outputs to load when the run ends, so that later runs cannot overwrite them."
    )
    params: dict[Name, JsonValue] = Field(default_factory=dict)
    inputs: dict[Name, JsonValue] = Field(default_factory=dict, description="Values of free inputs, by dataset name.")

    @field_validator("params", "inputs")
    @classmethod
    def _check_text(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Refuse strings that are no text, such as half of a surrogate pair: they can be neither stored nor logged."""
        try:
            json.dumps(values, ensure_ascii=False).encode()
        except UnicodeEncodeError as exc:
            msg = "a string contains half of a surrogate pair"
            raise ValueError(msg) from exc
        return values

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `ServiceSession.submit`, except params and inputs."""
        given = self.model_dump(exclude={"params", "inputs", "pipelines", "nodes"}, exclude_defaults=True)
        if self.pipelines:
            given["pipeline_names"] = self.pipelines
        if self.nodes:
            given["node_names"] = self.nodes
        return given


class ErrorView(BaseModel):
    """An error."""

    type: str = Field(description="The class of the exception, or what is wrong with the request.")
    message: str
    node: str | None = Field(default=None, description="The node that failed.")
    traceback: str | None = Field(default=None, description="Only if the server was started with --debug-errors.")


class ErrorBody(BaseModel):
    """The body of every response that is an error."""

    error: ErrorView


class NodeCounts(BaseModel):
    """How far a run is."""

    total: int = 0
    done: int = 0
    reused: int = Field(default=0, description="Nodes that did not run because they are up to date.")
    skipped: int = 0
    failed: list[str] = Field(default_factory=list, description="Their names; in a list, only of runs of this server.")
    running: list[str] = Field(default_factory=list, description="Their names; in a list, only of runs of this server.")


class RunView(BaseModel):
    """A run. Times are in seconds since the epoch."""

    id: str
    state: State
    pipelines: list[str] = Field(default_factory=list)
    submitted: float | None = None
    started: float | None = None
    finished: float | None = None
    expected_end: float | None = None
    position: int | None = Field(default=None, description="Of a queued run: how many start before it.")
    nodes: NodeCounts = Field(default_factory=NodeCounts)
    outputs: list[str] = Field(default_factory=list, description="The outputs that can be fetched now.")
    error: ErrorView | None = None
    resumed_from: str | None = None


class RunList(BaseModel):
    """Runs, the newest first."""

    runs: list[RunView]


class Ready(BaseModel):
    """Whether the server accepts runs."""

    ready: bool
    queued: int
    running: int


class Health(BaseModel):
    """The server answers."""

    status: Literal["healthy"] = "healthy"
    treadle_version: str
    kedro_version: str = Field(description="As in Kedro's server; the version of Treadle.")
