"""Secrets in what is recorded."""

from __future__ import annotations

import shlex

import pytest

from treadle.session.masking import mask_command, mask_params, secret_params


def test_params_are_masked_at_every_depth() -> None:
    """Values under secret names are masked with all that is in them; the rest is copied; None and bools stay."""
    params = {
        "model": {"a": 1, "api_key": "abc"},
        "stores": [{"url": "postgresql://ada:hunter2@host/db", "password": 1234}],
        "credentials": {"user": "ada"},
        "token": None,
        "secret": False,
    }
    assert mask_params(params) == {
        "model": {"a": 1, "api_key": "***"},
        "stores": [{"url": "postgresql://ada:***@host/db", "password": "***"}],
        "credentials": "***",
        "token": None,
        "secret": False,
    }
    assert params["model"] == {"a": 1, "api_key": "abc"}


@pytest.mark.parametrize(
    ("command", "masked"),
    [
        ("treadle run --params model.a=5,env=x", "treadle run --params model.a=5,env=x"),
        ("treadle run --params db.password=hunter2,a=1", "treadle run --params 'db.password=***,a=1'"),
        ("treadle run --params=api_key=abc", "treadle run '--params=api_key=***'"),
        ("treadle run --params='api_key=abc,x=1'", "treadle run '--params=api_key=***,x=1'"),
        ("treadle run --password hunter2 -r parallel", "treadle run --password '***' -r parallel"),
        ("treadle run --password=hunter2", "treadle run '--password=***'"),
        ("treadle run --params url=s3://a:b@c/d", "treadle run --params 'url=s3://a:***@c/d'"),
        ("treadle run --params 'password=\"hunter2, hunter2\",a=1'", "treadle run --params 'password=***,a=1'"),
        ("treadle run --params 'password=[hunter2, hunter2]'", "treadle run --params 'password=***'"),
        ("treadle run --params password=x=hunter2,a=1", "treadle run --params 'password=***,a=1'"),
        ("treadle run --params password=,a=1", "treadle run --params 'password=***,a=1'"),
        ("treadle run --params \"it's, password=hunter2", "treadle run --params '\"it'\"'\"'s,' 'password=***'"),
    ],
)
def test_commands_are_masked(command: str, masked: str) -> None:
    """A command without secrets stays as it was typed, to the letter; in others the secret goes."""
    result = mask_command(command)
    assert result == masked
    assert "hunter2" not in result


def test_secret_params_are_found() -> None:
    """The values that are masked for their names, whatever they are made of."""
    params = {"db": {"password": "hunter2", "user": "ada"}, "tokens": 3, "token": ["abcd", {"x": "efgh"}], "a": [{"key": 1}]}
    assert list(secret_params(params)) == ["hunter2", ["abcd", {"x": "efgh"}], 1]


def test_a_connection_string_is_masked_in_params_as_in_the_command() -> None:
    """The name of the param says nothing, its value does."""
    assert mask_params({"conn": "Server=x;Password=abcd"}) == {"conn": "Server=x;Password=***"}
    assert (
        mask_command("treadle run --params 'conn=Server=x;Password=abcd'") == "treadle run --params 'conn=Server=x;Password=***'"
    )


@pytest.mark.timeout(60)
def test_a_long_word_on_the_command_line_takes_no_longer_than_others() -> None:
    """A param may be a long sequence; an assignment is found at the beginnings of words only."""
    long = "ACGT" * 25_000
    masked = mask_command(f"treadle run --params=sequence:{long},9-password:x")
    assert shlex.split(masked) == ["treadle", "run", f"--params=sequence:{long},9-password:***"]
