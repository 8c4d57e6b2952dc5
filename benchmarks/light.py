"""The functions of the tasks that measure engines rather than work; a worker imports nothing else for them."""

from __future__ import annotations

import time
from typing import Any

SHORT_SECONDS = 0.01
LONG_SECONDS = 0.1
BUSY_SECONDS = 0.001
NAP_SECONDS = 0.05


def noop(*_inputs: Any) -> int:
    """Do nothing: what is measured is the engine."""
    return 1


def wait_short(_source: Any) -> int:
    """Take a little time, without the processor."""
    time.sleep(SHORT_SECONDS)
    return 1


def wait_long(_before: Any) -> int:
    """Take ten times as much."""
    time.sleep(LONG_SECONDS)
    return 1


def busy(_source: Any) -> int:
    """Compute for a millisecond of the processor's time."""
    end = time.process_time() + BUSY_SECONDS
    while time.process_time() < end:
        pass
    return 1


def add_up(_source: Any) -> int:
    """Compute some hundredths of a second in pure Python."""
    total = 0
    for number in range(300_000):
        total += number * number % 7
    return total


def nap(_source: Any) -> int:
    """Wait, like a node that calls a service."""
    time.sleep(NAP_SECONDS)
    return 1
