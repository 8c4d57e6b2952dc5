"""All that crosses a process: what a worker is set up from, what it is handed, and what it sends back.

::

    parent                                                         worker
    ProcessSpec ──(the initializer's argument, once a worker)────►  set up: project, logging, threads
    BeginRun(RunSpec) ──(once a run)────────────────────────────►  nodes, recipes, hooks (unpickled when first used)
    Job ──(indices and handles)─────────────────────────────────►  load, call, save
         ◄──(facts: Hello, Started, Finished, Failed, …)────────   never an object of the user's, only bytes of it

Each type here has a pickle test. The hot ones are named tuples, which pickle some times faster than dataclasses.
Neighbours: `handles.py` says where the values are, `wire.py` how messages are pickled, `channel.py` sends them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import logging

    from treadle.events import Failure
    from treadle.execution.protocol.handles import Handle
    from treadle.execution.protocol.project import ProjectSpec
    from treadle.execution.protocol.seeds import Seeds
    from treadle.io.recipe import DatasetRecipe
    from treadle.project.logging import LoggingLevels

MAIN = 0
"""The worker that is the main process itself."""


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """What a worker process on this machine is set up from, once: the project, and facts of the process, by value.

    The fingerprint stands for all of it and for the project's code on disk: a warm worker with another one is replaced.
    """

    project: ProjectSpec
    inherits: bool
    """True where the child has the parent's memory (fork), and with it the configured project."""
    working_directory: str
    environment: dict[str, str] = field(repr=False)  # may hold secrets: it crosses a private pipe and is never shown
    thread_limit: int | None
    parent_pid: int
    scratch: str
    """The run-time directory of the pool, private to the user: socket, blackboard, spilled values."""
    fingerprint: str
    forward_output: bool = True
    start_method: str | None = None
    keeps_values: bool = True
    """False where no value may stay in the worker that made it, because the process will be replaced."""
    state: bytes = b""
    """The state of the parent, described by `process_state`."""
    main_file: str | None = None
    """The file of the main script."""


@dataclass(frozen=True, slots=True)
class HookPayload:
    """One registered plugin: its pickled self, or how to find it again in a worker: in settings.py, or by its entry point."""

    name: str
    pickled: bytes | None
    settings_index: int | None = None
    """Its place in HOOKS of settings.py, where it does not pickle."""


