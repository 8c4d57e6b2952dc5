import os
import signal
import sys
import threading
import warnings

import pytest

from treadle.execution.processes import safe_points
from treadle.execution.processes.safe_points import interrupts_at_safe_points, safe_point

INT, TERM = signal.SIGINT, signal.SIGTERM


class Clock:
    """A monotonic clock that only a test advances."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Replace the clock of the safe points."""
    clock = Clock()
    monkeypatch.setattr(safe_points, "monotonic", clock)
    return clock


@pytest.fixture
def heard():
    """The SIGTERMs that a handler of the application, which returns, has heard."""
    heard = []
    before = signal.signal(TERM, lambda number, frame: heard.append(number))
    yield heard
    signal.signal(TERM, before)


def press(times=1, clock=None):
    """Send SIGINT to this thread; with a clock, each one a second after the one before."""
    for _ in range(times):
        signal.raise_signal(INT)
        if clock is not None:
            clock.now += 1


def test_a_signal_waits_for_the_next_safe_point():
    """Between safe points nothing is interrupted."""
    done = []

    def run():
        with interrupts_at_safe_points():
            press()
            done.append("before")
            with safe_point():
                done.append("never")

    with pytest.raises(KeyboardInterrupt):
        run()
    assert done == ["before"]


def test_a_signal_at_a_safe_point_interrupts_there():
    """The exception comes out of the block."""
    done = []

    def run():
        with interrupts_at_safe_points():
            with safe_point():
                press()
                done.append("never")
            done.append("never")

    with pytest.raises(KeyboardInterrupt):
        run()
    assert done == []


def test_a_signal_without_a_later_safe_point_interrupts_at_the_end():
    """It is not lost."""
    done = []

    def run():
        with interrupts_at_safe_points():
            press()
            done.append("all of it")
        done.append("never")

    with pytest.raises(KeyboardInterrupt):
        run()
    assert done == ["all of it"]


def test_the_second_signal_does_not_wait(clock):
    """A program that hangs between safe points can be ended."""
    done = []

    def run():
        with interrupts_at_safe_points():
            press(2, clock)
            done.append("never")

    with pytest.raises(KeyboardInterrupt):
        run()
    assert done == []


def test_signals_in_quick_succession_are_one_request(clock):
    """`timeout` signals its child and the group of its child; the first signal waits nevertheless."""
    done = []

    def run():
        with interrupts_at_safe_points():
            press(2)
            clock.now += 0.9
            press()
            done.append("before")
            with safe_point():
                done.append("never")

    with pytest.raises(KeyboardInterrupt):
        run()
    assert done == ["before"]


@pytest.mark.parametrize("numbers", [(INT, TERM), (TERM, INT)])
def test_different_signals_wait_independently(clock, heard, numbers):
    """Neither ends the waiting of the other one, or is lost."""
    done = []

    def run():
        with interrupts_at_safe_points():
            for number in numbers:
                signal.raise_signal(number)
                clock.now += 1
            assert heard == []
            done.append("before")
            with safe_point():
                done.append("never")

    with pytest.raises(KeyboardInterrupt):
        run()
    assert done == ["before"]
    assert heard == [TERM]


def test_another_signal_during_the_reports_of_an_interrupted_run_is_passed_on(heard):
    """The application's own handler is called at the end."""

    def run():
        with interrupts_at_safe_points():
            try:
                with safe_point():
                    press()
            except KeyboardInterrupt:
                press()  # this one has interrupted already
                signal.raise_signal(TERM)
                assert heard == []
                raise

    with pytest.raises(KeyboardInterrupt) as caught:
        run()
    assert heard == [TERM]
    assert caught.value.__context__ is None


def test_there_is_no_safe_point_after_an_interrupt(clock):
    """What the run does after an interrupt is complete, also if the user presses Ctrl-C once more; a third one ends it."""
    done = []

    def run(times):
        with interrupts_at_safe_points():
            try:
                with safe_point():
                    press()
            except KeyboardInterrupt:
                with safe_point():
                    press(times, clock)
                    done.append("reported")
                raise

    with pytest.raises(KeyboardInterrupt):
        run(1)
    assert done == ["reported"]
    with pytest.raises(KeyboardInterrupt):
        run(2)
    assert done == ["reported"]


def test_there_is_no_safe_point_after_a_handler_has_exited():
    """A handler of the application may raise SystemExit, as many do for SIGTERM: it is an interrupt like any other."""
    done, heard = [], []

    def handle(number, _frame):
        heard.append(number)
        sys.exit(3)

    def run():
        with interrupts_at_safe_points():
            try:
                with safe_point():
                    signal.raise_signal(TERM)
            except SystemExit:
                with safe_point():
                    signal.raise_signal(TERM)
                    done.append("reported")
                raise

    before = signal.signal(TERM, handle)
    try:
        with pytest.raises(SystemExit):
            run()
    finally:
        signal.signal(TERM, before)
    assert done == ["reported"]
    assert heard == [TERM]


def test_an_interrupt_that_the_user_s_code_handles_is_over():
    """The next one interrupts the next safe point."""
    handled = []

    def run():
        with interrupts_at_safe_points():
            with safe_point():
                try:
                    press()
                except KeyboardInterrupt:
                    handled.append("by the user")
            with safe_point():
                press()
                handled.append("never")

    with pytest.raises(KeyboardInterrupt):
        run()
    assert handled == ["by the user"]


