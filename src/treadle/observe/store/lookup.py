"""Find a session by its id or a prefix of it.

State: none. Neighbour: `store.py`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from treadle.errors import StoreError
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.observe.store.connection import StoreConnection


def whole_id(connection: StoreConnection, session_id: str) -> str:
    """Return the id of a session.

    Args:
        connection: to the store.
        session_id: the id, or a unique prefix of it.

    Returns:
        The whole id.

    Raises:
        StoreError: the session does not exist, or the prefix is ambiguous.
    """
    known = "SELECT session_id FROM treadle_sessions"
    if connection.select(f"{known} WHERE session_id = :session_id", {"session_id": session_id}):
        return session_id
    pattern = re.sub(r"([/%_])", r"/\1", session_id) + "%"
    matching = f"{known} WHERE session_id LIKE :pattern ESCAPE '/' ORDER BY session_id DESC LIMIT 10"
    found = [str(row[0]) for row in connection.select(matching, {"pattern": pattern})]
    if len(found) == 1 and session_id:
        return found[0]
    if found and session_id:
        msg = f"Several sessions begin with {session_id!r}: {', '.join(found)}. Pass a longer prefix."
        raise StoreError(msg)
    newest = connection.select(f"{known} ORDER BY session_id DESC LIMIT 1000")
    raise unknown_session(session_id, [str(row[0]) for row in newest])


def unknown_session(session_id: str, known: Sequence[str]) -> StoreError:
    """Return the error about a session that does not exist.

    Args:
        session_id: the id that was asked for.
        known: the newest ids.
    """
    newest = f"The newest are: {', '.join(known[:3])}." if known else "No session is recorded yet."
    hint = did_you_mean(close_names(session_id, known), newest)
    return StoreError(f"The session store has no session {session_id!r}.{hint} `treadle sessions list` shows them.")
