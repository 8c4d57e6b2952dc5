"""What a server knows of its project besides its runs: the pipelines, the records, and what params may do.

State: none besides the service and the store. Neighbours: `runs.py` uses it for each run, `endpoints.py` and `kedro_api.py` for
reports and snapshots.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.errors import StoreError, TreadleError
from treadle.server.problems import Problem, public_text, status_of, unknown_run
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.observe.store import SessionSummary
    from treadle.server.models import RunBody
    from treadle.session import ServiceSession


class ServedProject:
    """The project of a server.

    Args:
        service: runs it.
        store: has the records of its runs.
        debug: whether errors contain paths of this machine.
    """

    def __init__(self, service: ServiceSession, store: Any, *, debug: bool) -> None:
        self._service = service
        self._store = store
        self._debug = debug

    @property
    def name(self) -> str:
        """The display name of the project."""
        metadata = self._service.project.metadata
        return metadata.project_name if metadata is not None else self._service.project.package_name

    @property
    def runner(self) -> Any:
        """The runner of all runs."""
        return self._service.runner

    def load_registry(self) -> None:
        """Import the project's registry, so that an error in it is one of the start and not of every request.

        Raises:
            ProjectError: it cannot be imported.
        """
        list(self._service.project.pipelines)

    def record(self, run_id: str) -> Any:
        """Return the record of a run of this project; None if there is none with exactly this id.

        Args:
            run_id: the whole id.
        """
        try:
            record = self._store.load(run_id)
        except StoreError:
            return None
        return record if record.session_id == run_id and record.package_name == self._service.project.package_name else None

    def goes_on(self, run_id: str) -> bool:
        """Return whether a run waits or runs, in this or another process.

        Args:
            run_id: the whole id.
        """
        return bool(self._store.goes_on(run_id))

    def summaries(self, limit: int) -> Sequence[SessionSummary]:
        """Return the newest recorded runs of this project, of which others may use the same store.

        Args:
            limit: maximum number of runs.
        """
        found: Sequence[SessionSummary] = self._store.sessions_of(self._service.project.package_name, limit)
        return found

    def report(self, run_id: str) -> str:
        """Return the report of a run as one HTML page.

        Args:
            run_id: the run, which has started.

        Raises:
            Problem: there is no such run.
        """
        from treadle.session.reporting import make_report

        record = self.record(run_id)
        if record is None:
            raise unknown_run(run_id)
        return make_report(record, self._store).html()

    def snapshot(self, params: dict[str, Any]) -> dict[str, Any]:
        """Describe the project, in the shape of Kedro's snapshot.

        Args:
            params: params that the configuration may refer to.

        Raises:
            Problem: the params may not be given from outside.
            TreadleError: the project is invalid.
        """
        from treadle.inspection import inspect_project

        self.check_params(params)
        facts = self._service.facts
        return inspect_project(env=facts.env, params=params, conf_source=facts.given_conf_source).as_kedro_dict()

    def check(self, body: RunBody) -> None:
        """Refuse what cannot run, before it is queued.

        Args:
            body: what to run.

        Raises:
            Problem: a pipeline does not exist, or the params may not be given from outside.
        """
        known = list(self._service.project.pipelines)
        for name in body.pipelines or ():
            if name not in known:
                hint = did_you_mean(close_names(name, known, most=1), f"There are: {', '.join(known)}.")
                raise Problem(422, "UnknownNameError", public_text(f"There is no pipeline '{name}'.{hint}"))
        self.check_params(body.params)

    def check_params(self, params: dict[str, Any]) -> None:
        """Refuse params that choose code, credentials, or files in other folders.

        Args:
            params: the params of a request.

        Raises:
            Problem: they do.
        """
        try:
            self._service.check_untrusted(params)
        except TreadleError as exc:
            raise Problem(status_of(exc), type(exc).__name__, public_text(str(exc), debug=self._debug)) from exc
