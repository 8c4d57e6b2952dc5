"""Find out how much memory this process may use. Used by the parent. State: none."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_CGROUP = "/sys/fs/cgroup"
_OWN_CGROUP = "/proc/self/cgroup"


def usable_memory() -> int:
    """Return how much memory this process may use, in bytes: the machine's, or the limit of its control group if lower."""
    from pathlib import Path

    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([total, *cgroup_limits(Path(_CGROUP), Path(_OWN_CGROUP))])


def cgroup_limits(root: Path, own: Path) -> list[int]:
    """Read the memory limits of this process's control group and its ancestors.

    Args:
        root: where the control groups are mounted: version 2, or version 1 with one folder for each controller.
        own: the file that names the process's control group.

    Returns:
        The limits in bytes; empty if there is no limit or no control group.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return []
    limits: list[int] = []
    for line in lines:
        _number, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        base, name = (root / "memory", "memory.limit_in_bytes") if controllers else (root, "memory.max")
        inside = base / path.lstrip("/")
        # In a container the path is often the host's path, while the group itself is mounted at the root.
        for folder in (inside, *inside.parents):
            if not folder.is_relative_to(base):
                break
            try:
                text = (folder / name).read_text().strip()
            except OSError:
                continue
            if text.isdigit():
                limits.append(int(text))
    return limits
