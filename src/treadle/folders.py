"""Walk a folder, also through symbolic links to folders, as Python's import and `open` do. State: none."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def walk_folder(top: str, *, strict: bool = False) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk a folder as `os.walk` does, also through links to folders, but not in circles.

    Args:
        top: the folder; nothing is yielded if it does not exist.
        strict: whether a folder that cannot be read is an error. Otherwise it is as if it were empty.

    Yields:
        Each folder, with the names of the folders and of the other entries in it. Folders that are removed from the first list
        are left out.

    Raises:
        OSError: a folder cannot be read.
    """
    # Of each folder to come: the real folders with the links that lead to it. A link to one that contains them leads in a circle.
    links: dict[str, tuple[str, ...]] = {}
    for folder, folders, names in os.walk(top, onerror=_raise if strict else None, followlinks=True):
        outer = links.pop(folder, ())
        for name in folders[:]:
            path = os.path.join(folder, name)  # noqa: PTH118 - os.walk yields strings
            if not os.path.islink(path):  # noqa: PTH114 - likewise
                if outer:
                    links[path] = outer
                continue
            links[path] = (*outer, os.path.realpath(folder))
            target = os.path.realpath(path).rstrip(os.sep) + os.sep
            if any(f"{each}{os.sep}".startswith(target) for each in links[path]):
                folders.remove(name)
        yield folder, folders, names


def walk_package(top: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk the folder of a package, also through links to packages. Links to other folders, such as data, are left out.

    Args:
        top: the folder.

    Yields:
        As `walk_folder` does.
    """
    for folder, folders, names in walk_folder(top):
        folders[:] = [name for name in folders if _is_part(os.path.join(folder, name))]  # noqa: PTH118 - strings
        yield folder, folders, names


def _is_part(path: str) -> bool:
    return not os.path.islink(path) or os.path.isfile(os.path.join(path, "__init__.py"))  # noqa: PTH113, PTH114, PTH118 - strings


def _raise(error: OSError) -> None:
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):  # another process may remove a folder at any time
        raise error
