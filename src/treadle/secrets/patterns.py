"""Mask secrets that are recognised by their form: passwords in URLs and connection strings, tokens with a fixed prefix.

A text can be an error message of a megabyte without white space, so no pattern may look at the rest of the text again from each
of its characters. A setting is only looked for at the beginning of a word, and a password where an "@" follows.

State: none. Neighbours: `names.py` recognises the names of secrets, `known.py` masks registered values.
"""

from __future__ import annotations

import re
from functools import cache

from treadle.secrets.known import MASK, mask_secrets
from treadle.secrets.names import SECRET_WORDS, UNMISTAKABLE_WORDS, looks_secret

# A password may contain "/" and "@", though a correct URL would encode them, so it ends at the last "@" before white space.
_ADDRESS_PASSWORD = re.compile(r"(?<=://)(?P<user>[^\s/@:]*):(?P<password>\S+)@")
_BARE_PASSWORD = re.compile(r"(?<![\w/:@.])(?P<user>[\w.%+-]+):(?P<password>[^\s:][^\s]*)@(?=[\w\[])")
_PIECE = re.compile(r"\S+")
_TOKENS = r"""
      \beyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*)?                                   # JSON web token
    | \b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}\b                                 # AWS
    | \b(?:gh[pousr]_|github_pat_|glpat-|gldt-|npm_|hf_|pypi-)[\w-]{16,}      # GitHub, GitLab, npm, Hugging Face, PyPI
    | \bxox[abeoprs]-[\w-]{10,}                                               # Slack
    | \b(?:sk|rk)_(?:live|test)_\w{10,}                                       # Stripe
    | \bsk-(?=[\w-]*\d)(?=[\w-]*[A-Z])[\w-]{24,}                               # OpenAI and Anthropic
    | \bAIza[\w-]{35}                                                         # Google
    | \bdapi[0-9a-f]{32}                                                      # Databricks
    | (?<=[Bb]earer\ )[\w.~+/=-]{8,}
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----(?:.*?-----END\ [A-Z ]*PRIVATE\ KEY-----|[\w+/=\s\\]*)
    """
_SETTING = re.compile(
    r"(?<![\w.\-])(?P<before>(?:[^\WA-Za-z_]|[.\-])*)(?P<name>[A-Za-z_][\w.\-]*)=(?P<value>\{[^}]*\}?|[^;&\s,\"']+)"
)


def mask_text(text: str) -> str:
    """Mask all that is a registered secret or looks like a secret in free text.

    Args:
        text: any text.

    Returns:
        The text without registered secrets and without everything that `mask_patterns` masks.
    """
    return mask_patterns(mask_secrets(text))


def mask_patterns(text: str) -> str:
    """Mask everything that looks like a secret in free text, such as an error message.

    Args:
        text: any text.

    Returns:
        The text without passwords in URLs (`postgresql://user:password@host`), without values of settings with an unmistakable
        name (`Pwd=…;`, `?access_token=…`), and without tokens of a fixed form.
    """
    if "://" in text:
        text = _mask_passwords(_ADDRESS_PASSWORD, text)
    return _compiled_tokens().sub(MASK, _mask_settings(text, UNMISTAKABLE_WORDS))


def mask_setting(text: str) -> str:
    """Mask everything that looks like a secret in the value of a parameter or an environment variable.

    Args:
        text: the value, such as a connection string.

    Returns:
        The text without everything that `mask_patterns` masks, without settings with any secret name (`&sig=…`, `AccountKey=…;`),
        and without the password in `user:password@host`.
    """
    text = _mask_settings(mask_patterns(text), SECRET_WORDS)
    return text if "://" in text else _mask_passwords(_BARE_PASSWORD, text)


def _mask_passwords(pattern: re.Pattern[str], text: str) -> str:
    def mask(piece: re.Match[str]) -> str:
        end = piece[0].rfind("@") + 2  # a pattern may look at the character after the "@"
        return pattern.sub(rf"\g<user>:{MASK}@", piece[0][:end]) + piece[0][end:]

    return _PIECE.sub(mask, text) if "@" in text else text


def _mask_settings(text: str, words: frozenset[str]) -> str:
    if "=" not in text:
        return text

    def mask(found: re.Match[str]) -> str:
        return f"{found['before']}{found['name']}={MASK}" if looks_secret(found["name"], words) else found[0]

    return _SETTING.sub(mask, text)


@cache
def _compiled_tokens() -> re.Pattern[str]:
    return re.compile(_TOKENS, re.VERBOSE | re.DOTALL)  # compiled on first use, because it doubles the import time
