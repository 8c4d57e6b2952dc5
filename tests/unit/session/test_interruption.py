"""SIGTERM and Ctrl-C, in this process and in one of its own."""

from __future__ import annotations

import pickle
import signal
import sqlite3
import subprocess
import sys
import threading
import weakref
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from treadle.errors import Terminated
from treadle.events import Outcome
from treadle.observe.store import SQLStore
from treadle.session import Session
from treadle.session.interruption import signals_interrupt, signals_wait

if TYPE_CHECKING:
    from treadle.observe.store.records import SessionRecord


@pytest.fixture(autouse=True)
def _signals_count_as_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, a second signal comes soon after the first one."""
    for name in ("STOPPING_SECONDS", "SAVING_SECONDS"):
        monkeypatch.setattr(f"treadle.session.interruption.{name}", 3600.0)


def test_the_first_signal_raises_and_later_ones_wait() -> None:
    """While a terminated run cleans up, further SIGTERMs change nothing; then the default is back."""
    cleaned: list[bool] = []

    def be_terminated() -> None:
        with signals_interrupt():
            try:
                signal.raise_signal(signal.SIGTERM)
            finally:
                signal.raise_signal(signal.SIGTERM)
                cleaned.append(True)

    with pytest.raises(Terminated):
        be_terminated()
    assert cleaned == [True]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_handler_set_during_the_run_stays() -> None:
    """What the application sets meanwhile is not undone."""

    def mine(_number: int, _frame: object) -> None:
        """Do nothing."""

    with signals_interrupt():
        signal.signal(signal.SIGTERM, mine)
    assert signal.getsignal(signal.SIGTERM) is mine
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.mark.usefixtures("restore_hangup")
def test_a_signal_that_is_ignored_stays_so() -> None:
    """Under `nohup` a closed terminal ends nothing; a signal that does end the run is named."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals_interrupt():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    with pytest.raises(Terminated, match="SIGHUP arrived") as caught, signals_interrupt():
        signal.raise_signal(signal.SIGHUP)
    assert pickle.loads(pickle.dumps(caught.value)).signal == signal.SIGHUP
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


def test_one_ctrl_c_interrupts_and_the_next_ones_are_ignored() -> None:
    """While an interrupt unwinds the program, an impatient second Ctrl-C does not tear its end apart."""
    ended: list[str] = []

    def work() -> None:
        with signals_interrupt():
            try:
                signal.raise_signal(signal.SIGINT)
            finally:
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGTERM)
                ended.append("in peace")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert ended == ["in peace"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_interrupts_what_takes_too_long_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Later than that, a further one is heard again."""
    monkeypatch.setattr("treadle.session.interruption.STOPPING_SECONDS", -1.0)
    with signals_interrupt():
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)


def test_signals_wait() -> None:
    """They are known inside, and the first raises at the end, unless something else is on its way."""
    done: list[str] = []

    def save(error: BaseException | None = None) -> None:
        with signals_wait(error) as waiting:
            assert waiting.interrupt() is None
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
            assert isinstance(waiting.interrupt(), Terminated)
            done.append("saved")

    with pytest.raises(Terminated):
        save()
    save(ValueError("on its way"))
    assert done == ["saved", "saved"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("error", [None, ValueError("wrong"), SystemExit(1)], ids=["none", "failure", "exit"])
def test_a_handler_of_the_application_waits_too(error: BaseException | None) -> None:
    """It is called when the record is saved, and may then exit; if the program exits already, it goes on with that."""
    done: list[str] = []

    def leave(_number: int, _frame: object) -> None:
        done.append("called")
        sys.exit(3)

    def save() -> None:
        try:
            if error is not None:
                raise error
        finally:
            with signals_wait(error):
                signal.raise_signal(signal.SIGTERM)
                signal.raise_signal(signal.SIGTERM)
                done.append("saved")

    before = signal.signal(signal.SIGTERM, leave)
    try:
        with pytest.raises(SystemExit) as caught:
            save()
        assert signal.getsignal(signal.SIGTERM) is leave
    finally:
        signal.signal(signal.SIGTERM, before)
    assert done == ["saved", "called"]
    assert caught.value.code == (1 if isinstance(error, SystemExit) else 3)


def test_what_never_ends_can_be_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that does not answer does not hold the program for ever."""
    monkeypatch.setattr("treadle.session.interruption.SAVING_SECONDS", -1.0)
    done: list[str] = []

    def save() -> None:
        with signals_wait():
            signal.raise_signal(signal.SIGTERM)
            done.append("one signal waits")
            signal.raise_signal(signal.SIGINT)
            done.append("saved")

    with pytest.raises(KeyboardInterrupt):
        save()
    assert done == ["one signal waits"]


def test_signals_in_another_thread() -> None:
    """Only the main thread hears signals: elsewhere nothing is changed."""
    seen = []

    def work() -> None:
        with signals_interrupt(), signals_wait() as waiting:
            seen.append((signal.getsignal(signal.SIGINT), waiting.interrupt()))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(before, None)]


class Recorder(SQLStore):
    """A store during whose saving Ctrl-C is pressed, some times."""

    presses = 1

    def save(self, record: SessionRecord) -> None:
        """Save after the signals."""
        for _ in range(self.presses):
            signal.raise_signal(signal.SIGINT)
        super().save(record)


