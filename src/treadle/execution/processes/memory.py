"""Find out how much memory this process may use. Used by the parent. State: none."""

from __future__ import annotations

import os
from contextlib import suppress

from treadle.execution.processes.system_file import read_text

_CGROUP = "/sys/fs/cgroup"
_OWN_CGROUP = "/proc/self/cgroup"


def usable_memory() -> int:
    """Return how much memory this process may use, in bytes: the machine's, or the limit of its control group if lower."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([total, *cgroup_limits(_CGROUP, _OWN_CGROUP)])


def cgroup_limits(root: str | os.PathLike[str], own: str | os.PathLike[str]) -> list[int]:
    """Read the memory limits of this process's control group and its ancestors.

    Args:
        root: where the control groups are mounted: version 2, or version 1 with one folder for each controller.
        own: the file that names the process's control group.

    Returns:
        The limits in bytes; empty if there is no limit or no control group.
    """
    try:
        lines = read_text(own).splitlines()
    except OSError:
        return []
    limits: list[int] = []
    for line in lines:
        _number, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        base, name = (os.path.join(root, "memory"), "memory.limit_in_bytes") if controllers else (root, "memory.max")
        groups = path.strip("/").split("/")
        # In a container the path is often the host's path, while the group itself is mounted at the root.
        for depth in range(len(groups), -1, -1):
            with suppress(OSError):
                text = read_text(os.path.join(base, *groups[:depth], name)).strip()
                if text.isdigit():
                    limits.append(int(text))
    return limits
