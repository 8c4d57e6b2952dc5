"""`treadle jupyter`: install a kernel with the project loaded, and start JupyterLab or Jupyter Notebook. State: none.

Neighbours: `location.py` finds the project; the extension `treadle.ipython` loads it in each new kernel.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from treadle.cli import options
from treadle.cli.groups import SuggestingGroup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.project import ProjectMetadata

_INVALID_IN_KERNEL_NAME = re.compile(r"[^a-z0-9._-]")
_PASS_UNKNOWN_OPTIONS = {"ignore_unknown_options": True}
_PROJECT_VARIABLE = "TREADLE_PROJECT"
"""Environment variable with the project's folder; the extension needs it because a notebook may be in any folder."""


@click.group(cls=SuggestingGroup)
def jupyter() -> None:
    """Work on the project in Jupyter; each notebook starts with the project loaded."""


@jupyter.command()
@options.env
def setup(*, env: str | None) -> None:
    """Install a kernel for this project.

    The kernel is then available in every Jupyter installation of this user.
    """
    from treadle.cli.location import enter_project

    name = _install_kernel(enter_project(), env)
    click.echo(f"Installed the kernel {name}. Choose it in Jupyter, or start it with: treadle jupyter lab")


@jupyter.command(context_settings=_PASS_UNKNOWN_OPTIONS)
@options.env
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[JUPYTER ARGUMENTS]...")
def lab(*, env: str | None, arguments: tuple[str, ...]) -> None:
    """Start JupyterLab with the project's kernel as the default."""
    _start("jupyterlab", env, arguments)


@jupyter.command(context_settings=_PASS_UNKNOWN_OPTIONS)
@options.env
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[JUPYTER ARGUMENTS]...")
def notebook(*, env: str | None, arguments: tuple[str, ...]) -> None:
    """Start Jupyter Notebook with the project's kernel as the default."""
    _start("notebook", env, arguments)


def _start(application: str, env: str | None, arguments: tuple[str, ...]) -> None:
    from treadle.cli.location import enter_project

    if importlib.util.find_spec(application) is None:
        message = f"{application} is not installed. Install it with: pip install {application}"
        raise click.UsageError(message)
    kernel = _install_kernel(enter_project(), env)
    # This option belongs to Jupyter Server, so it is the same in Lab and Notebook.
    words = [sys.executable, "-m", application, f"--MultiKernelManager.default_kernel_name={kernel}", *arguments]
    code = subprocess.call(words)  # noqa: S603 - runs this interpreter with the user's own arguments
    if code:
        raise click.exceptions.Exit(code)


def _install_kernel(project: ProjectMetadata, env: str | None) -> str:
    """Install the project's kernel for this user, replacing an earlier one, and return its name."""
    if importlib.util.find_spec("ipykernel") is None:
        message = 'ipykernel is not installed. Install it with: pip install "treadle[jupyter]"'
        raise click.UsageError(message)
    from jupyter_client.kernelspec import KernelSpecManager

    from treadle.cli.location import check_environment

    check_environment(project.project_path, env)
    name = "treadle-" + _INVALID_IN_KERNEL_NAME.sub("-", project.package_name.lower()) + (f"-{env.lower()}" if env else "")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "kernel.json").write_text(json.dumps(_kernel_spec(project, env), indent=1), encoding="utf-8")
        KernelSpecManager().install_kernel_spec(folder, name, user=True)
    return name


def _kernel_spec(project: ProjectMetadata, env: str | None) -> Mapping[str, object]:
    from treadle.session.creation import ENV_VARIABLE

    return {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--ext", "treadle.ipython"],
        "display_name": f"Treadle ({project.project_name}{f', {env}' if env else ''})",
        "language": "python",
        "env": {_PROJECT_VARIABLE: str(project.project_path), **({ENV_VARIABLE: env} if env else {})},
        "metadata": {"debugger": True},
    }
