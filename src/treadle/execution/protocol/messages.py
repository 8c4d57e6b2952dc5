"""The messages between the parent and its workers: the spec of a worker, commands to it, and facts that it reports.

::

    parent                                                         worker
    ProcessSpec ──(the initializer's argument, once a worker)────►  set up: project, logging, threads
    BeginRun(RunSpec) ──(once a run)────────────────────────────►  nodes, recipes, hooks (unpickled when first used)
    Job ──(indices and handles)─────────────────────────────────►  load, call, save
         ◄──(facts: Hello, Started, Finished, Failed, …)────────   values only as handles, never as objects

The module is long because each message documents its fields, and the whole protocol can be read in one place. Each type has a
pickle test. They are named tuples, which are created, pickled and imported several times faster than dataclasses.
`handles.py` has the handles of values, `wire.py` pickles messages, `processes/channel.py` sends them. State: none.
"""

from __future__ import annotations

from itertools import islice, repeat
from typing import TYPE_CHECKING, Any, TypeAlias

from treadle.named_tuple import NamedTuple, new_record

if TYPE_CHECKING:
    import logging
    from collections.abc import Sequence

    from treadle.events import ContentRecord, Failure
    from treadle.execution.protocol.handles import Handle
    from treadle.execution.protocol.placement import Placement
    from treadle.execution.protocol.project import ProjectSpec
    from treadle.execution.protocol.seeds import Seeds
    from treadle.io.recipe import DatasetRecipe
    from treadle.io.validation.declaration import ValidatorRecipe
    from treadle.project.logging import LoggingLevels

StartTimes: TypeAlias = tuple[float, float, float, float, float]
"""The values of a `treadle.events.WorkerStart`: workers do not import that module."""

MAIN = 0
"""Worker number of the main process."""


class ProcessSpec(NamedTuple):
    """The description from which a worker process on this machine is set up once: the project and facts of the parent process.

    The fingerprint covers the description and the project's code on disk. A warm worker whose fingerprint differs is replaced.
    """

    project: ProjectSpec
    inherits: bool
    """Whether the child has the parent's memory (fork), and with it the configured project."""
    working_directory: str
    environment: dict[str, str]  # may contain secrets: it is sent over a private pipe and never shown
    thread_limit: int | None
    parent_pid: int
    scratch: str
    """Path of the pool's scratch directory."""
    fingerprint: str
    forward_output: bool = True
    start_method: str | None = None
    keeps_values: bool = True
    """Whether values may stay in the worker that made them; False if the process will be replaced."""
    state: bytes = b""
    """The state of the parent process, made by `process_state.describe`."""
    main_file: str | None = None
    """The file of the main script."""
    imports: tuple[str, ...] = ()
    """Libraries that the worker imports before it is ready, so that nodes are sent to workers that have them."""

    @property
    def runs_foreign_code(self) -> bool:
        """Whether code that is not Treadle's runs while the worker is set up: that of the project, or of libraries."""
        project = self.project
        return not self.inherits and (project.package_name is not None or project.setup is not None or bool(self.imports))

    def __repr__(self) -> str:
        return f"ProcessSpec({self.project!r}, start_method={self.start_method!r}, fingerprint={self.fingerprint!r})"


class HookPayload(NamedTuple):
    """One registered plugin: pickled, or a reference with which a worker finds it in settings.py or by its entry point."""

    name: str
    pickled: bytes | None
    settings_index: int | None = None
    """Its index in HOOKS of settings.py, if it cannot be pickled."""
    attributes: bytes | None = None
    """Pickled attributes for the plugin that the worker finds; None if it keeps its own."""


class WatchedDatasets(NamedTuple):
    """The datasets whose objects change their state when they save, and the folder in which the processes share that state."""

    folder: str
    names: tuple[str, ...]


