"""Find out whether workers see the files of this machine: a worker is asked for a file that was just made here.

`folders_of` and `probes` run in the driver, `unseen` in a worker. State: none.
"""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from treadle.execution.packing.bundle import RunBundle


def folders_of(run: RunBundle) -> dict[str, str]:
    """Return the folders of the local files that workers load and save, each with a dataset that has a file there.

    Args:
        run: the run.
    """
    folders: dict[str, str] = {}
    for name, path in run.local_files().items():
        folder = next((each for each in Path(path).parents if each.is_dir()), Path("/"))
        folders.setdefault(str(folder), name)
    return folders


@contextmanager
def probes(folders: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Make an empty file in each folder for a short time.

    Args:
        folders: the folders, each with the name of a dataset.

    Yields:
        The files, each with the name of the dataset; a folder that cannot be written to is its own probe.
    """
    made: dict[str, str] = {}
    try:
        for folder, name in folders.items():
            file = os.path.join(folder, f".treadle-{uuid.uuid4().hex}")
            try:
                Path(file).touch()
                made[file] = name
            except OSError:
                made[folder] = name
        yield made
    finally:
        for file in made.keys() - folders.keys():
            with suppress(FileNotFoundError):
                os.unlink(file)


def unseen(paths: Sequence[str]) -> list[str]:
    """Return those of some files that do not exist for this process.

    Args:
        paths: the files.
    """
    for folder in {os.path.dirname(path) for path in paths}:
        with suppress(OSError):
            os.listdir(folder)  # has a network file system look again
    return [path for path in paths if not os.path.exists(path)]
