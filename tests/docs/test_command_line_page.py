"""docs/command-line.md: its examples run, and it names every command and every flag."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from treadle.cli.main import treadle_command
from treadle.cli.scaffold import create_project

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text()
BLOCKS = re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def commands(group, path=()):
    """Yield each command under a group with its path."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


@pytest.mark.parametrize(("path", "command"), [pytest.param(*each, id="-".join(each[0])) for each in commands(treadle_command)])
def test_every_command_and_flag_is_on_the_page(path, command):
    """The page has each command by its name, and each of its flags by every spelling."""
    assert f"`{path[-1]}" in PAGE or f"{path[0]} {path[-1]}" in PAGE or path[0] == "jupyter"
    for option in command.params:
        if isinstance(option, click.Option) and path[0] not in {"jupyter", "ipython"}:
            for spelling in option.opts:
                assert re.search(rf"`{spelling}[` ]", PAGE), f"{spelling} of {' '.join(path)} is missing"


@pytest.mark.timeout(600)  # each of its many commands is a process of its own
def test_the_examples_run(tmp_path):
    """Every example runs, in order, in one project; each ends with code 0."""
    root = create_project("starter", tmp_path / "shop", project_name="Shop", package_name="shop")
    (flags,) = re.findall(r"^```yaml\n(# nightly.yml.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (root / "nightly.yml").write_text(flags)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "treadle").write_text(f'#!/bin/sh\nexec {sys.executable} -m treadle "$@"\n')
    (programs / "treadle").chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "TREADLE_ENV"}}
    environment["PATH"] = f"{programs}{os.pathsep}{environment['PATH']}"
    lines = [line.removeprefix("$ ") for block in BLOCKS for line in block.splitlines() if line.startswith("$ treadle")]
    assert len(lines) > 20
    for line in lines:
        command = line.replace("/tmp/treadle-docs-bakery", str(tmp_path / "bakery"))
        done = subprocess.run(
            command, shell=True, cwd=root, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    shutil.rmtree(tmp_path / "bakery")


def test_the_commands_of_a_project_run(tmp_path):
    """The example of a project's own cli.py adds a command, and replaces `run` by one that runs as always."""
    root = create_project("starter", tmp_path / "shop", project_name="Shop", package_name="shop")
    (code,) = re.findall(r"^```python\n(# src/shop/cli.py.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (root / "src" / "shop" / "cli.py").write_text(code)

    def treadle(*words):
        command = [sys.executable, "-m", "treadle", *words]
        return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)

    assert treadle("hello").stdout == "Good morning!\n"
    done = treadle("run", "--pipelines", "cleaning", "--runner", "thread")
    assert (done.returncode, done.stdout) == (0, "Opening the shop\n"), done.stderr
    assert "thread" in treadle("sessions", "list").stdout
    assert treadle("run", "--pipelines", "cleening").returncode == 2


@pytest.mark.parametrize("file", ["__init__.py", "__main__.py"])
def test_the_files_of_a_packaged_project(file):
    """What the page tells others to write compiles, and does what the starter's does."""
    (code,) = re.findall(rf"^```python\n(# src/shop/{file}.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    compile(code, file, "exec")
    assert ("package_main(__name__, arguments)" in code) is (file == "__init__.py")
