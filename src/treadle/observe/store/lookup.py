"""Find a session by its id or a prefix of it.

Importing this module imports SQLAlchemy; see `schema.py`. State: none. Neighbour: `store.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, select

from treadle.errors import StoreError
from treadle.observe.store.schema import SESSIONS
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence


def whole_id(connection: Connection, session_id: str) -> str:
    """Return the id of a session.

    Args:
        connection: to the store.
        session_id: the id, or a unique prefix of it.

    Returns:
        The whole id.

    Raises:
        StoreError: the session does not exist, or the prefix is ambiguous.
    """
    known = select(SESSIONS.c.session_id)
    if connection.execute(known.where(SESSIONS.c.session_id == session_id)).first() is not None:
        return session_id
    matching = known.where(SESSIONS.c.session_id.startswith(session_id, autoescape=True)).limit(10)
    found = list(connection.execute(matching.order_by(SESSIONS.c.session_id.desc())).scalars())
    if len(found) == 1 and session_id:
        return str(found[0])
    if found and session_id:
        msg = f"Several sessions begin with {session_id!r}: {', '.join(found)}. Pass a longer prefix."
        raise StoreError(msg)
    newest = connection.execute(known.order_by(SESSIONS.c.session_id.desc()).limit(1000)).scalars()
    raise unknown_session(session_id, list(newest))


def unknown_session(session_id: str, known: Sequence[str]) -> StoreError:
    """Return the error about a session that does not exist.

    Args:
        session_id: the id that was asked for.
        known: the newest ids.
    """
    newest = f"The newest are: {', '.join(known[:3])}." if known else "No session is recorded yet."
    hint = did_you_mean(close_names(session_id, known), newest)
    return StoreError(f"The session store has no session {session_id!r}.{hint} `treadle sessions list` shows them.")