class WatchedDatasets(NamedTuple):
    """The datasets whose objects may learn by saving, and where the processes of the run share what they learn."""

    folder: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunSpec:
    """What every worker needs to know of one run: sent once a run, nothing in it is built before it is used.

    Attributes:
        run_id: id of the run.
        levels: levels of the parent's loggers.
        node_groups: pickled tuples of nodes; nodes that share a function share a group.
        node_at: for each node of the plan, its group and its position there.
        lasting_groups: groups whose functions are found by their names: a worker keeps them from one run to the next.
        inputs, outputs: for each node, its dataset indices.
        dataset_names: by dataset index.
        in_memory: by dataset index.
        is_result: by dataset index, whether the value must come back to the parent.
        copy_modes: (dataset index, the declared copy mode's value), where there is one.
        recipes: how to build the datasets that were declared in configuration.
        objects: (name, pickled dataset) of those that were given as objects.
        hooks: the plugins in the order of their registration.
        catalog_class: the pickled class of the catalog.
        parameters: the pickled params, where there are hooks that may ask the catalog for them.
        save_version: version that the run saves.
        is_async: load a node's inputs, and save its outputs, at the same time.
        opener: a pickled `RunOpener`, where the run is another framework's: it replaces recipes, objects, hooks, catalog
            class, parameters and save version.
        watched: the datasets whose objects may learn by saving; None where there are none.
        timeouts: (node index, seconds) of the nodes whose attempts have a limit.
        secrets: the values that no text of the worker's may show; it crosses a private socket and is never shown.
        process_state: the state of the parent process, described by `process_state`; empty where nothing of it is to be applied.
        seeds: what random numbers are seeded with; None where no node is seeded.
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
    secrets: tuple[str, ...] = field(default=(), repr=False)
    seeds: Seeds | None = None
    watched: WatchedDatasets | None = None
    process_state: bytes = b""


# --- parent to worker -----------------------------------------------------------------------------------------------------


class BeginRun(NamedTuple):
    """A run begins; `spec` is the pickled RunSpec."""

    run: int
    spec: bytes


class EndRun(NamedTuple):
    """The run is over: forget it."""

    run: int


class Job(NamedTuple):
    """Nodes to run one after the other.

    Attributes:
        run: number of the run.
        nodes: plan indices, in order.
        inputs: (dataset index, handle) of the in-memory inputs that are neither made within the job nor in the worker yet.
        last: (dataset, node) where the node is the dataset's last taker.
        local: datasets made within the job that nobody else takes: they are not handed over.
    """

    run: int
    nodes: tuple[int, ...]
    inputs: tuple[tuple[int, Handle], ...] = ()
    last: tuple[tuple[int, int], ...] = ()
    local: tuple[int, ...] = ()


class Transfer(NamedTuple):
    """Another process needs a resident value: give it to the store, whatever else is going on."""

    run: int
    dataset: int
    spare: int | None = None
    """A memory file that is mapped nowhere, to be written over: its descriptor here, which travels beside the message."""


class Release(NamedTuple):
    """Nobody needs a value any more that is kept here, or whose memory file is open here."""

    run: int
    dataset: int


class Cancel(NamedTuple):
    """Give back the jobs that have not begun."""

    run: int


class Stop(NamedTuple):
    """No more work: say goodbye and end."""


# --- worker to parent -----------------------------------------------------------------------------------------------------


class Hello(NamedTuple):
    """A worker is there; `failure` says why it could not be set up, where it could not."""

    worker: int
    pid: int
    configured: int
    """How many times this process has run `configure_project`."""
    failure: Failure | None = None


class Started(NamedTuple):
    """A node began."""

    run: int
    node: int
    at: float
    since: float = 0.0
    """When, by the monotonic clock, which is one for all processes of a machine; where the worker can be ended for its time."""


class Finished(NamedTuple):
    """A node ended well; times are seconds, `at` since the epoch."""

    run: int
    node: int
    started: float
    at: float
    load_seconds: float
    run_seconds: float
    save_seconds: float
    outputs: tuple[tuple[int, Handle], ...] = ()
    """Handles of the in-memory outputs that someone takes."""


class Failed(NamedTuple):
    """A node failed; the rest of its job was not begun."""

    run: int
    node: int
    started: float
    at: float
    failure: Failure
    dropped: tuple[int, ...] = ()
    original: BaseException | None = None
    """The exception itself, where the worker is in this process; never set on what crosses a process."""


class Transferred(NamedTuple):
    """A resident value is fit to travel; or, where that failed, PinnedValue says why."""

    run: int
    dataset: int
    handle: Handle


class JobsReturned(NamedTuple):
    """Nodes given back because of a Cancel: they did not begin."""

    run: int
    nodes: tuple[int, ...]


class Broken(NamedTuple):
    """A worker ends because of an error outside of any attempt: its last message."""

    failure: Failure


class Logged(NamedTuple):
    """A log record, made ready for pickling: message formatted, traceback as text."""

    attributes: dict[str, Any]

    @classmethod
    def of(cls, record: logging.LogRecord) -> Logged:
        """Make a record fit to travel; its arguments and traceback become text."""
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
        """Return the record, in the parent."""
        import logging

        return logging.makeLogRecord(self.attributes)


_PLAIN_TYPES = frozenset({type(None), bool, int, float, str})


def _plain(value: Any) -> Any:
    """Return the text or the number that a value is, without its class, which may not travel: that of an enum; else its repr."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    return float(value) if isinstance(value, float) else repr(value)


class Output(NamedTuple):
    """What a worker's Python code wrote to `sys.stdout` or `sys.stderr`; bytes, where it wrote to their `buffer`."""

    stream: str
    text: str | bytes
    node: str | None = None
    """The node that wrote it; None between nodes."""
    passing: bool = False
    """True where it is a state of a line that a carriage return will replace (a progress bar), to be shown or left out."""


Command: TypeAlias = "BeginRun | EndRun | Job | Transfer | Release | Cancel | Stop"
Fact: TypeAlias = "Hello | Started | Finished | Failed | Transferred | JobsReturned | Broken | Logged | Output"
