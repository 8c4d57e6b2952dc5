"""A session as OpenLineage events (https://openlineage.io): START, and COMPLETE, FAIL or ABORT, of each run and each attempt.

The run of an attempt has the run of the pipeline as its parent. A dataset whose file is recorded is named by its location, as
OpenLineage's naming rules say; others have their name in the namespace of the project. State: none. Neighbour: `attempts.py`.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from treadle.events import ContentRecord, Outcome
from treadle.observe.export.attempts import Attempt, attempts_of, end_of
from treadle.observe.store.records import SessionState
from treadle.observe.store.run_graph import PARAMETERS, GraphNode

if TYPE_CHECKING:
    from openlineage.client.event_v2 import Job, Run, RunEvent

    from treadle.observe.store import ErrorRecord, RunRecord, SessionRecord

_PRODUCER = "https://pypi.org/project/treadle"


def openlineage_lines(session: SessionRecord) -> str:
    """Return the events of a session as JSON, one a line, in the order of their times.

    Args:
        session: the session.
    """
    from openlineage.client.serde import Serde

    return "".join(f"{Serde.to_json(event)}\n" for event in events_of(session))


def events_of(session: SessionRecord) -> list[RunEvent]:
    """Return the events of a session, in the order of their times.

    Args:
        session: the session.
    """
    events = [event for run in session.runs for event in _RunEvents(session, run).all()]
    return [event for _, event in sorted(events, key=lambda pair: pair[0])]


def place_of(location: str) -> tuple[str, str]:
    """Return the namespace and the name of a dataset with a location.

    Args:
        location: the path or URI of its file or folder.
    """
    scheme, is_uri, rest = location.partition("://")
    if not is_uri:
        return "file", location
    host, _, path = rest.partition("/")
    if scheme == "file":
        return "file", f"/{path}"
    store = {"gs": "gs", "gcs": "gs", "s3": "s3", "s3a": "s3", "s3n": "s3"}.get(scheme)  # whose names are keys, not paths
    return (f"{store}://{host}", path or "/") if store is not None else (f"{scheme}://{host}", f"/{path}")


class _RunEvents:
    """Make the events of a run. State: its datasets and their contents."""

    def __init__(self, session: SessionRecord, run: RunRecord) -> None:
        self._session, self._run = session, run
        self._nodes = {node.name: node for node in run.graph.nodes} if run.graph is not None else {}
        self._datasets = run.graph.datasets if run.graph is not None else ()
        self._contents = {content.dataset: content for node in run.nodes for content in node.outputs}
        self._job_name = ",".join(run.pipelines) or "__default__"
        self._is_lost = session.state is SessionState.LOST  # what has no end was aborted, when it was last known to go on

    def all(self) -> list[tuple[float, RunEvent]]:
        """Return the events with their times; at the same time, a run starts first and ends last."""
        from openlineage.client.facet_v2 import parent_run

        session, run = self._session, self._run
        whole, job = self._make_run(run.started, {}), self._make_job(self._job_name, "RUN")
        events = [(run.started, self._event("START", run.started, whole, job))]
        parent = parent_run.ParentRunFacet(
            parent_run.Run(whole.runId), parent_run.Job(session.package_name, self._job_name), producer=_PRODUCER
        )
        for attempt in attempts_of(session, run):
            events += self._attempt(attempt, parent)
        if run.finished is not None or self._is_lost:
            ended, end = self._make_run(run.started, self._error(run.error)), end_of(session, run)
            events.append((end, self._event(_kind(run.outcome), end, ended, job)))
        return events

    def _attempt(self, attempt: Attempt, parent: Any) -> list[tuple[float, RunEvent]]:
        record = attempt.record
        path = (record.node, record.attempt)
        run = self._make_run(attempt.start, {"parent": parent}, *path)
        job = self._make_job(f"{self._job_name}.{record.node}", "TASK")
        node = self._nodes.get(record.node)
        inputs, planned = self._inputs(node), self._outputs(node, None)
        events = [(attempt.start, self._event("START", attempt.start, run, job, inputs, planned))]
        if record.finished is not None or self._is_lost:
            ended = self._make_run(attempt.start, {"parent": parent, **self._error(record.error)}, *path)
            outputs = self._outputs(node, attempt)
            events.append((attempt.end, self._event(_kind(record.outcome), attempt.end, ended, job, inputs, outputs)))
        return events

    def _inputs(self, node: GraphNode | None) -> list[Any]:
        from openlineage.client.event_v2 import InputDataset

        names = [self._datasets[index] for index in node.inputs] if node is not None else []
        return [
            InputDataset(*self._named(each.name), facets=self._facets(each.name)) for each in names if each.kind != PARAMETERS
        ]

    def _outputs(self, node: GraphNode | None, attempt: Attempt | None) -> list[Any]:
        """Return the outputs of a node; with the version and size that an attempt gave them, if it has ended."""
        from openlineage.client.event_v2 import OutputDataset
        from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics

        sizes: dict[str, int | None] = {}
        if attempt is not None:
            sizes = {**dict(attempt.record.sizes), **{each.dataset: each.size for each in attempt.record.outputs}}
        found = []
        for index in node.outputs if node is not None else ():
            name = self._datasets[index].name
            size = sizes.get(name)
            about = (
                {"outputStatistics": statistics.OutputStatisticsOutputDatasetFacet(size=size, producer=_PRODUCER)} if size else {}
            )
            facets = self._facets(name, has_version=attempt is not None)
            found.append(OutputDataset(*self._named(name), facets=facets, outputFacets=about))
        return found

    def _named(self, dataset: str) -> tuple[str, str]:
        content = self._contents.get(dataset)
        if content is not None and content.location:
            return place_of(content.location)
        return self._session.package_name, dataset

    def _facets(self, dataset: str, *, has_version: bool = True) -> dict[str, Any]:
        from openlineage.client.facet_v2 import dataset_version_dataset, datasource_dataset, symlinks_dataset

        content: ContentRecord | None = self._contents.get(dataset)
        facets: dict[str, Any] = {}
        if content is None:
            return facets
        if content.location:
            name = symlinks_dataset.Identifier(self._session.package_name, dataset, "CATALOG_ENTRY")
            facets["symlinks"] = symlinks_dataset.SymlinksDatasetFacet([name], producer=_PRODUCER)
            facets["dataSource"] = datasource_dataset.DatasourceDatasetFacet(
                name=place_of(content.location)[0], producer=_PRODUCER
            )
        version = content.version or content.digest
        if version and has_version:
            facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(version, producer=_PRODUCER)
        return facets

    def _error(self, error: ErrorRecord | None) -> dict[str, Any]:
        from openlineage.client.facet_v2 import error_message_run

        if error is None:
            return {}
        message = f"{error.type_name}: {error.message}"
        facet = error_message_run.ErrorMessageRunFacet(message, "python", error.traceback or None, producer=_PRODUCER)
        return {"errorMessage": facet}

    def _make_run(self, started: float, facets: dict[str, Any], *path: object) -> Run:
        from openlineage.client.event_v2 import Run
        from openlineage.client.facet_v2 import processing_engine_run
        from openlineage.client.uuid import generate_static_uuid

        data = "\0".join(map(str, (self._session.session_id, self._run.number, *path))).encode("utf-8", "backslashreplace")
        version = self._session.versions.get("treadle", "unknown")
        engine = processing_engine_run.ProcessingEngineRunFacet(version, "treadle", producer=_PRODUCER)
        return Run(str(generate_static_uuid(_moment(started), data)), {"processing_engine": engine, **facets})

    def _make_job(self, name: str, kind: str) -> Job:
        from openlineage.client.event_v2 import Job
        from openlineage.client.facet_v2 import job_type_job

        facet = job_type_job.JobTypeJobFacet("BATCH", "TREADLE", kind, producer=_PRODUCER)
        return Job(self._session.package_name, name, {"jobType": facet})

    @staticmethod
    def _event(kind: str, at: float, run: Run, job: Job, inputs: Any = (), outputs: Any = ()) -> RunEvent:
        from openlineage.client.event_v2 import RunEvent, RunState

        return RunEvent(
            eventTime=_moment(at).isoformat(),
            eventType=RunState[kind],
            run=run,
            job=job,
            inputs=list(inputs),
            outputs=list(outputs),
            producer=_PRODUCER,
        )


def _kind(outcome: Outcome | None) -> str:
    return {Outcome.SUCCEEDED: "COMPLETE", Outcome.FAILED: "FAIL"}.get(outcome, "ABORT") if outcome is not None else "ABORT"


def _moment(time: float) -> datetime:
    return datetime.fromtimestamp(time, timezone.utc)
