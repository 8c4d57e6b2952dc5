"""Signals and exit codes in words.

An exit code is as in `subprocess`: negative for a signal; None if it is unknown. State: none.
"""

from __future__ import annotations

import signal


def signal_of(exitcode: int | None) -> signal.Signals | None:
    """Return the signal that ended a process; None if none did, if it has no name on this system, or if the code is unknown."""
    if exitcode is None or exitcode >= 0:
        return None
    try:
        return signal.Signals(-exitcode)
    except ValueError:
        return None


def signal_name(number: int) -> str:
    """Return the name of a signal, such as `SIGTERM`; `signal 200` if it has none."""
    known = signal_of(-number)
    return known.name if known is not None else f"signal {number}"


def describe_exit(exitcode: int | None) -> str:
    """Describe how a process ended, as the predicate of a sentence."""
    if exitcode is None:
        return "died (its exit code is unknown)"
    return f"exited with code {exitcode}" if exitcode >= 0 else f"was killed by {signal_name(-exitcode)}"
