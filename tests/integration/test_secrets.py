"""Credentials and secret parameters do not leave the process in any text, under every runner and start method."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

TOKEN = "tok/en+4711'x"
PASSWORD = "hunter2\\word"
GIVEN = "given-secret-9"
SECRETS = (TOKEN, repr(TOKEN)[1:-1], PASSWORD, repr(PASSWORD)[1:-1], GIVEN, "tok%2Fen")

FILES = {
    "pyproject.toml": '[tool.treadle]\npackage_name = "vault"\n',
    "src/vault/__init__.py": "",
    "src/vault/settings.py": "",
    "src/vault/store.py": """
import logging
import sys
from urllib.parse import quote

from treadle import Dataset


class RefusedError(Exception):
    def __init__(self, *, url):
        self.url = url
        super().__init__()

    def __str__(self):
        return f"refused: {self.url}"


class Vault(Dataset):
    def __init__(self, name, credentials):
        self.name = name
        self.token = credentials["token"]

    def load(self):
        logging.getLogger("vault.store").warning("opening with %s", {"token": self.token})
        if self.name == "cause":
            try:
                raise KeyError(self.token)
            except KeyError as exc:
                raise OSError(5, f"cannot open {self.token!r}", self.token) from exc
        if self.name == "odd":
            raise RefusedError(url=f"https://host/x?t={quote(self.token, safe='')}")
        return self.name

    def save(self, value):
        raise ValueError(f"cannot write with {self.token}")
""",
    "src/vault/nodes.py": """
import logging
from dataclasses import dataclass


@dataclass
class Login:
    user: str
    port: int


def take(value):
    return value


def use(value, password, given):
    log = logging.getLogger("vault.nodes")
    log.warning("with %s and %s", password, [given])
    try:
        raise RuntimeError(given)
    except RuntimeError:
        log.exception("it failed")
    raise ValueError(f"{password} is wrong", {"given": given})


def typed(login: Login):
    return login.user
""",
    "src/vault/pipeline_registry.py": """
from treadle.pipeline import Pipeline, node
from vault.nodes import take, typed, use


def register_pipelines():
    return {
        "__default__": Pipeline([
            node(take, "cause", "a", name="cause"),
            node(take, "odd", "b", name="odd"),
            node(take, "fine", "out", name="save"),
            node(use, ["fine", "params:db_password", "params:given_token"], "d", name="use"),
        ]),
        "typed": Pipeline([node(typed, "params:login", "e", name="typed")]),
    }
""",
    "conf/base/catalog.yml": "".join(
        f"{name}:\n  type: vault.store.Vault\n  name: {name}\n  credentials: vault\n" for name in ("cause", "odd", "fine", "out")
    ),
    "conf/base/parameters.yml": f"""
db_password: '{PASSWORD}'
given_token: none
login:
  user: ada
  port:
    token: "{TOKEN}"
""",
    "conf/local/credentials.yml": f'vault:\n  token: "{TOKEN}"\n',
}


@pytest.fixture
def vault(tmp_path):
    """A project whose datasets and nodes reveal what they were given."""
    root = tmp_path / "vault"
    for name, text in FILES.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def _flags(way):
    if way in ("sequential", "thread"):
        return (f"--runner={way}",)
    return ("--runner=parallel", f"--runner-params=max_workers=2,start_method={way}")


def _stored(root):
    """Everything that the record holds, as text."""
    with closing(sqlite3.connect(root / ".treadle" / "sessions.db")) as database:
        return "\n".join(database.iterdump())


def _assert_no_secret(text):
    assert [secret for secret in SECRETS if secret in text] == [], text


def test_nothing_shows_a_secret(treadle, vault, way):
    """Errors with their causes, log records, the record in the store, `sessions show` and the resume command show `***`."""
    command = ("run", *_flags(way), "--on-failure=continue", f"--params=given_token={GIVEN}")
    launched = treadle(vault, *command)
    assert launched.wait() == 1, launched.output
    _assert_no_secret(launched.output)
    said = launched.output.replace('"***"', "'***'")  # the token has a quote in it
    assert "opening with {'token': '***'}" in said
    assert "with *** and ['***']" in said
    assert "KeyError: '***'" in said
    assert "OSError: [Errno 5] cannot open '***': '***'" in said
    assert "RefusedError: refused: https://host/x?t=***" in said
    assert "ValueError: cannot write with ***" in said
    assert "ValueError: ('*** is wrong', {'given': '***'})" in said
    assert "--params='given_token=***'" in said or "'--params=given_token=***'" in said
    stored = _stored(vault)
    _assert_no_secret(stored)
    assert stored.count("cannot open") >= 2
    shown = treadle(vault, "sessions", "show", stored.partition('INSERT INTO "treadle_sessions" VALUES(\'')[2][:8])
    assert shown.wait() == 0, shown.output
    _assert_no_secret(shown.output)


def test_a_typed_parameter_from_a_file(treadle, vault):
    """A secret in a file that fails the check of a typed parameter is masked as one from the command line is."""
    launched = treadle(vault, "run", "--pipelines=typed")
    assert launched.wait() == 2, launched.output
    assert "The parameter 'login.port' cannot be used" in launched.output
    _assert_no_secret(launched.output)
    _assert_no_secret(_stored(vault))


SCRIPT = """
import sys
from treadle import Session, bootstrap_project

if __name__ == "__main__":
    bootstrap_project(".")
    with Session.create(extra_params={{"given_token": {given!r}}}) as session:
        if sys.argv[1:] == ["load"]:
            session.load_context().catalog.load("cause")
        session.run(runner={runner!r}, runner_params={params!r})
"""


def test_the_traceback_of_a_script(launch, vault, way):
    """Python prints the error with all its causes: none of them shows a secret."""
    runner = way if way in ("sequential", "thread") else "parallel"
    params = {"max_workers": 2, "start_method": way} if runner == "parallel" else {}
    launched = launch(SCRIPT.format(given=GIVEN, runner=runner, params=params), vault)
    assert launched.wait() == 1, launched.output
    said = launched.output
    assert "NodeError" in said
    assert "***" in said
    _assert_no_secret(said)


def test_a_dataset_that_is_loaded_without_a_run(launch, vault):
    """What a program loads from the catalog by itself fails without showing a secret either."""
    script = SCRIPT.format(given=GIVEN, runner="sequential", params={}).replace("sys.argv[1:]", '["load"]')
    launched = launch(script, vault)
    assert launched.wait() == 1, launched.output
    assert "DatasetError: Could not load dataset 'cause'" in launched.output
    _assert_no_secret(launched.output)
