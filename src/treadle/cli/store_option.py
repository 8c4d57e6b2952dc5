"""The store that commands about recorded sessions read: the project's, or the one given with --store. State: none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

    from treadle.observe.store import SessionStore

STORE = "treadle.cli.store"
"""Where the context of a command has the store that was given with --store."""


def listed_package(context: click.Context) -> str | None:
    """Return the package whose sessions a command lists: the project's; None for those of all projects, with --store.

    Args:
        context: of the command, after `open_store`.
    """
    from treadle.project import configured_project

    return configured_project().package_name if context.meta.get(STORE) is None else None


def open_store(context: click.Context) -> SessionStore:
    """Open the store given with --store, else that of the project.

    Args:
        context: of the command, which has the option.

    Returns:
        The store; the caller has to close it.

    Raises:
        StoreError: the store does not exist.
    """
    from treadle.cli.location import enter_any_project, session_store

    named = context.meta.get(STORE)
    if named is None:
        return session_store(enter_any_project(context))
    from treadle.errors import StoreError
    from treadle.observe.store import SQLStore

    if "://" in named:
        return SQLStore(named)
    file = Path(named).absolute()
    if not file.is_file():
        msg = (
            f"The store {file} does not exist. Pass the file of a store, such as .treadle/sessions.db, or the URL of a database."
        )
        raise StoreError(msg)
    return SQLStore(f"sqlite:///{file}")
