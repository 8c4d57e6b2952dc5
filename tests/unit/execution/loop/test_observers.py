"""Observers: each receives every event, and one that raises is disabled."""

from __future__ import annotations

import logging

import pytest

from treadle.events import RunFinished
from treadle.execution.loop.observers import Observers


def test_each_observer_receives_every_event_in_order():
    """Observers are called one after the other, each with every event."""
    seen = []
    observers = Observers([lambda event: seen.append(("first", event)), lambda event: seen.append(("second", event))])
    observers.notify("a")
    observers.notify("b")
    assert seen == [("first", "a"), ("second", "a"), ("first", "b"), ("second", "b")]


def test_an_observer_that_raises_is_disabled_and_logged_once(caplog):
    """It receives no more events; the others do; its traceback is logged with its name and the event's."""
    seen, calls = [], []

    def broken(event):
        calls.append(event)
        raise ZeroDivisionError("no denominator")

    observers = Observers([broken, seen.append])
    event = RunFinished("run", 0.0, None, (), ())
    for _ in range(3):
        observers.notify(event)
    assert (len(calls), len(seen)) == (1, 3)
    (record,) = caplog.records
    assert (record.levelno, record.exc_info[0]) == (logging.ERROR, ZeroDivisionError)
    assert "test_observers.test_an_observer_that_raises_is_disabled_and_logged_once.<locals>.broken" in record.getMessage()
    assert "RunFinished" in record.getMessage()
    assert observers.active == [seen.append]


def test_the_loop_sees_that_no_observer_is_active():
    """The loop asks for it, so that a run without observers makes no events."""

    def broken(_event):
        raise ValueError

    observers = Observers([broken])
    assert observers.active
    observers.notify("a")
    assert not observers.active
    assert not Observers([]).active


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_exceptions_that_end_the_process_pass_through(kind):
    """An interrupt that arrives inside an observer interrupts the run, and does not disable the observer."""

    def interrupted(_event):
        raise kind

    observers = Observers([interrupted])
    with pytest.raises(kind):
        observers.notify("a")
    assert observers.active


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_inside_an_observer_keeps_the_event_from_no_other(kind):
    """The observers that follow receive the event, and the interrupt passes through after them."""
    seen = []

    def interrupted(_event):
        raise kind

    observers = Observers([interrupted, seen.append])
    with pytest.raises(kind):
        observers.notify("a")
    assert seen == ["a"]


class Prepared:
    """An observer that prepares for the first node."""

    def __init__(self, error=None):
        self.calls = []
        self._error = error

    def before_first_node(self):
        self.calls.append("prepared")
        if self._error is not None:
            raise self._error

    def __call__(self, event):
        self.calls.append(event)


def test_observers_prepare_for_the_first_node(caplog):
    """Those that can are called; one that raises is disabled and logged, like one that raises while handling an event."""
    ready, broken, seen = Prepared(), Prepared(ZeroDivisionError("no store")), []
    observers = Observers([ready, broken, seen.append])
    observers.before_first_node()
    observers.notify("a")
    assert (ready.calls, broken.calls, seen) == (["prepared", "a"], ["prepared"], ["a"])
    (record,) = caplog.records
    assert "Prepared raised an exception while preparing for the first node" in record.getMessage()
