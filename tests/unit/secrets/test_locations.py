"""Locations of data are shown without credentials."""

from __future__ import annotations

import pytest

from treadle.secrets import without_credentials


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("data/raw.csv", "data/raw.csv"),
        ("data/key=5/report@2024#1.csv", "data/key=5/report@2024#1.csv"),
        ("s3://bucket/a#1/key=2/b@c.csv", "s3://bucket/a#1/key=2/b@c.csv"),
        ("https://user:pa/ss@w?rd@example.org:8080/x.csv", "https://example.org:8080/x.csv"),
        ("https://token@example.org/x.csv?X-Amz-Signature=abc#part", "https://example.org/x.csv"),
        ("abfs://container@account.dfs.core.windows.net/x.csv", "abfs://container@account.dfs.core.windows.net/x.csv"),
        ("abfs://user:pass@account/x.csv?sig=abc", "abfs://account/x.csv"),
        ("postgresql+psycopg://u:p@host/db?sslmode=off", "postgresql+psycopg://host/db"),
        ("simplecache::zip://*.csv::https://u:p@example.org/a.zip", "simplecache::zip://*.csv::https://example.org/a.zip"),
        ("DRIVER=x;Pwd=abc", "DRIVER=x;Pwd=***"),
        ("s3://bucket/ghp_abcdefghijklmnopqrst/x", "s3://bucket/***/x"),
    ],
)
def test_without_credentials(location, shown):
    """Users, passwords, queries and tokens are removed; what merely looks like one in a path stays."""
    assert without_credentials(location) == shown
