"""docs/tutorial.md: followed from top to bottom in an empty folder, it does what it says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(console|python|yaml)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
FAILS = "# fails"


@pytest.mark.timeout(600)  # each of its commands is a process of its own
def test_the_tutorial_can_be_followed(tmp_path):
    """Its commands succeed in order, except the one that is said to fail, and its files are written where they say."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "treadle").write_text(f'#!/bin/sh\nexec {sys.executable} -m treadle "$@"\n')
    (programs / "treadle").chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "TREADLE_ENV"}}
    environment["PATH"] = f"{programs}{os.pathsep}{environment['PATH']}"
    folder = tmp_path / "work"
    folder.mkdir()
    said = {}
    for language, block in BLOCKS:
        if language != "console":
            (folder / block.partition("\n")[0].removeprefix("# ")).write_text(block, encoding="utf-8")
            continue
        for line in block.splitlines():
            command = line.removeprefix("$ ")
            if command.startswith("cd "):
                folder /= command.removeprefix("cd ")
                continue
            done = subprocess.run(
                command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
            )
            assert done.returncode == (1 if command.endswith(FAILS) else 0), f"{command}\n{done.stdout}\n{done.stderr}"
            said[command] = done.stdout + done.stderr
    (failed,) = (text for command, text in said.items() if command.endswith(FAILS))
    assert "IndexError" in failed
    assert "treadle run --resume" in failed
    (resumed,) = (text for command, text in said.items() if "--resume" in command)
    assert "clean_orders:" not in resumed
    (unchanged,) = (text for command, text in said.items() if "--skip-unchanged" in command)
    assert "collect:" not in unchanged
    forecast = json.loads((folder / "data/08_reporting/forecast.json").read_text(encoding="utf-8"))
    assert all(each["enough"] > 0 for each in forecast)
    assert {each["product"] for each in forecast} == {"croissant", "espresso", "sandwich"}
