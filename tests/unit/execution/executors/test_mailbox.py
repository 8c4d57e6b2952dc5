"""The mailbox: what has arrived stays until the reader has handled it."""

from __future__ import annotations

import threading

import pytest

from treadle.execution.executors.mailbox import Mailbox


@pytest.fixture
def box():
    return Mailbox()


def refuse(items, wrong, error):
    """Return a function that collects items, and raises an error at one of them for the first time."""
    errors = [error]

    def handle(item):
        if item == wrong and errors:
            raise errors.pop()
        items.append(item)

    return handle


def test_items_are_handled_in_order(box):
    """Once each; waiting does not remove them."""
    handled = []
    for item in "abc":
        box.put(item)
    assert box.wait(60)
    assert box.wait(60)
    assert not box.handle_all(handled.append)
    assert not box.handle_all(handled.append)
    assert handled == ["a", "b", "c"]


@pytest.mark.parametrize(("error", "then"), [(KeyboardInterrupt, ["a", "b", "c"]), (ValueError, ["a", "c"])])
def test_an_interrupt_keeps_the_item_that_was_being_handled(box, error, then):
    """An item whose handling fails is not handled again: it would fail for ever."""
    handled = []
    handle = refuse(handled, "b", error())
    for item in "abc":
        box.put(item)
    with pytest.raises(error):
        box.handle_all(handle)
    assert box.wait(60)
    box.handle_all(handle)
    assert handled == then


def test_an_empty_mailbox_waits_for_the_timeout_only(box):
    """Arrivals of items that were handled do not end a later wait."""
    for item in range(5):
        box.put(item)
    box.handle_all(lambda _item: None)
    assert not box.wait(0)
    assert not box.wait(0.001)
    assert not box.wait(-1)


@pytest.mark.parametrize("woken", [False, True])
def test_a_reader_is_woken_by_another_thread(box, woken):
    """By an item, or by a call of `wake`, which is no item."""
    handled = []
    thread = threading.Thread(target=box.wake if woken else lambda: box.put("late"))
    thread.start()
    assert box.wait()
    assert box.handle_all(handled.append) == woken
    assert handled == ([] if woken else ["late"])
    thread.join()
