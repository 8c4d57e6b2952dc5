"""`treadle info` and `treadle new`."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os

import pytest

import treadle
from treadle.cli.main import main


def lines_by_name(output):
    return {line[:15].strip(): line[15:] for line in output.splitlines()}


def test_info_says_what_there_is(tmp_path, monkeypatch, capsys):
    """Versions, cores, the start methods with the choice and its reason, and that there is no project."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TREADLE_START_METHOD", "spawn")
    assert main(["info"]) == 0
    info = lines_by_name(capsys.readouterr().out)
    assert info["treadle"].startswith(treadle.__version__)
    assert "loky 3" in info["libraries"]
    assert "usable" in info["cores"]
    assert info["start methods"].endswith("loky; chosen here: spawn (set by TREADLE_START_METHOD)")
    assert info["project"] == "none at or above this folder"


def test_info_counts_the_cores_that_may_be_used(monkeypatch, capsys):
    """Cores are counted as affinity, cgroup and LOKY_MAX_CPU_COUNT allow, beside those that are there."""
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert main(["info"]) == 0
    assert lines_by_name(capsys.readouterr().out)["cores"].startswith("1 usable of 8")


def test_info_does_not_import_the_project(monkeypatch, capsys):
    """A start method that is not set is that of this process, and may be another after the import of the project."""
    monkeypatch.delenv("TREADLE_START_METHOD", raising=False)
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda *, allow_none: None)
    assert main(["info"]) == 0
    methods = lines_by_name(capsys.readouterr().out)["start methods"]
    assert methods.endswith("; a run chooses after the project has been imported)")


def test_info_tells_a_wrong_start_method(monkeypatch, capsys):
    """A start method in the environment that does not exist is said where the choice would stand; the rest is told."""
    monkeypatch.setenv("TREADLE_START_METHOD", "teleport")
    assert main(["info"]) == 0
    assert "'teleport' in TREADLE_START_METHOD" in lines_by_name(capsys.readouterr().out)["start methods"]


@pytest.mark.parametrize(
    ("arguments", "name", "package"), [([], "my-shop", "my_shop"), (["--name", "The Shop"], "The Shop", "the_shop")]
)
def test_new_makes_a_project(tmp_path, monkeypatch, capsys, arguments, name, package):
    """A project is made, named after its folder or as asked, and `info` finds it from inside."""
    monkeypatch.chdir(tmp_path)
    assert main(["new", "my-shop", *arguments]) == 0
    output = capsys.readouterr().out
    assert f"{name!r} in {tmp_path / 'my-shop'}" in output
    assert "treadle run" in output
    monkeypatch.chdir(tmp_path / "my-shop" / "src" / package)
    assert main(["info"]) == 0
    assert lines_by_name(capsys.readouterr().out)["project"] == f"{name} (package {package}), {tmp_path / 'my-shop'}"


def test_new_leaves_a_taken_folder_alone(tmp_path, capsys):
    """A folder with something in it is refused with code 2 and stays as it was."""
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["new", str(tmp_path)]) == 2
    assert "not empty" in capsys.readouterr().err
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(("found", "says"), [(None, "(first: python -m pip install pytest)\n"), (object(), "python -m pytest\n")])
def test_new_knows_whether_tests_can_be_run(tmp_path, monkeypatch, capsys, found, says):
    """Where pytest is not installed, the line about tests says how to install it."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: found if name == "pytest" else find_spec(name, *rest))
    assert main(["new", str(tmp_path / "shop")]) == 0
    assert capsys.readouterr().out.endswith(says)