class RunSpec(NamedTuple):
    """The description of one run, sent to each worker once. A worker unpickles each part when it first uses it.

    Attributes:
        run_id: id of the run.
        levels: levels of the parent's loggers.
        node_groups: pickled tuples of nodes; nodes that share a function share a group.
        node_at: for each node of the plan, its group and its position in the group.
        lasting_groups: groups whose functions can be imported by name. A worker keeps them for later runs.
        inputs, outputs: for each node, its dataset indices.
        dataset_names: name of each dataset, by dataset index.
        in_memory: by dataset index, whether the dataset exists in memory only.
        is_result: by dataset index, whether the parent needs the value as a result of the run.
        copy_modes: (dataset index, value of the declared copy mode) of the datasets that declare one.
        recipes: how to build the datasets that were declared in configuration.
        objects: (name, pickled dataset) of the datasets that were given as objects.
        hooks: the plugins in the order of their registration.
        catalog_class: the pickled class of the catalog.
        parameters: the pickled params, if a hook may load them from the catalog.
        save_version: version that the run saves.
        is_async: load a node's inputs concurrently, and save its outputs concurrently.
        opener: a pickled `RunOpener` if another framework started the run. It replaces recipes, objects, hooks, catalog class,
            parameters and save version.
        watched: the datasets whose objects change their state when they save; None if there are none.
        timeouts: (node index, seconds) of the nodes that have a time limit.
        secrets: values that the worker masks in all text. They are sent over a private socket and never shown.
        process_state: the state of the parent process, made by `process_state.describe`; empty if none is to be applied.
        seeds: seeds of the random number generators; None if no node is seeded.
        records_outputs: whether the content of each persistent output is recorded after it was saved.
        validators: (dataset index, declared validator) of the datasets in memory that have one.
        definitions: validators that workers cannot import, each pickled.
    """

    run_id: str
    levels: LoggingLevels
    node_groups: tuple[bytes, ...]
    node_at: tuple[tuple[int, int], ...]
    inputs: tuple[tuple[int, ...], ...]
    outputs: tuple[tuple[int, ...], ...]
    dataset_names: tuple[str, ...]
    in_memory: tuple[bool, ...]
    is_result: tuple[bool, ...]
    copy_modes: tuple[tuple[int, str], ...]
    lasting_groups: frozenset[int] = frozenset()
    recipes: tuple[DatasetRecipe, ...] = ()
    objects: tuple[tuple[str, bytes], ...] = ()
    hooks: tuple[HookPayload, ...] = ()
    catalog_class: bytes = b""
    parameters: bytes | None = None
    save_version: str | None = None
    is_async: bool = False
    opener: bytes | None = None
    timeouts: tuple[tuple[int, float], ...] = ()
    secrets: tuple[str, ...] = ()
    seeds: Seeds | None = None
    watched: WatchedDatasets | None = None
    process_state: bytes = b""
    records_outputs: bool = False
    validators: tuple[tuple[int, ValidatorRecipe], ...] = ()
    definitions: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        return f"RunSpec({self.run_id!r}, {len(self.node_at)} nodes, {len(self.dataset_names)} datasets)"

    @property
    def wiring(self) -> tuple[Any, ...]:
        """The nodes and their datasets: the largest part, and usually the same in each run of a pipeline."""
        return tuple([getattr(self, field) for field in _WIRING])

    def with_wiring(self, wiring: tuple[Any, ...]) -> RunSpec:
        """Return the spec with this wiring."""
        fields: dict[str, Any] = dict(zip(_WIRING, wiring, strict=True))
        return self._replace(**fields)

    def without_wiring(self) -> RunSpec:
        """Return the spec with an empty wiring."""
        return self.with_wiring(tuple([() for _ in _WIRING]))


_WIRING = ("node_groups", "node_at", "lasting_groups", "inputs", "outputs", "dataset_names", "in_memory", "is_result")


# --- parent to worker -----------------------------------------------------------------------------------------------------


class BeginRun(NamedTuple):
    """Start a run; `spec` is the pickled RunSpec."""

    run: int
    spec: bytes
    wiring_number: int = 0
    """The number by which the worker keeps the wiring for later runs, if `spec` is without it."""
    wiring: bytes | None = None
    """The pickled wiring; None if the worker has it from an earlier run."""
    dropped: tuple[int, ...] = ()
    """The numbers of the wirings that the worker need not keep any longer."""


class EndRun(NamedTuple):
    """End a run and free its state."""

    run: int


class Job(NamedTuple):
    """Run nodes one after the other.

    Attributes:
        run: number of the run.
        nodes: plan indices, in order.
        inputs: (dataset index, handle) of the in-memory inputs that the job does not make and the worker does not have yet.
        last: (dataset, node) if the node is the dataset's last consumer.
        local: datasets that are made and consumed within the job: every one that a node of the job makes and another node of
            it loads. Their values are not reported.
        independent: whether the nodes need nothing of each other. Those behind a node that takes long are then returned, as
            jobs that are queued behind it are.
        returnable: whether they are returned although they may need it. Values that stayed within the job can be transferred.
    """

    run: int
    nodes: tuple[int, ...]
    inputs: tuple[tuple[int, Handle], ...] = ()
    last: tuple[tuple[int, int], ...] = ()
    local: tuple[int, ...] = ()
    independent: bool = False
    returnable: bool = False

    def separate(self) -> list[Job]:
        """Return a job for each node if the nodes are independent, else this job. The first one has all inputs."""
        if not self.independent:
            return [self]
        run, nodes, inputs, last, local, _independent, _returnable = self
        return [Job(run, (node,), () if place else inputs, last, local) for place, node in enumerate(nodes)]


class Transfer(NamedTuple):
    """Pickle a value that stayed in the worker, because another process needs it. The worker does this while a node runs."""

    run: int
    dataset: int
    spare: int | None = None
    """Descriptor of an unused memory file to overwrite, sent with the message."""


class Release(NamedTuple):
    """Free a value that the worker keeps or whose memory file it has open: no node needs it any more."""

    run: int
    dataset: int


class Cancel(NamedTuple):
    """Return the jobs that have not started."""

    run: int


class Stop(NamedTuple):
    """End the worker."""


