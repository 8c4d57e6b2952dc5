"""The last success of each node in a SQLite store: replaced, refreshed, forgotten, and found for a resumed session."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from treadle.events import ContentRecord
from treadle.observe.store import SQLStore
from treadle.planning.reuse.facts import LastSuccess


def success(number: int) -> LastSuccess:
    content = ContentRecord("table", "/data/table", None, 1, number, f"xxh3:{number}", number)
    return LastSuccess(f"session {number}", float(number), {"param a": str(number)}, (content,), (content,))


@pytest.fixture
def store(tmp_path: Path):
    with closing(SQLStore(project_path=tmp_path)) as opened:
        yield opened


def test_nothing_is_known_in_a_new_project(store: SQLStore) -> None:
    assert store.last_successes("p", None) == {}
    assert store.invalidate_successes("p", None, ["a"]) == 0


def test_the_last_one_of_each_package_and_environment(store: SQLStore) -> None:
    store.save_successes("p", None, {"a": success(1), "b": success(1)})
    store.save_successes("p", "prod", {"a": success(2)})
    store.save_successes("q", None, {"a": success(3)})
    store.save_successes("p", None, {"b": success(4)})
    assert store.last_successes("p", None) == {"a": success(1), "b": success(4)}
    assert store.last_successes("p", "prod") == {"a": success(2)}
    assert store.last_successes("q", None) == {"a": success(3)}


def test_equal_parts_are_stored_once(store: SQLStore, tmp_path: Path) -> None:
    same = {f"node {i}": success(1) for i in range(1200)}  # more than one query may name
    store.save_successes("p", None, same)
    store.save_successes("p", None, same)
    with store._connected("read") as connection:
        assert connection.select_value("SELECT count(*) FROM treadle_fingerprints") == 1
    assert store.invalidate_successes("p", None, same) == 1200
    assert store.invalidate_successes("p", None, same) == 0, "they are invalidated already"


def test_very_many_are_read_in_parts(store: SQLStore) -> None:
    """Each node has its own, whichever part it is read in."""
    many = {f"node {i}": success(i) for i in range(1201)}
    store.save_successes("p", None, many)
    assert store.last_successes("p", None) == many


def test_an_invalidated_success_is_known_as_such(store: SQLStore) -> None:
    """Its node runs, and what the user reads is not that it never ran."""
    store.save_successes("p", None, {"a": success(1), "b": success(1)})
    store.save_successes("p", "prod", {"a": success(1)})
    assert store.invalidate_successes("p", None, ["a", "c"]) == 1
    found = store.last_successes("p", None)
    assert {name: each.is_invalidated for name, each in found.items()} == {"a": True, "b": False}
    assert found["a"].session_id == "session 1"
    assert not store.last_successes("p", "prod")["a"].is_invalidated
    store.save_successes("p", None, {"a": success(2)})
    assert store.last_successes("p", None)["a"] == success(2)


def test_a_success_is_refreshed_only_if_it_is_still_the_last_one(store: SQLStore) -> None:
    store.save_successes("p", None, {"a": success(1), "b": success(2)})
    newer = success(1).outputs[0]._replace(taken_ns=99)
    store.refresh_successes("p", None, {name: success(1)._replace(outputs=(newer,)) for name in "ab"})
    found = store.last_successes("p", None)
    assert found["a"].outputs == (newer,)
    assert found["b"] == success(2)
