"""A recorded run is read back as what repeats it."""

from __future__ import annotations

import pytest

from treadle.errors import SessionError
from treadle.events import Outcome
from treadle.observe.store import RunRecord, SessionRecord
from treadle.observe.store.diff import ABSENT, Change
from treadle.session.facts import installed_versions
from treadle.session.rerun import Rerun, changes_since, rerun_of

ARGUMENTS = {
    "pipeline_names": ["train"],
    "tags": ["fast"],
    "load_versions": {"model": "v1"},
    "runner": "parallel",
    "runner_params": {"max_workers": 2},
}
RUN = RunRecord(1, "a", ("train",), "parallel", "spawn", 2, 0.0, 1.0, Outcome.SUCCEEDED, ARGUMENTS)


def record(tmp_path, **changes):
    made = SessionRecord(
        "a",
        str(tmp_path),
        "shop",
        "prod",
        str(tmp_path / "conf"),
        {"model": {"depth": 5}},
        "treadle run",
        0.0,
        2.0,
        Outcome.SUCCEEDED,
        "ada",
        "loom",
        1,
        None,
        None,
        {},
        installed_versions(),
        (RUN,),
    )
    return made._replace(**changes)


def test_everything_that_was_given_comes_back(tmp_path):
    """Environment, params and arguments are those of the record; the usual configuration stays the usual one."""
    assert rerun_of(record(tmp_path), default_conf_source="conf") == Rerun("prod", None, {"model": {"depth": 5}}, ARGUMENTS)


def test_another_conf_source_is_kept(tmp_path):
    """Configuration that was read elsewhere is read there again."""
    other = str(tmp_path / "other.zip")
    assert rerun_of(record(tmp_path, conf_source=other), default_conf_source="conf").conf_source == other


def test_the_last_run_counts(tmp_path):
    """A session that ran again after a failure is repeated by its last run."""
    first = RUN._replace(params={"tags": ["slow"]})
    assert rerun_of(record(tmp_path, runs=(first, RUN)), default_conf_source="conf").arguments == ARGUMENTS


def test_params_lie_over_the_recorded_ones(tmp_path):
    """Params given now win, and those beside them stay."""
    rerun = rerun_of(record(tmp_path), default_conf_source="conf", params={"model": {"rate": 1}, "day": 2})
    assert rerun.extra_params == {"model": {"depth": 5, "rate": 1}, "day": 2}


@pytest.mark.parametrize(
    "params", [{"api": {"token": "***"}}, {"api": {"token": "postgresql://ada:***@loom/db"}}, {"api": {"token": ["***"]}}]
)
def test_secrets_have_to_be_given_again(tmp_path, params):
    """Masked params are refused by name, until they are given."""
    masked = record(tmp_path, extra_params=params)
    with pytest.raises(SessionError, match=r"--params api\.token=") as caught:
        rerun_of(masked, default_conf_source="conf")
    assert caught.value.session_id == "a"
    given = rerun_of(masked, default_conf_source="conf", params={"api": {"token": "abc"}})
    assert given.extra_params == {"api": {"token": "abc"}}


def test_secrets_of_the_runner_cannot_be_repeated(tmp_path):
    """A masked argument of the runner is refused too."""
    run = RUN._replace(params={"runner_params": {"password": "***"}})
    with pytest.raises(SessionError, match="--runner-params password="):
        rerun_of(record(tmp_path, runs=(run,)), default_conf_source="conf")


def test_data_of_a_program_cannot_be_repeated(tmp_path):
    """A run that was given values for its inputs is refused, because no record holds them."""
    run = RUN._replace(params={"inputs": ["orders"]})
    with pytest.raises(SessionError, match="for orders"):
        rerun_of(record(tmp_path, runs=(run,)), default_conf_source="conf")


def test_a_session_without_a_run(tmp_path):
    """There is nothing to repeat where nothing ran."""
    with pytest.raises(SessionError, match="before a run began"):
        rerun_of(record(tmp_path, runs=()), default_conf_source="conf")


def test_what_is_not_as_it_was(tmp_path):
    """Another commit, another Python and other packages are named; what is the same is not."""
    assert changes_since(record(tmp_path)) == ()
    versions = {**installed_versions(), "python": "2.7", "gone": "1"}
    assert changes_since(record(tmp_path, git_commit="abc", versions=versions)) == (
        Change("commit", "abc", ABSENT),
        Change("gone", "1", ABSENT),
        Change("python", "2.7", installed_versions()["python"]),
    )
