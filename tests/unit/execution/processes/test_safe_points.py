import signal
import threading

import pytest

from treadle.execution.processes.safe_points import interrupts_at_safe_points, safe_point

INT, TERM = signal.SIGINT, signal.SIGTERM


def press(times=1):
    """Send SIGINT to this thread."""
    for _ in range(times):
        signal.raise_signal(INT)


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


def test_the_second_signal_does_not_wait():
    """A program that hangs between safe points can be ended."""
    done = []

    def run():
        with interrupts_at_safe_points():
            press(2)
            done.append("never")

    with pytest.raises(KeyboardInterrupt):
        run()
    assert done == []


def test_there_is_no_safe_point_after_an_interrupt():
    """What the run does after an interrupt is complete, also if the user presses Ctrl-C once more; a third one ends it."""
    done = []

    def run(times):
        with interrupts_at_safe_points():
            try:
                with safe_point():
                    press()
            except KeyboardInterrupt:
                with safe_point():
                    press(times)
                    done.append("reported")
                raise

    with pytest.raises(KeyboardInterrupt):
        run(1)
    assert done == ["reported"]
    with pytest.raises(KeyboardInterrupt):
        run(2)
    assert done == ["reported"]


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
