"""Signals and exit codes in words."""

from __future__ import annotations

import signal

import pytest

from treadle.exits import describe_exit, signal_name, signal_of


@pytest.mark.parametrize(
    ("exitcode", "words", "number"),
    [
        (None, "died (its exit code is unknown)", None),
        (-9, "was killed by SIGKILL", signal.SIGKILL),
        (-200, "was killed by signal 200", None),
        (7, "exited with code 7", None),
        (0, "exited with code 0", None),
    ],
)
def test_an_exit_code_in_words(exitcode, words, number):
    """Signals are named where they have a name; exit codes are numbers."""
    assert describe_exit(exitcode) == words
    assert signal_of(exitcode) is number


def test_the_name_of_a_signal():
    """A signal without a name, such as a real-time one, is a number."""
    assert [signal_name(number) for number in (15, 200)] == ["SIGTERM", "signal 200"]
