"""The queue of a server, without the server: what it stores, and what it does with runs that cannot be started."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing

import pytest

from treadle.observe.store import SQLStore
from treadle.server.models import RunBody
from treadle.server.problems import Problem
from treadle.server.queue import RunQueue


@pytest.fixture
def store(tmp_path):
    """The store of a project."""
    with closing(SQLStore(project_path=tmp_path)) as made:
        yield made


def add(queue, key=None, **body):
    """Add a run to a queue; return its id."""
    return queue.add(RunBody(**body), resumes=None, key=key, retry_after=lambda: 1, accept=lambda _: None)


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": {"api_token": "hunter2secret"}},
        {"params": {"nested": [{"password": "hunter2secret"}]}},
        {"params": {"source": "postgresql://me:hunter2secret@host/db"}},
    ],
)
def test_secrets_are_in_neither_the_request_nor_the_digest(store, body):
    """Secrets of params and inputs are stored masked, cannot be guessed from the digest, and are known to the run."""
    queue = RunQueue(store, "shop", 10)
    run_id = add(queue, "k", **body)
    stored = store.find_queued(run_id)
    assert "hunter2" not in stored.request
    assert stored.has_secrets
    guess = json.dumps([RunBody(**body).model_dump(mode="json"), None], sort_keys=True)
    assert stored.digest != hashlib.sha256(guess.encode()).hexdigest()
    assert queue.find(run_id).body == RunBody(**body)
    assert RunQueue(store, "shop", 10).find(run_id) is None
    assert add(queue, "k", **body) == run_id
    other = json.loads(json.dumps(body).replace("hunter2secret", "another-one"))
    with pytest.raises(Problem, match="for another request"):
        add(queue, "k", **other)


def test_a_request_without_secrets_is_known_to_the_next_server(store):
    """Another server that shares the store knows what was asked for, and that a key belongs to another request."""
    run_id = add(RunQueue(store, "shop", 10), "k", params={"password": None, "n": 1}, inputs={"given": [1, 2]})
    second = RunQueue(store, "shop", 10)
    assert second.find(run_id).body.inputs == {"given": [1, 2]}
    assert add(second, "k", params={"password": None, "n": 1}, inputs={"given": [1, 2]}) == run_id
    with pytest.raises(Problem, match="for another request"):
        add(second, "k", params={"password": None, "n": 2}, inputs={"given": [1, 2]})
