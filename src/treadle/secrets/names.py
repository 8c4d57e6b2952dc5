"""Recognise names of secrets: of parameters, environment variables, flags and settings in connection strings.

Names are compared word by word (`apiKey`, `API_KEY` and `api-key` are the same), so `token` is secret and `tokenizer` is not. It
is better to mask a harmless value than to show a password, because records are read and shared.

The lists are our own because detect-secrets, the best maintained library of such patterns, looks for literals in source code. Its
named detectors require quotes around a value, so they find none of the texts that a run has to mask (`SLURM_JWT=…`,
`?password=…`, `&sig=…`, `Pwd=…;`, `user:pa/ss@host`, `db.password=…`), and its entropy detectors match every word of such a line.
It also imports `requests`, which takes 0.2 s. `patterns.py` covers its detectors of tokens with a fixed form.

State: a cache of the latest answers.
"""

from __future__ import annotations

import re
from functools import lru_cache

SECRET_WORDS = frozenset(
    {
        "auth",
        "authorization",
        "bearer",
        "cookie",
        "credential",
        "credentials",
        "dsn",
        "jwt",
        "key",
        "passcode",
        "passphrase",
        "passwd",
        "password",
        "passwords",
        "pat",
        "pin",
        "private",
        "pwd",
        "sas",
        "secret",
        "secrets",
        "sig",
        "signature",
        "token",
    }
)
"""A name with one of these words is secret."""

SECRET_PARTS = ("accesskey", "apikey", "credential", "passphrase", "passwd", "password", "secret", "sharedaccess")
"""A name that contains one of these is secret, even if its words are not separated: PGPASSWORD."""

SECRET_ENDINGS = ("token", "jwt")
"""A name with a word that ends in one of these is secret: authtoken."""

_ACCOUNTS = frozenset(
    "account admin basic database db ftp ldap login mail mysql pg postgres proxy redis root smtp user".split()  # noqa: SIM905 - shorter than a list
)
"""A name that ends in one of these words and `pass` is secret (DB_PASS); `first_pass` is not."""

UNMISTAKABLE_WORDS = SECRET_WORDS - {"auth", "cookie", "dsn", "key", "pat", "pin", "private", "sas", "sig", "signature"}
"""The words that mark a secret in free text too; there, `key=` may mean anything."""

_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")


@lru_cache(maxsize=2048)
def looks_secret(name: str, words: frozenset[str] = SECRET_WORDS) -> bool:
    """Return whether a name is the name of a secret.

    Args:
        name: of a parameter, an environment variable, a flag or a setting.
        words: the words that mark a secret.

    Returns:
        True if the value must not be shown.
    """
    found = [word.lower() for word in _WORDS.findall(name)]
    joined = "".join(found)
    return (
        any(word in words or word.endswith(SECRET_ENDINGS) for word in found)
        or any(part in joined for part in SECRET_PARTS)
        or joined in words
        or (found[-1:] == ["pass"] and (len(found) == 1 or found[-2] in _ACCOUNTS))
    )
