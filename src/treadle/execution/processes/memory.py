"""How much memory this process may use. State: none."""

from __future__ import annotations

from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


def usable_memory() -> int:
    """Return the bytes of memory that this process may use: the machine's, or less where its control group says so."""
    import psutil

    return min([psutil.virtual_memory().total, *cgroup_limits(_CGROUP, _OWN_CGROUP)])


def cgroup_limits(root: Path, own: Path) -> list[int]:
    """Read the memory limits of this process's control group and of those above it.

    Args:
        root: where the control groups are mounted: version 2, or version 1 with a folder a controller.
        own: the file that says which one is this process's.

    Returns:
        Bytes; empty where there is no limit, or no control group.
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
        # In a container the path is often that of the host, and the group itself is mounted at the root.
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