def test_the_next_signal_interrupts_code_that_has_handled_one():
    """It does not wait for the next safe point."""
    handled = []

    def run():
        with interrupts_at_safe_points(), safe_point():
            for _ in range(3):
                try:
                    press()
                    handled.append("never")
                except KeyboardInterrupt:
                    handled.append("by the user")
            press()
            handled.append("never")

    with pytest.raises(KeyboardInterrupt):
        run()
    assert handled == ["by the user"] * 3


@pytest.mark.parametrize("method", ["begin_safe_point", "end_safe_point"])
def test_a_signal_while_a_safe_point_begins_or_ends_is_an_interrupt_of_the_run(monkeypatch, method):
    """No code inside the safe point can handle it, so there are no safe points any more."""
    done, original = [], getattr(interrupts_at_safe_points, method)

    def interrupted(block, *arguments, **options):
        if method == "begin_safe_point":
            original(block, *arguments, **options)
        safe_points._raise_all([INT])  # the signal arrives in a frame of the module

    def run():
        with interrupts_at_safe_points():
            with monkeypatch.context() as patches:
                patches.setattr(interrupts_at_safe_points, method, interrupted)
                with pytest.raises(KeyboardInterrupt), safe_point():
                    done.append("inside")
            with safe_point():
                press()
                done.append("reported")

    with pytest.raises(KeyboardInterrupt):
        run()
    assert done[-1] == "reported"


def test_safe_points_can_be_nested():
    """The end of the inner one does not end the outer one."""
    done = []

    def run():
        with interrupts_at_safe_points():
            with safe_point():
                with safe_point():
                    pass
                try:
                    with safe_point():
                        press()
                except KeyboardInterrupt:
                    done.append("handled in the outer one")
                press()
                done.append("never")
            done.append("never")

    with pytest.raises(KeyboardInterrupt):
        run()
    assert done == ["handled in the outer one"]


def test_a_handler_that_was_kept_works_after_the_run():
    """A node may install the handler again that it found, or chain to it; Ctrl-C then does what it did before the run."""
    before = signal.getsignal(INT)
    try:
        with interrupts_at_safe_points():
            kept = signal.getsignal(INT)
        signal.signal(INT, kept)
        with pytest.raises(KeyboardInterrupt):
            press()
        with pytest.raises(KeyboardInterrupt), interrupts_at_safe_points(), safe_point():
            press()
    finally:
        signal.signal(INT, before)


@pytest.mark.parametrize("waits", [False, True])
def test_a_forked_child_is_interrupted_at_once(waits, heard):
    """It inherits the handler, but is no part of the run: neither its own signals wait, nor do those of its parent concern it."""
    with interrupts_at_safe_points():
        if waits:
            signal.raise_signal(TERM)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about forks beside threads
            pid = os.fork()
        if pid == 0:
            code = 99
            try:
                with safe_point():
                    inherited = len(heard)
                signal.raise_signal(TERM)
                code = 10 * inherited + len(heard)
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 1


@pytest.mark.parametrize("inside", [True, False])
def test_a_handler_of_the_application_is_called(inside):
    """It gets the number and a frame, and is restored; it may return, and the next signal waits as well."""
    heard, order = [], []
    before = signal.signal(TERM, lambda number, frame: (heard.append(number), order.append("heard")))
    try:
        installed = signal.getsignal(TERM)
        with interrupts_at_safe_points():
            for _ in range(2):
                if inside:
                    with safe_point():
                        signal.raise_signal(TERM)
                else:
                    signal.raise_signal(TERM)
                    order.append("waits")
                    with safe_point():
                        pass
        assert signal.getsignal(TERM) is installed
    finally:
        signal.signal(TERM, before)
    assert heard == [TERM, TERM]
    assert order == (["heard"] * 2 if inside else ["waits", "heard"] * 2)


def test_a_handler_that_was_installed_meanwhile_stays():
    """A node may install one."""
    before, own = signal.getsignal(INT), signal.SIG_IGN
    try:
        with interrupts_at_safe_points():
            signal.signal(INT, own)
        assert signal.getsignal(INT) == own
    finally:
        signal.signal(INT, before)


def test_blocks_can_be_nested():
    """A node may run a pipeline: the inner block is interrupted at its own safe points, and so is the outer one afterwards."""
    before, done = signal.getsignal(INT), []

    def hold(name):
        with interrupts_at_safe_points():
            press()
            done.append(f"{name}, held")
            with safe_point():
                done.append("never")

    def run():
        with interrupts_at_safe_points():
            with safe_point():
                with pytest.raises(KeyboardInterrupt):
                    hold("inner")
                done.append("after the inner one")
            press()
            done.append("outer, held")
            with safe_point():
                done.append("never")

    with pytest.raises(KeyboardInterrupt):
        run()
    assert done == ["inner, held", "after the inner one", "outer, held"]
    assert signal.getsignal(INT) is before


def test_other_threads_are_not_concerned():
    """Signals are handled in the main thread; a safe point of another thread does not open the main thread's block."""
    done = []

    def work():
        with interrupts_at_safe_points(), safe_point():
            done.append("worked")

    def run():
        with interrupts_at_safe_points():
            press()
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            done.append("held")
            with safe_point():
                done.append("never")

    with pytest.raises(KeyboardInterrupt):
        run()
    assert done == ["worked", "held"]
