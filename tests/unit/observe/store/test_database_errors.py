"""The classes of errors that databases raise."""

from __future__ import annotations

import sqlite3
import sys
from types import ModuleType

from treadle.observe.store.database_errors import database_errors


def test_a_driver_that_another_thread_is_importing(monkeypatch):
    """While a driver is being imported it has no class of errors yet, and none of its errors can exist."""
    driver = ModuleType("psycopg")
    monkeypatch.setitem(sys.modules, "psycopg", driver)
    assert OSError in database_errors(OSError)
    assert sqlite3.Error in database_errors()
    driver.Error = KeyError
    assert KeyError in database_errors()
