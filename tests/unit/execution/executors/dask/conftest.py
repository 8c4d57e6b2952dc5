"""An event loop whose clock a test can set forward, as if a machine of the cluster had been slow."""

from __future__ import annotations

import asyncio

import pytest


class SlowClusterLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock is set forward."""

    late = 0.0

    def time(self):
        return super().time() + self.late


async def answer_late(seconds):
    """Let seconds pass, and everything happen that is due then."""
    asyncio.get_running_loop().late += seconds
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def late():
    """Let the seconds pass that a coroutine of `run_slowly` awaits."""
    return answer_late


@pytest.fixture
def run_slowly():
    """`run_slowly(coroutine)`: run a coroutine on an event loop whose clock can be set forward."""

    def run(coroutine):
        loop = SlowClusterLoop()
        try:
            return loop.run_until_complete(coroutine)
        finally:
            loop.close()

    return run
