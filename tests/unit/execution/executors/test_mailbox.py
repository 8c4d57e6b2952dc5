"""The mailbox: what has arrived stays until the reader has handled it."""

from __future__ import annotations

import threading

from treadle.execution.executors.mailbox import Mailbox


def test_items_stay_until_they_are_removed():
    """Waiting again returns at once, with the same first item: an interrupt between the two loses nothing."""
    box = Mailbox()
    box.put("one")
    box.put("two")
    assert box.wait(60)
    assert box.wait(60)
    assert list(box.items) == ["one", "two"]


def test_an_empty_mailbox_waits_for_the_timeout_only():
    """Arrivals that were handled long ago do not end a later wait, nor does it take forever."""
    box = Mailbox()
    for item in range(5):
        box.put(item)
    assert box.wait()
    box.items.clear()
    assert not box.wait(0)
    assert not box.wait(0.001)


def test_a_reader_is_woken_by_another_thread():
    """`wait` without a timeout returns when something is put."""
    box = Mailbox()
    thread = threading.Thread(target=box.put, args=("late",))
    thread.start()
    assert box.wait()
    assert box.items.popleft() == "late"
    thread.join()
