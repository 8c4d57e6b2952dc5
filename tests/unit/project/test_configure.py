"""Bootstrapping and configuring: paths, laziness, doing it again, and other projects of the same name."""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from treadle.errors import NotConfiguredError, ProjectError
from treadle.project import bootstrap_project, configure_count, configure_project, configured_project, is_configured
from treadle.project.code import code_stamp
from treadle.session.sources import sources_digest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    MakeProject = Callable[..., Path]


def test_without_a_project() -> None:
    """An unconfigured process says so in the words users search for, and what to call, as a ValueError."""
    assert not is_configured()
    with pytest.raises(
        ValueError, match=r"^Package name not found\. Make sure you have configured the project using 'bootstrap_project'"
    ):
        configured_project()
    with pytest.raises(NotConfiguredError, match="configure_project"):
        configured_project()


def test_bootstrap_configures(make_project: MakeProject) -> None:
    """Bootstrapping reads the metadata and configures the package without importing it."""
    root = make_project()
    count = configure_count()
    metadata = bootstrap_project(root)
    assert configured_project().metadata == metadata
    assert configured_project().package_name == "loomtest"
    assert configure_count() == count + 1
    assert "loomtest" not in sys.modules


def test_bootstrap_is_idempotent_on_paths(make_project: MakeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is called, the source folder stands once, first, on sys.path and PYTHONPATH, before what was there."""
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    source = str((make_project() / "src").resolve())
    for _ in range(3):
        bootstrap_project(make_project())
    assert sys.path[0] == source
    assert sys.path.count(source) == 1
    assert os.environ["PYTHONPATH"] == os.pathsep.join([source, "/elsewhere"])


def test_children_can_import_the_project(make_project: MakeProject) -> None:
    """A process that is started after bootstrapping finds the package."""
    bootstrap_project(make_project({"facts.py": "X = 41"}))
    run = subprocess.run(
        [sys.executable, "-c", "import loomtest.facts; print(loomtest.facts.X)"], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "41"


def test_configure_project_in_packaged_mode(make_project: MakeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package on sys.path is configured by its name alone, without metadata."""
    monkeypatch.syspath_prepend(make_project() / "src")
    configure_project("loomtest")
    assert configured_project().metadata is None
    assert configured_project().settings.CONF_SOURCE == "conf"


@pytest.mark.parametrize("is_packaged", [False, True])
def test_a_package_that_was_just_created_is_found(make_project: MakeProject, tmp_path: Path, *, is_packaged: bool) -> None:
    """Even if Python has listed its folder within the same tick of the file system's clock."""
    source = tmp_path / "project" / "src"
    source.mkdir(parents=True)
    sys.path.insert(0, str(source))
    assert importlib.util.find_spec("loomtest") is None
    listed = source.stat()
    root = make_project()
    os.utime(source, ns=(listed.st_atime_ns, listed.st_mtime_ns))
    if is_packaged:
        configure_project("loomtest")
    else:
        bootstrap_project(root)
    assert configured_project().settings.CONF_SOURCE == "conf"


def test_configuring_never_changes_logging(make_project: MakeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    """The handlers and levels of a program stay, with and without Kedro's argument for that, and whatever logging.yml says."""
    root = make_project(files={"conf/logging.yml": "root: {level: DEBUG, handlers: []}\nloggers: {loomtest: {level: DEBUG}}\n"})
    monkeypatch.syspath_prepend(root / "src")
    monkeypatch.chdir(root)
    logger, handler = logging.getLogger("loomtest"), logging.NullHandler()
    before = (list(logging.root.handlers), logging.root.level, logger.level)
    logger.addHandler(handler)
    try:
        for options in ({}, {"preserve_logging": True}, {"preserve_logging": False}):
            configure_project("loomtest", **options)
            assert (logging.root.handlers, logging.root.level, logger.level) == before
            assert logger.handlers == [handler]
    finally:
        logger.removeHandler(handler)


def test_unknown_package_is_an_error_and_changes_nothing(make_project: MakeProject) -> None:
    """A package that is not there is an error; the project that was configured stays."""
    bootstrap_project(make_project())
    count = configure_count()
    with pytest.raises(ProjectError, match="no package 'no_such_package'") as caught:
        configure_project("no_such_package")
    assert caught.value.key == "package_name"
    assert configured_project().package_name == "loomtest"
    assert configure_count() == count


def test_package_that_is_not_in_its_source_dir_is_named(tmp_path: Path) -> None:
    """Metadata that name a missing package are an error with file and key."""
    (tmp_path / "pyproject.toml").write_text('[tool.treadle]\npackage_name = "no_such_package"\n')
    with pytest.raises(ProjectError, match="there is none in") as caught:
        bootstrap_project(tmp_path)
    assert caught.value.file == str(tmp_path.resolve() / "pyproject.toml")


def test_configuring_again_reads_settings_again_lazily(make_project: MakeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings are executed on first use, once, and anew after the next configuration, even if no file changed."""
    monkeypatch.setenv("LOOM_TEST_CONF", "one")
    root = make_project({"settings.py": "import os\nCONF_SOURCE = os.environ['LOOM_TEST_CONF']\n"})
    bootstrap_project(root)
    assert "loomtest.settings" not in sys.modules
    first = configured_project()
    assert first.settings.CONF_SOURCE == "one"
    monkeypatch.setenv("LOOM_TEST_CONF", "two")
    assert configured_project().settings.CONF_SOURCE == "one"
    configure_project("loomtest")
    assert configured_project().settings.CONF_SOURCE == "two"
    assert first.settings.CONF_SOURCE == "one"


def test_configuring_again_keeps_modules_whose_code_stands(make_project: MakeProject) -> None:
    """Where no source changed, what was imported stays, so that objects made before still belong to their classes."""
    import importlib

    root = make_project({"thing.py": "class Thing: ..."})
    bootstrap_project(root)
    before = importlib.import_module("loomtest.thing").Thing
    bootstrap_project(root)
    assert importlib.import_module("loomtest.thing").Thing is before


def test_configuring_again_after_code_changed_imports_it_anew(make_project: MakeProject) -> None:
    """A changed source file makes the next import of any of the project's modules read the disk."""
    import importlib

    root = make_project({"thing.py": "X = 1", "settings.py": "from loomtest.thing import X\nCONF_SOURCE = f'conf{X}'\n"})
    bootstrap_project(root)
    assert configured_project().settings.CONF_SOURCE == "conf1"
    (root / "src" / "loomtest" / "thing.py").write_text("X = 1000")
    configure_project("loomtest")
    assert importlib.import_module("loomtest.thing").X == 1000
    assert configured_project().settings.CONF_SOURCE == "conf1000"


def test_configure_keeps_the_metadata_of_the_same_project(make_project: MakeProject) -> None:
    """configure_project after bootstrap_project of the same package still knows the project's root."""
    metadata = bootstrap_project(make_project())
    configure_project("loomtest")
    assert configured_project().metadata == metadata


def test_another_project_with_the_same_package_name(make_project: MakeProject) -> None:
    """Bootstrapping a second project does not see the first one's modules, though both have the same names."""
    bootstrap_project(make_project({"settings.py": "CONF_SOURCE = 'first'"}, "first"))
    assert configured_project().settings.CONF_SOURCE == "first"
    bootstrap_project(make_project({"settings.py": "CONF_SOURCE = 'second'"}, "second"))
    assert configured_project().settings.CONF_SOURCE == "second"


def test_package_that_fails_to_import_is_named(make_project: MakeProject) -> None:
    """An error in the package's own __init__ names the package and keeps its cause."""
    bootstrap_project(make_project({"__init__.py": "import no_such_library_at_all"}))
    with pytest.raises(ProjectError, match="no_such_library_at_all") as caught:
        _ = configured_project().settings
    assert caught.value.key == "loomtest"
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_the_state_of_the_code_includes_linked_packages(make_project: MakeProject, tmp_path: Path) -> None:
    """Warm workers import a package that the project links to again when it has changed."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "__init__.py").write_text("X = 1")
    root = make_project()
    (root / "src" / "loomtest" / "shared").symlink_to(tmp_path / "shared")
    bootstrap_project(root)
    before = code_stamp("loomtest"), sources_digest("loomtest", root, root / "conf")
    (tmp_path / "shared" / "__init__.py").write_text("X = 1234")
    after = code_stamp("loomtest"), sources_digest("loomtest", root, root / "conf")
    assert before[0] != after[0]
    assert before[1] != after[1]
