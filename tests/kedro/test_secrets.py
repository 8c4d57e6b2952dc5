"""Credentials and secret parameters of a Kedro project do not leave the process in any text."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

pytest.importorskip("kedro", reason="the Kedro runner's tests need Kedro")
pytest.importorskip("kedro_datasets", reason="the projects use kedro-datasets")

TOKEN = "token-4711-of-the-vault"
PASSWORD = "hunter2-of-the-file"

VAULT = """
import logging

from kedro.io import AbstractDataset


class Vault(AbstractDataset):
    def __init__(self, credentials):
        self._token = credentials["token"]

    def _load(self):
        logging.getLogger("lane.vault").warning("opening with %s", self._token)
        try:
            raise KeyError(self._token)
        except KeyError as exc:
            raise OSError(5, f"cannot open {self._token!r}") from exc

    def _save(self, value):
        raise NotImplementedError

    def _describe(self):
        return {}


def use(source, password):
    logging.getLogger("lane.vault").warning("with %s", password)
    raise ValueError(f"{password} is wrong")
"""

REGISTRY = """
from kedro.pipeline import node, pipeline

from lane.vault import use


def register_pipelines():
    return {
        "__default__": pipeline([node(list, "vault", "a", name="open")]),
        "use": pipeline([node(use, ["source", "params:db_password"], "b", name="use")]),
    }
"""


@pytest.mark.parametrize("pipeline", ["__default__", "use"])
def test_nothing_shows_a_secret(lane, method, pipeline):
    """Kedro's own error with its causes, log records of workers, and the record in the store show `***`."""
    source = lane.root / "src" / "lane"
    (source / "vault.py").write_text(VAULT)
    (source / "pipeline_registry.py").write_text(REGISTRY)
    with (lane.root / "conf" / "base" / "catalog.yml").open("a") as catalog:
        catalog.write("\nvault:\n  type: lane.vault.Vault\n  credentials: vault\n")
    (lane.root / "conf" / "local").mkdir(exist_ok=True)
    (lane.root / "conf" / "local" / "credentials.yml").write_text(f"vault:\n  token: {TOKEN}\n")
    with (lane.root / "conf" / "base" / "parameters.yml").open("a") as parameters:
        parameters.write(f"\ndb_password: {PASSWORD}\n")
    with (lane.root / "pyproject.toml").open("a") as metadata:
        metadata.write('\n[tool.treadle]\npackage_name = "lane"\n')
    done = lane.treadle(method, f"--pipelines={pipeline}", fails=True)
    said = done.stdout + done.stderr + "\n".join(lane.lines("project.log"))
    assert "***" in said
    with closing(sqlite3.connect(lane.root / ".treadle" / "sessions.db")) as database:
        stored = "\n".join(database.iterdump())
    assert "***" in stored
    for text in (said, stored):
        assert TOKEN not in text
        assert PASSWORD not in text
