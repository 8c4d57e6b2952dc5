"""Which names announce a secret: of parameters, environment variables, flags and settings in connection strings.

Names are compared word by word (`apiKey`, `API_KEY` and `api-key` are alike), so `token` is secret and `tokenizer` is not. It is
better to mask one harmless value too many than to keep one password: records are read and shared.

Why these lists are our own: detect-secrets, the best-kept collection of patterns, looks for literals in source code. Of the
texts that a run has to mask (`SLURM_JWT=…`, `?password=…`, `&sig=…`, `Pwd=…;`, `user:pa/ss@host`, `db.password=…`) its named
detectors find none, because they ask for quotes around the value; only its entropy detectors react, to every word of the line. It
imports `requests`, which takes 0.2 s. Its detectors of tokens with a fixed form are what `patterns.py` covers.

Keeps no state.
"""

from __future__ import annotations

import re

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
"""A name that contains one of these is secret, also where its words are not separated: PGPASSWORD."""

SECRET_ENDINGS = ("token", "jwt")
"""A name with a word that ends in one of these is secret: authtoken."""

_ACCOUNTS = frozenset(
    "account admin basic database db ftp ldap login mail mysql pg postgres proxy redis root smtp user".split()  # noqa: SIM905 - one a word
)
"""A name that ends in one of these words and `pass` is secret (DB_PASS); `first_pass` is not."""

UNMISTAKABLE_WORDS = SECRET_WORDS - {"auth", "cookie", "dsn", "key", "pat", "pin", "private", "sas", "sig", "signature"}
"""Words that announce a secret in running text as well, where `key=` may stand for anything."""

_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")


def looks_secret(name: str, words: frozenset[str] = SECRET_WORDS) -> bool:
    """Say whether a name announces a secret.

    Args:
        name: of a parameter, an environment variable, a flag or a setting.
        words: the words that do.

    Returns:
        True where its value must not be shown.
    """
    found = [word.lower() for word in _WORDS.findall(name)]
    joined = "".join(found)
    return (
        any(word in words or word.endswith(SECRET_ENDINGS) for word in found)
        or any(part in joined for part in SECRET_PARTS)
        or joined in words
        or (found[-1:] == ["pass"] and (len(found) == 1 or found[-2] in _ACCOUNTS))
    )
