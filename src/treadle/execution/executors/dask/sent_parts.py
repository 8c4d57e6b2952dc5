"""Choose what a dask worker is sent of a run: a dataset, with its credentials, only when one of the worker's nodes uses it.

Workers mask secrets in their logs and errors, so they must know them. A worker may be on another machine, so it learns only
those that it is sent anyway: in the description of the run, or in a dataset. The driver knows all, and masks its logs again.
State: the parts of one run. Runs in the driver.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

from treadle.execution.executors.dask.messages import DatasetPart, RunFiles
from treadle.execution.executors.dask.run_files import FileExchange
from treadle.execution.protocol.messages import Job
from treadle.secrets import secrets_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.execution.packing.bundle import RunBundle


class RunParts:
    """A run in parts.

    Args:
        run: the run.

    Attributes:
        spec: the pickled RunSpec, with the secrets that it contains and without the datasets that are sent later.
        main_only: the nodes that must run in the main process.
        files: the files that the processes of the run share; None if they share none.

    Raises:
        HookError: a plugin cannot be sent.
    """

    def __init__(self, run: RunBundle) -> None:
        split = run.split_spec()
        self.main_only = split.main_only
        self.files = FileExchange(run.shared_folder) if run.shared_folder is not None else None
        self._secrets = split.spec.secrets
        rest = pickle.dumps(split.spec._replace(secrets=()), protocol=5)
        self.spec = pickle.dumps(split.spec._replace(secrets=self._secrets_in(rest)), protocol=5)
        self._pickled = split.datasets
        self._parts: dict[str, DatasetPart] = {}
        self._names: dict[int, tuple[str, ...]] = {}  # of the nodes that use datasets
        for index, planned in enumerate(run.plan.nodes if split.datasets else ()):
            used = (*planned.node.inputs, *planned.node.outputs, *planned.node.confirms)
            if names := tuple(dict.fromkeys(name for name in used if name in split.datasets)):
                self._names[index] = names

    def datasets_of(self, node: int) -> tuple[str, ...]:
        """Return the names of the datasets that a node uses and that are sent when they are needed.

        Args:
            node: its plan index.
        """
        return self._names.get(node, ())

    def dataset(self, name: str) -> DatasetPart:
        """Return a dataset.

        Args:
            name: its name.
        """
        if name not in self._parts:
            pickled = self._pickled[name]
            self._parts[name] = DatasetPart(name, pickled, self._secrets_in(pickled))
        return self._parts[name]

    def _secrets_in(self, pickled: bytes) -> tuple[str, ...]:
        return secrets_in(pickled, self._secrets)


class SentParts:
    """What one worker was sent of a run.

    Args:
        parts: the run.
        link: id of the link to the worker.
    """

    def __init__(self, parts: RunParts, link: str) -> None:
        self._parts, self._link = parts, link
        self._datasets: set[str] = set()
        self._files = 0

    def new_datasets(self, job: Job) -> tuple[DatasetPart, ...]:
        """Return the datasets that a job uses and that the worker does not have.

        Args:
            job: the job, which is sent with them.
        """
        names = dict.fromkeys(name for node in job.nodes for name in self._parts.datasets_of(node) if name not in self._datasets)
        self._datasets.update(names)
        return tuple([self._parts.dataset(name) for name in names])

    def new_files(self, commands: Sequence[object]) -> list[RunFiles]:
        """Return a message with the files that jobs may need and that the worker does not have; none if there are none.

        Args:
            commands: what is sent to the worker after the message.
        """
        files = self._parts.files
        job = next((each for each in commands if isinstance(each, Job)), None) if files is not None else None
        if files is None or job is None:
            return []
        self._files, unsent = files.unsent(self._files, self._link)
        return [RunFiles(job.run, unsent)] if unsent else []

    def receive(self, message: RunFiles) -> None:
        """Take the files that a node in the worker has written.

        Args:
            message: the files.
        """
        if self._parts.files is not None:
            self._parts.files.receive(message.files, self._link)
