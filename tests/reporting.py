"""Progress of the tests in whole lines, where tox runs several environments whose output goes to one pipe or file."""

from __future__ import annotations

import os
import sys
import time

import pytest

SECONDS = 15.0
"""So long after one line comes the next."""


def is_wanted():
    """Say whether tox runs these tests, and no terminal shows pytest's own line of dots."""
    return "TOX_ENV_NAME" in os.environ and not sys.stdout.isatty()


class ProgressLines:
    """A pytest plugin: a line now and then that says how far this environment is, and one for each failure.

    Args:
        config: pytest's, which is made as quiet as `-q` makes it.
    """

    def __init__(self, config):
        self._config = config
        self._name = os.environ["TOX_ENV_NAME"]
        self._total = self._done = self._failed = 0
        self._said = time.monotonic()
        config.option.verbose = min(config.option.verbose, -1)

    def pytest_collection_finish(self, session):
        self._total = len(session.items)
        self._say(f"{self._total} tests")

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self._failed += 1
            self._say(f"FAILED {report.nodeid}" + ("" if report.when == "call" else f" ({report.when})"))

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report):
        """Count a test as pytest does, and print no letter for it."""
        if hasattr(report, "wasxfail") or (report.passed and report.when != "call"):
            return None
        kind = "error" if report.failed and report.when != "call" else report.outcome
        return kind, "", kind.upper()

    def pytest_runtest_logfinish(self):
        self._done += 1
        if self._done == self._total or time.monotonic() - self._said >= SECONDS:
            failed = f", {self._failed} failed" if self._failed else ""
            self._say(f"{self._done * 100 // self._total} % of {self._total} tests{failed}")

    def _say(self, text):
        self._said = time.monotonic()
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.ensure_newline()
            reporter.write_line(f"[{self._name}] {text}")
            reporter.flush()
