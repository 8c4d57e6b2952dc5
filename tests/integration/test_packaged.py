"""Packaged mode: a project is built as a wheel, installed into a new environment, and runs itself there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from treadle.cli.main import main

ROOM = 120


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A starter project, packaged, and with a private environment that must not be."""
    root = tmp_path_factory.mktemp("built") / "bakery"
    assert main(["new", str(root)]) == 0
    (root / "conf" / "prod").mkdir()
    (root / "conf" / "prod" / "parameters.yml").write_text("report: {best: 1}\n")
    (root / "conf" / "local" / "credentials.yml").write_text("warehouse: {key: very-secret}\n")
    done = subprocess.run(
        [sys.executable, "-m", "treadle", "package"], cwd=root, capture_output=True, text=True, timeout=ROOM, check=False
    )
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture(scope="module")
def python(project, tmp_path_factory):
    """The interpreter of a new environment that has the wheel; the libraries are those of the environment of the tests."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, symlinks=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))
    (site / "libraries.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    (wheel,) = (project / "dist").glob("*.whl")
    made = home / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(made), "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, "--no-deps", "--no-index", str(wheel)], check=True, timeout=ROOM)
    return made


@pytest.fixture
def folder(project, tmp_path):
    """A folder far from the project, with its data and the archive of its configuration."""
    shutil.copytree(project / "data", tmp_path / "data")
    shutil.copy(project / "dist" / "conf-bakery.tar.gz", tmp_path)
    return tmp_path


def run(python, folder, *words):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(python), *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=ROOM, check=False
    )


def test_what_is_in_the_package(project):
    """The wheel has the code and the command; the archive has every environment but the private one."""
    (wheel,) = (project / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {"bakery/__main__.py", "bakery/pipeline_registry.py"} <= set(names)
    with tarfile.open(project / "dist" / "conf-bakery.tar.gz") as archive:
        files = [member.name for member in archive if member.isfile()]
    assert sorted(files) == ["conf/base/catalog.yml", "conf/base/parameters.yml", "conf/prod/parameters.yml"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver", "loky"])
def test_it_runs_itself_in_parallel(python, folder, method):
    """`python -m package` runs with the archive beside it under each start method, and keeps its record there."""
    done = run(python, folder, "-m", "bakery", "--runner", "parallel", "--runner-params", f"start_method={method},max_workers=2")
    assert done.returncode == 0, done.stderr
    assert (folder / "data" / "08_reporting" / "report.md").is_file()
    assert (folder / ".treadle" / "sessions.db").is_file()
    assert "site-packages" not in done.stderr


def test_flags_environments_and_folders_of_configuration(python, folder):
    """It takes the flags of `treadle run`; a folder conf wins over the archive, and --conf-source over both."""
    assert run(python, folder, "-m", "bakery", "--env", "prod").returncode == 0
    report = folder / "data" / "08_reporting" / "report.md"
    assert "2. " not in report.read_text()
    with tarfile.open(folder / "conf-bakery.tar.gz") as archive:
        archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    assert run(python, folder, "-m", "bakery").returncode == 0
    assert "2. " in report.read_text()
    (folder / "conf").rename(folder / "settings")
    assert run(python, folder, "-m", "bakery", "--conf-source", "settings", "--params", "report.best=1").returncode == 0
    assert "2. " not in report.read_text()


def test_main_and_the_console_script(python, folder):
    """`package:main` is a function that returns the exit code, and a command of the package's name."""
    called = run(python, folder, "-c", "import bakery; print(bakery.main(['--nodes', 'clean_orders']))")
    assert called.stdout == "0\n", called.stderr
    script = subprocess.run([str(python.parent / "bakery"), "--help"], capture_output=True, text=True, timeout=ROOM, check=True)
    assert "Usage: python -m bakery" in script.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--pipelines", "cleening"], "Did you mean 'cleaning'?"),
        (["--runer", "thread"], "--runner"),
        (["--env", "prdo"], "Did you mean 'prod'"),
    ],
)
def test_wrong_input(python, folder, words, said):
    """Wrong input ends with code 2 and a close match, as with `treadle run`."""
    done = run(python, folder, "-m", "bakery", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_without_configuration(python, tmp_path):
    """In a folder without configuration it says what it looked for."""
    done = run(python, tmp_path, "-m", "bakery")
    assert done.returncode == 2
    assert "neither conf nor conf-bakery.tar.gz" in done.stderr


def test_a_failed_run_says_how_to_resume(python, folder):
    """The command that resumes is the package's own."""
    (folder / "data" / "02_intermediate" / "orders.json").mkdir()
    done = run(python, folder, "-m", "bakery")
    assert done.returncode == 1
    command = re.search(r"Resume the run from here with:\n  python -m bakery (--resume=\S+)\n", done.stderr)
    assert command, done.stderr
    (folder / "data" / "02_intermediate" / "orders.json").rmdir()
    resumed = run(python, folder, "-m", "bakery", command[1])
    assert resumed.returncode == 0, resumed.stderr


def test_its_records_can_be_read(python, folder, monkeypatch, capsys):
    """In the folder where it ran, by the package itself, and from anywhere by the store's address; a run is repeated, too."""
    assert run(python, folder, "-m", "bakery").returncode == 0
    listed = run(python, folder, "-m", "bakery", "sessions", "list")
    assert listed.returncode == 0, listed.stderr
    assert "python -m bakery" in listed.stdout
    session_id = next(word for line in listed.stdout.splitlines()[1:2] for word in line.split())
    shown = run(python, folder, "-m", "bakery", "sessions", "show", session_id)
    assert (shown.returncode, "succeeded" in shown.stdout) == (0, True), shown.stderr
    again = run(python, folder, "-m", "bakery", "sessions", "rerun", session_id)
    assert again.returncode == 0, again.stderr
    assert f"python -m bakery sessions rerun {session_id}" in run(python, folder, "-m", "bakery", "sessions", "list").stdout
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    file = folder / ".treadle" / "sessions.db"
    for store in (str(file), f"sqlite:///{file}"):
        assert main(["sessions", "--store", store, "show", session_id]) == 0
        assert session_id in capsys.readouterr().out
    assert main(["sessions", "--store", "missing.db", "list"]) == 2
    assert "does not exist. Pass the file of a store" in capsys.readouterr().err
    assert not (elsewhere / "missing.db").exists()
