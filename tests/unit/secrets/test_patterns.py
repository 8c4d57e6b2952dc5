"""Secrets that are recognised by a name or by their form."""

from __future__ import annotations

import pytest

from treadle.secrets import looks_secret, mask_patterns, mask_setting


@pytest.mark.parametrize(
    "name",
    ["password", "db_password", "PGPASSWORD", "apiKey", "API_KEY", "api-key", "apikey", "AWS_SECRET_ACCESS_KEY", "token",
     "accessToken", "authtoken", "GITHUB_TOKEN", "credentials", "pwd", "--token", "client_secret", "key", "dsn", "SLURM_JWT",
     "CI_JOB_JWT", "CI_JOB_JWT_V2", "DB_PASS", "smtpPass", "pass", "sig", "SharedAccessKey", "X-Amz-Signature"],
)  # fmt: skip
def test_secret_names(name: str) -> None:
    """Names that announce a secret, in every way of writing them."""
    assert looks_secret(name)


@pytest.mark.parametrize(
    "name",
    ["tokenizer", "max_tokens", "keyboard", "monkey", "join_keys", "author", "spin", "", "path", "pattern", "first_pass",
     "n_passes", "compass", "sigma", "design"],
)  # fmt: skip
def test_harmless_names(name: str) -> None:
    """Names that only look like one."""
    assert not looks_secret(name)


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ("https://host/x?password=abcd&a=1", "https://host/x?password=***&a=1"),
        ("https://blob/x?a=1&sig=Zm9v%3D&b=2", "https://blob/x?a=1&sig=***&b=2"),
        ("Server=x;Uid=ada;Pwd=abcd;", "Server=x;Uid=ada;Pwd=***;"),
        ("Server=x;Pwd={ab;cd};Port=1", "Server=x;Pwd=***;Port=1"),
        ("postgresql://user:pa/ss@host/db", "postgresql://user:***@host/db"),
        ("postgresql://user:p@ss@host/db", "postgresql://user:***@host/db"),
        ("user:pa/ss@host", "user:***@host"),
        ("redis://:pw@host", "redis://:***@host"),
        (
            "Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=abc=",
            "Endpoint=sb://x/;SharedAccessKeyName=***;SharedAccessKey=***",
        ),
        ("Bearer abcdefgh12345", "Bearer ***"),
        ("AKIAIOSFODNN7EXAMPLE", "***"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-def", "***"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----\nnext", "***\nnext"),
        ("https://host/path", "https://host/path"),
        ("a=1,b=x", "a=1,b=x"),
        ("/usr/lib:/usr/local/lib", "/usr/lib:/usr/local/lib"),
        ("ada@host", "ada@host"),
        ("2026-01-31T12:00:00", "2026-01-31T12:00:00"),
    ],
)
def test_values_are_masked(value: str, masked: str) -> None:
    """Connection strings, addresses and tokens lose their secrets and nothing else."""
    assert mask_setting(value) == masked


def test_running_text_keeps_what_may_be_anything() -> None:
    """In an error's text only unmistakable names count."""
    text = "sorted(rows, key=len) failed: Pwd=abcd; see postgresql://ada:pw@host/db"
    assert mask_patterns(text) == "sorted(rows, key=len) failed: Pwd=***; see postgresql://ada:***@host/db"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("long", ["ACGT" * 500_000, "https://host:80/x," * 100_000, "a:b," * 500_000, "9" * 2_000_000])
def test_a_long_text_without_white_space_takes_no_longer_than_others(long: str) -> None:
    """The message of an exception may have megabytes of data in one piece. Settings and passwords around it are masked."""
    text = f"pwd=abc {long} x@y pwd=abc; bob:abc@host"
    masked = mask_setting(text)
    assert masked == f"pwd=*** {long} x@y pwd=***; bob:{'abc' if '://' in long else '***'}@host"
    assert mask_patterns(text).count("pwd=***") == 2
