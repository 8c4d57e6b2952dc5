"""Treadle's Kedro plugin, which Kedro loads in every session of an environment where Treadle is installed."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import MagicMock, Mock

import pytest

pytest.importorskip("kedro", reason="the plugin is Kedro's")

from treadle.kedro.session import SessionInfo, SessionInfoPlugin


@pytest.mark.parametrize("stand_in", [Mock(), MagicMock(), object(), None, 5, Mock(spec=[])])
def test_its_hooks_accept_any_stand_in(stand_in):
    """A project's tests may replace the context and the run's parameters by anything."""
    plugin = SessionInfoPlugin()
    plugin.after_context_created(context=stand_in)
    plugin.before_pipeline_run(run_params=stand_in)
    assert plugin.take(Mock(), "run") == SessionInfo()


def test_a_session_is_known_while_its_context_lives():
    """The newest context of a hook manager counts; the plugin keeps none alive."""

    class Context:
        def __init__(self, env):
            self.project_path, self.env, self.config_loader, self._hook_manager = "/project", env, {}, manager

    manager = Mock()
    plugin = SessionInfoPlugin()
    first, second = Context("one"), Context("two")
    for context in (first, second):
        plugin.after_context_created(context=context)
    assert plugin.take(manager, None) == SessionInfo(Path("/project"), "two", {})
    del context, second
    assert plugin.take(manager, None).env == "one"
    assert plugin.take(Mock(), None) == SessionInfo()


def test_only_runs_of_the_treadle_runner_are_noted():
    """How a run was asked for is stored for Treadle's runner alone, and returned once."""
    plugin = SessionInfoPlugin()
    plugin.before_pipeline_run(run_params={"run_id": "a", "runner": "kedro.runner.SequentialRunner"})
    asked = {"run_id": "b", "runner": "treadle.kedro.ParallelRunner(…)", "tags": ["x"]}
    plugin.before_pipeline_run(run_params=asked)
    assert plugin.take(Mock(), "a").run_params == {}
    assert plugin.take(Mock(), "b").run_params == asked
    assert plugin.take(Mock(), "b").run_params == {}
