"""MachineLoad: what else a machine did while something was timed."""

from __future__ import annotations

from typing import NamedTuple

import psutil
import pytest

from treadle.cli.machine_load import MachineLoad


class Times(NamedTuple):
    user: float
    system: float
    idle: float
    iowait: float
    steal: float


@pytest.mark.parametrize(
    ("idle", "stolen", "says"),
    [
        (95.0, 0.0, []),
        (40.0, 0.0, ["other programs used up to 60 %", "load average 6.2"]),
        (95.0, 5.0, ["5 % of its processor time was stolen"]),
        (40.0, 5.0, ["60 %", "5 % of its processor time"]),
    ],
)
def test_a_busy_machine_is_told(monkeypatch, idle, stolen, says):
    """Other programs and stolen time are told where there is much of them; a quiet machine is not worth a word."""
    times = iter([Times(0, 0, 0, 0, 0), Times(20, 10, 60 - stolen, 10, stolen)])
    monkeypatch.setattr(psutil, "cpu_times", lambda: next(times))
    monkeypatch.setattr(psutil, "cpu_times_percent", lambda interval: Times(100.0 - idle, 0.0, idle, 0.0, 0.0))
    monkeypatch.setattr("os.getloadavg", lambda: (6.21, 5.0, 4.0))
    load = MachineLoad()
    load.sample()
    warning = load.warning()
    assert (warning is None) == (not says)
    for text in says:
        assert text in warning


def test_it_measures_this_machine():
    """A sample of the real machine is a percentage, whatever it is."""
    load = MachineLoad(interval=0.01)
    load.sample()
    assert 0.0 <= load._others[0] <= 100.0
