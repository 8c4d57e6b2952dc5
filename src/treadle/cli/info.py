"""`treadle info`: show versions, cores, start methods, the project and plugins. State: none."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import click

_LIBRARIES = ("loky", "cloudpickle", "pandas", "pyarrow", "numpy", "omegaconf", "sqlalchemy")


@click.command()
def info() -> None:
    """Show versions, cores, start methods, the project and plugins."""
    for name, value in (
        ("treadle", _treadle()),
        ("python", f"{platform.python_version()} ({platform.python_implementation()}), {sys.executable}"),
        ("platform", platform.platform()),
        ("libraries", _libraries()),
        ("cores", _cores()),
        ("start methods", _start_methods()),
        ("project", _project()),
        ("plugins", _plugins()),
    ):
        click.echo(f"{name:<15}{value}")


def _treadle() -> str:
    import treadle

    return f"{treadle.__version__}, {Path(treadle.__file__).parent}"


def _libraries() -> str:
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in _LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} (not installed)")
    return ", ".join(found)


def _cores() -> str:
    import os

    from loky import cpu_count

    usable, present = cpu_count(), os.cpu_count() or 1
    if usable == present:
        return f"{usable} usable"
    return f"{usable} usable of {present} (as affinity, cgroup or LOKY_MAX_CPU_COUNT allow)"


def _start_methods() -> str:
    from treadle.execution.processes.start_method import available_start_methods, choose_start_method

    names = ", ".join(method.value for method in available_start_methods())
    try:
        choice = choose_start_method()
    except ValueError as wrong:  # an environment variable names an unknown method; still print the rest
        return f"{names}; {wrong}"
    return f"{names}; chosen here: {choice.method.value} ({choice.reason})"


def _project() -> str:
    from treadle.project import find_project, read_metadata

    root = find_project(Path.cwd())
    if root is None:
        return "none at or above this folder"
    metadata = read_metadata(root)
    return f"{metadata.project_name} (package {metadata.package_name}), {metadata.project_path}"


def _plugins() -> str:
    from treadle.plugins import GROUPS, offered

    offers: dict[str, list[str]] = {}
    for group in GROUPS:
        for entry in offered(group):
            if entry.dist is not None:
                offers.setdefault(f"{entry.dist.name} {entry.dist.version}", []).append(group.rpartition(".")[2])
    return ", ".join(f"{name} ({', '.join(dict.fromkeys(kinds))})" for name, kinds in sorted(offers.items())) or "none"