# --- worker to parent -----------------------------------------------------------------------------------------------------


class Hello(NamedTuple):
    """A worker has connected; `failure` is set if its set-up failed."""

    worker: int
    pid: int
    configured: int
    """How many times this process has run `configure_project`."""
    failure: Failure | None = None
    start: StartTimes | None = None
    """How the start of this process went; None if that is not known."""


class Started(NamedTuple):
    """A node started."""

    run: int
    node: int
    at: float
    since: float = 0.0
    """Start time by the monotonic clock, which all processes of a machine share; set if the worker can be killed on a timeout."""


class Finished(NamedTuple):
    """A node succeeded. `started` and `at` (the end) are seconds since the epoch."""

    run: int
    node: int
    started: float
    at: float
    load_seconds: float
    run_seconds: float
    save_seconds: float
    outputs: tuple[tuple[int, Handle], ...] = ()
    """Handles of the in-memory outputs that another job or the parent needs."""
    contents: tuple[ContentRecord, ...] = ()
    """The content of each persistent output as the node saved it, if the run records outputs."""


class FinishedNodes(NamedTuple):
    """The `Finished` messages of nodes that a worker process finished in succession, as columns.

    Each of the columns from `nodes` to `counts` has one entry for each node.
    """

    run: int
    nodes: tuple[int, ...]
    started: tuple[float, ...]
    at: tuple[float, ...]
    load_seconds: tuple[float, ...]
    run_seconds: tuple[float, ...]
    save_seconds: tuple[float, ...]
    counts: Sequence[int]
    """How many of the reported outputs each node made."""
    datasets: Sequence[int]
    """The reported outputs of all nodes, in order."""
    handles: Sequence[Handle]
    """Their handles."""
    placements: Sequence[tuple[int, Placement]]
    """Dataset and placement of each reported output that is not in the store; few reports have one, so they are found once."""
    contents: tuple[tuple[ContentRecord, ...], ...]
    """For each node; empty if the run does not record outputs, or these nodes have none to record."""

    def separate(self) -> list[Finished]:
        """Return a message for each node."""
        outputs = iter(zip(self.datasets, self.handles, strict=True))
        of_each = [tuple(islice(outputs, count)) for count in self.counts]
        contents = self.contents or ((),) * len(self.nodes)
        times = self.started, self.at, self.load_seconds, self.run_seconds, self.save_seconds
        columns = zip(repeat(self.run), self.nodes, *times, of_each, contents)
        return [new_record(Finished, fields) for fields in columns]


class Failed(NamedTuple):
    """A node failed; the later nodes of its job, `dropped`, were not started."""

    run: int
    node: int
    started: float
    at: float
    failure: Failure
    dropped: tuple[int, ...] = ()
    original: BaseException | None = None
    """The exception object if the worker is in this process; never set in a message to another process."""


class Transferred(NamedTuple):
    """A value was pickled for another process. If that failed, the handle is a PinnedValue with the reason."""

    run: int
    dataset: int
    handle: Handle


class JobsReturned(NamedTuple):
    """Nodes that were not started because of a Cancel, or because a node before them takes long."""

    run: int
    nodes: tuple[int, ...]


class Broken(NamedTuple):
    """The last message of a worker that ends because of an error outside any attempt."""

    failure: Failure


class Logged(NamedTuple):
    """A log record that can be pickled: message formatted, traceback as text."""

    attributes: dict[str, Any]

    @classmethod
    def of(cls, record: logging.LogRecord) -> Logged:
        """Return the picklable form of a record."""
        import logging

        attributes = dict(record.__dict__)
        attributes["msg"] = record.getMessage()
        attributes["args"] = None
        if record.exc_info:
            attributes["exc_text"] = record.exc_text or logging.Formatter().formatException(record.exc_info)
        attributes["exc_info"] = None
        for name, value in attributes.items():
            if type(value) not in _PLAIN_TYPES:
                attributes[name] = _plain(value)
        return cls(attributes)

    def record(self) -> logging.LogRecord:
        """Return the log record. Called in the parent."""
        import logging

        return logging.makeLogRecord(self.attributes)


_PLAIN_TYPES = frozenset({type(None), bool, int, float, str})


def _plain(value: Any) -> Any:
    """Return a value as a plain str, int or float without its subclass (an enum, say), which may not pickle; else its repr."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    return float(value) if isinstance(value, float) else repr(value)


class Output(NamedTuple):
    """Text that a worker's Python code wrote to `sys.stdout` or `sys.stderr`; bytes if it wrote to their `buffer`."""

    stream: str
    text: str | bytes
    node: str | None = None
    """The node that wrote it; None if no node was running."""
    passing: bool = False
    """Whether a carriage return will overwrite the text (a progress bar), so that the parent may leave it out."""


Command: TypeAlias = "BeginRun | EndRun | Job | Transfer | Release | Cancel | Stop"
Fact: TypeAlias = "Hello | Started | Finished | FinishedNodes | Failed | Transferred | JobsReturned | Broken | Logged | Output"
