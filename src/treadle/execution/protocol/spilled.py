"""Open and read the scratch files of spilled values.

State: none. Runs in the parent and in workers. Neighbours: `handles.py` names the files.
"""

from __future__ import annotations

import mmap
import os


def open_spilled(path: str) -> int:
    """Open the scratch file of a value.

    Args:
        path: path of the file.

    Returns:
        The file's descriptor.

    Raises:
        FileNotFoundError: the file was removed; the message gives the probable cause.
    """
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as exc:
        msg = (
            "the file was removed during the run, probably by a program that cleans up temporary files (exclude "
            f"{os.path.dirname(os.path.dirname(path))}/treadle-* from it, or point TMPDIR elsewhere)"
        )
        raise FileNotFoundError(exc.errno, msg, path) from None


def read_all(fd: int, size: int) -> mmap.mmap:
    """Copy a file into memory of this process.

    Args:
        fd: its descriptor.
        size: its bytes.

    Returns:
        An anonymous map with the content.
    """
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with memoryview(memory) as view:
        at = 0
        while at < size:
            with view[at:] as rest:
                at += os.preadv(fd, [rest], at)
    return memory
