"""The registry of secrets, and masking them in texts, exceptions and log records."""

from __future__ import annotations

import base64
import io
import json
import logging
import traceback
import tracemalloc
from urllib.parse import quote, quote_plus

import pytest

from treadle.errors import ConfigError, TreadleError
from treadle.execution.attempt.failure import record_failure, restore_exception
from treadle.secrets import known_secrets, mask_secrets, masked_exception, register_secrets, summary_of
from treadle.secrets.known import MAX_SECRETS

SECRET = "p@ss 'w\"ord/\u00e9\\"


def test_nothing_is_masked_before_anything_is_registered() -> None:
    """A process without secrets shows texts as they are."""
    assert mask_secrets("hunter2") == "hunter2"


@pytest.mark.parametrize(
    "spelling",
    [SECRET, repr(SECRET), json.dumps(SECRET), json.dumps(SECRET, ensure_ascii=False), quote(SECRET), quote(SECRET, safe=""),
     quote_plus(SECRET), base64.b64encode(SECRET.encode()).decode(), repr({"k": SECRET})],
)  # fmt: skip
def test_every_spelling_is_masked(spelling: str) -> None:
    """A secret is found as it is, and as a repr, JSON or a URL shows it."""
    register_secrets({"a": [SECRET]})
    shown = mask_secrets(f"before {spelling} after")
    assert "***" in shown
    assert "ord" not in shown
    assert shown.startswith("before ")
    assert shown.rstrip("=").endswith(" after")


def test_what_is_registered() -> None:
    """Values at any depth, numbers and bytes too; not what is too short, nor what says nothing."""
    register_secrets({"a": {"b": ["abcd", "abc", None, True, "true", 12345, 12, b"bytes1"]}, "k": iter([{"x": "efgh"}])})
    assert known_secrets() == ("abcd", "12345", "bytes1", "efgh")


def test_short_secrets_are_masked_as_words_only() -> None:
    """Four letters are not cut out of longer words."""
    register_secrets("data")
    assert mask_secrets("data, metadata, data/x, 'data'") == "***, metadata, ***/x, '***'"


def test_a_longer_secret_wins_over_one_it_begins_with() -> None:
    """No rest of the longer one stays."""
    register_secrets(["abcdef", "abcdefghi"])
    assert mask_secrets("abcdefghi abcdef") == "*** ***"


def test_ever_new_secrets_take_little_memory() -> None:
    """A service may get a new token with each run; nothing is kept for each set of secrets that a text was searched for."""
    tracemalloc.start()
    try:
        for number in range(100):
            register_secrets(f"token/{number}/" + 50 * "x")
            assert mask_secrets("nothing") == "nothing"
        used, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 500_000


def test_lines_of_a_key_are_masked() -> None:
    """A key of several lines is masked also where each line has something before it."""
    register_secrets("-----BEGIN X-----\nMIIBVgIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END X-----")
    assert "hkiG" not in mask_secrets("  | MIIBVgIBADANBgkq\n  | hkiG9w0BAQEFAASC")


def test_the_oldest_are_dropped() -> None:
    """A service with a new token for each request does not grow without end."""
    register_secrets([f"token-{number:06d}" for number in range(MAX_SECRETS + 5)])
    assert len(known_secrets()) == MAX_SECRETS
    assert known_secrets()[0] == "token-000005"


class OddError(Exception):
    """An exception with a text of its own making."""

    def __init__(self, *, token: str) -> None:
        super().__init__()
        self.token = token

    def __str__(self) -> str:
        return f"refused {self.token}"


