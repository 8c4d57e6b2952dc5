"""Secrets in what is recorded."""

from __future__ import annotations

import pytest

from treadle.session.masking import looks_secret, mask_command, mask_known, mask_params, mask_text, secret_values


@pytest.mark.parametrize(
    "name",
    ["password", "db_password", "PGPASSWORD", "apiKey", "API_KEY", "api-key", "apikey", "AWS_SECRET_ACCESS_KEY", "token",
     "accessToken", "authtoken", "GITHUB_TOKEN", "credentials", "pwd", "--token", "client_secret", "key", "dsn"],
)  # fmt: skip
def test_secret_names(name: str) -> None:
    """Names that promise a secret, in every way of writing them."""
    assert looks_secret(name)


@pytest.mark.parametrize(
    "name", ["tokenizer", "max_tokens", "keyboard", "monkey", "join_keys", "author", "spin", "", "path", "pattern"]
)
def test_harmless_names(name: str) -> None:
    """Names that only sound like one."""
    assert not looks_secret(name)


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


def test_known_secrets_are_found_in_texts() -> None:
    """What is masked in params is masked wherever it turns up, unless it is too short to be told from a word."""
    known = secret_values(
        {"db": {"password": "hunter2", "pin": 12, "user": "ada"}, "tokens": 3, "token": ["abcd", {"x": "efgh"}]}
    )
    assert known == {"hunter2", "abcd", "efgh"}
    assert mask_known("cannot log in with hunter2 as ada", known) == "cannot log in with *** as ada"


def test_addresses_keep_their_user() -> None:
    """Only the password of an address goes."""
    assert mask_text("see https://host/path and redis://:pw@host") == "see https://host/path and redis://:***@host"
