"""`treadle info`: show versions, cores, start methods, the project and plugins. State: none."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Any

import click

from treadle.cli import options
from treadle.cli.json_output import print_json

_LIBRARIES = ("loky", "cloudpickle", "pandas", "pyarrow", "numpy", "omegaconf", "sqlalchemy")


@click.command()
@options.as_json
def info(*, as_json: bool) -> None:
    """Show versions, cores, start methods, the project and plugins."""
    facts = {
        "treadle": _treadle(),
        "python": _python(),
        "platform": platform.platform(),
        "libraries": _libraries(),
        "cores": _cores(),
        "start_methods": _start_methods(),
        "project": _project(),
        "plugins": _plugins(),
    }
    if as_json:
        print_json("info", **facts)
        return
    for name, value in _shown(facts).items():
        click.echo(f"{name:<15}{value}")


def _shown(facts: dict[str, Any]) -> dict[str, str]:
    """Return one line for each fact."""
    treadle, python, cores, starts, project = (facts[name] for name in ("treadle", "python", "cores", "start_methods", "project"))
    usable, present = cores["usable"], cores["present"]
    of_present = "" if usable == present else f" of {present} (as affinity, cgroup or LOKY_MAX_CPU_COUNT allow)"
    choice = starts["reason"] if starts["chosen"] is None else f"chosen here: {starts['chosen']} ({starts['reason']})"
    return {
        "treadle": f"{treadle['version']}, {treadle['path']}",
        "python": f"{python['version']} ({python['implementation']}), {python['executable']}",
        "platform": facts["platform"],
        "libraries": ", ".join(f"{name} {version or '(not installed)'}" for name, version in facts["libraries"].items()),
        "cores": f"{usable} usable{of_present}",
        "start methods": f"{', '.join(starts['available'])}; {choice}",
        "project": "none at or above this folder"
        if project is None
        else f"{project['name']} (package {project['package']}), {project['path']}",
        "plugins": ", ".join(f"{each['name']} {each['version']} ({', '.join(each['kinds'])})" for each in facts["plugins"])
        or "none",
    }


def _treadle() -> dict[str, str]:
    import treadle

    return {"version": treadle.__version__, "path": str(Path(treadle.__file__).parent)}


def _python() -> dict[str, str]:
    return {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": sys.executable,
    }


def _libraries() -> dict[str, str | None]:
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, str | None] = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def _cores() -> dict[str, int]:
    import os

    from treadle.execution.processes.cores import usable_cores

    return {"usable": usable_cores(), "present": os.cpu_count() or 1}


def _start_methods() -> dict[str, Any]:
    from treadle.execution.processes.start_method import available_start_methods, choose_start_method

    available = [method.value for method in available_start_methods()]
    try:
        choice = choose_start_method()
    except ValueError as wrong:  # an environment variable names an unknown method; still print the rest
        return {"available": available, "chosen": None, "reason": str(wrong)}
    # The libraries that a project imports may start threads or open files.
    later = "; a run chooses after the project has been imported" if choice.is_inferred else ""
    return {"available": available, "chosen": choice.method.value, "reason": f"{choice.reason}{later}"}


def _project() -> dict[str, str] | None:
    from treadle.project import find_project, read_metadata

    root = find_project(Path.cwd())
    if root is None:
        return None
    metadata = read_metadata(root)
    return {"name": metadata.project_name, "package": metadata.package_name, "path": str(metadata.project_path)}


def _plugins() -> list[dict[str, Any]]:
    from treadle.plugins import GROUPS, offered

    offers: dict[tuple[str, str], dict[str, None]] = {}
    for group in GROUPS:
        for entry in offered(group):
            if entry.dist is not None:
                offers.setdefault((entry.dist.name, entry.dist.version), {})[group.rpartition(".")[2]] = None
    return [{"name": name, "version": version, "kinds": list(kinds)} for (name, version), kinds in sorted(offers.items())]