class StubbornError(Exception):
    """An exception that keeps its text to itself."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        super().__init__()
        object.__setattr__(self, "_text", text)

    def __str__(self) -> str:
        return object.__getattribute__(self, "_text")

    def __setattr__(self, name: str, value: object) -> None:
        if name == "_text":
            raise AttributeError(name)
        super().__setattr__(name, value)


def _raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    with pytest.raises(type(error)) as caught:
        raise error from cause
    return caught.value


@pytest.mark.parametrize(
    "make",
    [
        lambda: ValueError("bad token hunter2!"),
        lambda: ValueError({"token": "hunter2!"}, ["hunter2!"]),
        lambda: KeyError("hunter2!"),
        lambda: OSError(5, "cannot use hunter2!", "/x/hunter2!"),
        lambda: OddError(token="hunter2!"),
        lambda: SyntaxError("bad", ("f", 1, 1, "hunter2!")),
        lambda: ValueError(b"hunter2!"),
    ],
    ids=["text", "nested", "key", "os", "attribute", "syntax", "bytes"],
)
def test_exceptions_are_masked_in_place(make) -> None:
    """Class and identity stay; text, arguments and attributes, causes and contexts, lose the secret."""
    register_secrets("hunter2!")
    for error in (_raised(make()), _raised(RuntimeError("outer"), _raised(make()))):
        masked = masked_exception(error)
        assert masked is error
        text = "".join(traceback.format_exception(type(masked), masked, masked.__traceback__))
        assert "hunter2!" not in text.replace("make()", "")
        assert "***" in text


def test_a_note_is_masked() -> None:
    """Notes are part of what a traceback shows."""
    register_secrets("hunter2!")
    error = ValueError("x")
    error.__dict__["__notes__"] = ["with hunter2!"]
    assert masked_exception(error).__dict__["__notes__"] == ["with ***"]


def test_an_exception_that_cannot_be_changed_is_replaced() -> None:
    """Alone or as a cause; what takes its place says which it was."""
    register_secrets("hunter2!")
    assert str(masked_exception(StubbornError("no hunter2!"))) == f"{__name__}.StubbornError: no ***"
    error = _raised(RuntimeError("outer"), StubbornError("no hunter2!"))
    assert masked_exception(error) is error
    assert str(error.__cause__) == f"{__name__}.StubbornError: no ***"
    assert error.__suppress_context__


def test_an_exception_without_secrets_stays_as_it_is() -> None:
    """Nothing of it is copied or changed."""
    register_secrets("hunter2!")
    arguments = ([1], {"a": "b"})
    error = ValueError(*arguments)
    error.__context__ = KeyError("x")
    assert masked_exception(error) is error
    assert error.args[0] is arguments[0]
    assert not error.__suppress_context__


class SilentError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "summary"),
    [
        (ValueError("hunter2! is\n  wrong"), "ValueError: *** is wrong"),
        (OSError("postgresql://me:other@host"), "OSError: postgresql://me:***@host"),
        (KeyError(), "KeyError"),
        (SilentError(), "SilentError"),
    ],
    ids=["registered", "recognised by its form", "no message", "no text"],
)
def test_an_exception_in_one_line(error: Exception, summary: str) -> None:
    """Its text has no secret, and need not exist."""
    register_secrets("hunter2!")
    assert summary_of(error) == summary


def test_failures_are_recorded_without_secrets() -> None:
    """Text, traceback and the pickled exception; the type stays that of what was raised."""
    register_secrets("hunter2!")
    for error in (_raised(ValueError("hunter2!"), OSError("hunter2!")), _raised(StubbornError("hunter2!"))):
        failure = record_failure(error, phase="run")
        assert "hunter2!" not in repr(failure).replace('"hunter2!"', "")
        assert failure.message == "***"
        assert "hunter2!" not in str(restore_exception(failure))
    assert failure.type_name == f"{__name__}.StubbornError"


def test_messages_of_our_errors_are_masked() -> None:
    """Wherever the value came from: an error's message shows no secret."""
    register_secrets("hunter2!")
    assert str(ConfigError("'hunter2!' is no number", key="a")) == "'***' is no number"
    assert str(TreadleError("hunter2!")) == "***"


def test_log_records_are_masked_for_every_handler() -> None:
    """Message, arguments and traceback; a record without secrets keeps its arguments."""
    register_secrets("hunter2!")
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    taken: list[logging.LogRecord] = []
    handler.addFilter(lambda record: taken.append(record) or True)
    logger = logging.getLogger("treadle.test.secrets")
    logger.propagate = False
    logger.addHandler(handler)
    try:
        logger.warning("token %s", "hunter2!")
        logger.warning("number %d", 5)
        logger.error("failed", exc_info=_raised(ValueError("hunter2!")))
    finally:
        logger.removeHandler(handler)
    text = written.getvalue()
    assert "token ***\nnumber 5\nfailed\nTraceback" in text
    assert "ValueError: ***" in text
    assert "ValueError: hunter2!" not in text
    assert taken[1].args == (5,)