@pytest.mark.parametrize("presses", [1, 3])
@pytest.mark.parametrize("interrupted", [False, True])
def test_ctrl_c_while_the_record_is_saved(
    make_project, inline, monkeypatch: pytest.MonkeyPatch, presses: int, interrupted: bool
) -> None:
    """The record is saved once, and says that the session was interrupted, as its exit does."""
    root = make_project(settings=f"from {__name__} import Recorder as SESSION_STORE_CLASS\n")
    monkeypatch.setattr(Recorder, "presses", presses)

    def run() -> None:
        with Session.create() as session:
            session.run(runner=inline)
            if interrupted:
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run()
    (summary,) = SQLStore(project_path=root).list()
    assert summary.outcome is Outcome.INTERRUPTED
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


TORN = """
import signal
import sys


class AtImport:
    def find_spec(self, name, path=None, target=None):
        if name == "sqlite3.dbapi2":
            sys.meta_path.remove(self)
            signal.raise_signal(signal.SIGINT)


sys.meta_path.insert(0, AtImport())
from treadle.project import bootstrap_project
from treadle.session import Session
bootstrap_project(sys.argv[1])
with Session.create(sys.argv[1]) as session:
    session.run(runner="sequential", node_names="count")
"""


@pytest.mark.parametrize("had_a_record", [False, True], ids=["saving", "asking for durations"])
def test_ctrl_c_in_the_import_of_the_database_driver(make_project, had_a_record: bool) -> None:
    """Half an import is no use when the record is to be saved: it is finished first."""
    root: Path = make_project()
    if had_a_record:
        (root / ".treadle").mkdir()
        with closing(sqlite3.connect(root / ".treadle" / "sessions.db")):
            pass
    done = subprocess.run(
        [sys.executable, "-c", TORN, str(root)], capture_output=True, text=True, cwd=root, timeout=100, check=False
    )
    assert done.stderr.splitlines()[-1] == "KeyboardInterrupt", done.stderr
    assert "could not be saved" not in done.stderr
    (summary,) = SQLStore(project_path=root).list()
    assert summary.outcome is Outcome.INTERRUPTED


WAITING_NODES = """
import threading
import weakref

def count(raw):
    print("started", flush=True)
    threading.Event().wait()

def scale(n, factor):
    return n

broken = count
"""
SCRIPT = """
import sys
from treadle.project import bootstrap_project
from treadle.session import Session
bootstrap_project(sys.argv[1])
with Session.create(sys.argv[1]) as session:
    print(session.session_id, flush=True)
    session.run(runner="sequential", node_names="count")
"""


@pytest.mark.usefixtures("restore_hangup")
@pytest.mark.parametrize(
    ("number", "error"),
    [
        (signal.SIGTERM, "treadle.errors.Terminated"),
        (signal.SIGHUP, "treadle.errors.Terminated"),
        (signal.SIGINT, "KeyboardInterrupt"),
    ],
)
def test_a_signal_ends_a_process_with_a_record(make_project, number: signal.Signals, error: str) -> None:
    """A process that is told to end during a run ends, and its session is recorded as interrupted."""
    root: Path = make_project()
    package = next(path for path in (root / "src").iterdir())
    (package / "nodes.py").write_text(WAITING_NODES)
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(root)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root
    )
    assert process.stdout is not None
    session_id = process.stdout.readline().strip()
    assert process.stdout.readline().strip() == "started", process.communicate(timeout=60)[1]
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert error.rpartition(".")[2] in errors
    record = SQLStore(project_path=root).load(session_id)
    assert (record.outcome, record.runs[0].outcome) == (Outcome.INTERRUPTED, Outcome.INTERRUPTED)
    assert record.error is not None
    assert record.error.type_name == error
    assert [(node.node, node.outcome) for node in record.runs[0].nodes] == [("count", Outcome.INTERRUPTED)]


class _Finalized:
    def __init__(self, number: int | None) -> None:
        self._number = number

    def __del__(self) -> None:
        if self._number is not None:
            signal.raise_signal(self._number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("place", ["finalizer", "callback"])
def test_a_signal_is_not_lost_where_python_ignores_exceptions(
    number: signal.Signals, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It interrupts the code that follows; Python says nothing of an ignored exception."""
    hook, ended = sys.unraisablehook, []

    def be_interrupted() -> None:
        with signals_interrupt():
            thing = _Finalized(number if place == "finalizer" else None)
            reference = weakref.ref(thing, lambda _dead: signal.raise_signal(number) if place == "callback" else None)
            del thing
            assert reference() is None
            ended.append(threading.Event().wait(60))

    with pytest.raises(KeyboardInterrupt) as caught:
        be_interrupted()
    assert isinstance(caught.value, Terminated) is (number != signal.SIGINT)
    assert ended == []
    assert sys.unraisablehook is hook
    assert capsys.readouterr().err == ""


def test_other_ignored_exceptions_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the hook that was there, which stays if the application has set another one meanwhile."""
    ignored: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: ignored.append(unraisable.exc_type))

    class Broken:
        def __del__(self) -> None:
            raise ValueError

    with signals_interrupt():
        Broken()
        mine = sys.unraisablehook = lambda _unraisable: None
    assert ignored == [ValueError]
    assert sys.unraisablehook is mine
