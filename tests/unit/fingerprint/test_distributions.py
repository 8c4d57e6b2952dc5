"""Modules outside the project: their distributions, found without importing anything."""

from __future__ import annotations

import importlib.metadata
import sys

import pytest

from treadle.fingerprint.distributions import Distributions


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of installed packages on sys.path: `install(name, version, files)`."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])

    def install(name, version, *files):
        info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "RECORD").write_text("".join(f"{file},sha256=x,1\n" for file in (*files, f"{info.name}/METADATA")))
        for file in files:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).write_text("raise ImportError('this must not be imported')\n")

    return install


def found(module):
    outside = Distributions().of_module(module)
    return outside and (outside.label, outside.value)


@pytest.mark.parametrize(
    ("module", "distribution"), [("click", "click"), ("yaml", "PyYAML"), ("sqlalchemy.orm.session", "SQLAlchemy")]
)
def test_a_module_has_the_version_of_its_distribution(module, distribution):
    """The distribution may have another name than the module."""
    assert found(module) == (f"distribution {distribution.lower()}", importlib.metadata.version(distribution))


@pytest.mark.parametrize(
    "module", ["os", "os.path", "builtins", "treadle.session", "no_such_module", "no_such_module.inner", "__main__"]
)
def test_what_does_not_count(module):
    """The standard library, Treadle and modules that do not exist have no version."""
    assert found(module) is None


def test_namespace_packages(site):
    """Two distributions with packages in one namespace are told apart, and nothing is imported."""
    site("space-one", "1.0", "space/one/__init__.py", "space/one/inner.py")
    site("space-two", "2.0", "space/two/__init__.py")
    assert found("space.one.inner.name") == ("distribution space-one", "1.0")
    assert found("space.two") == ("distribution space-two", "2.0")


def test_a_single_module(site):
    """A distribution may be one file."""
    site("Some.Thing", "3.1", "single_file.py")
    assert found("single_file") == ("distribution some-thing", "3.1")


def test_a_distribution_of_the_same_name_that_is_not_it(site, tmp_path):
    """A module is not taken for the distribution of its name if that one contains other files."""
    site("borrowed", "1.0", "other_files.py")
    site("lender", "2.0", "borrowed/__init__.py")
    assert found("borrowed") == ("distribution lender", "2.0")


def test_a_package_of_no_distribution_counts_by_its_files(tmp_path, monkeypatch):
    """Every source file of the package counts, and compiled caches do not."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    (tmp_path / "loose" / "inner" / "__pycache__").mkdir(parents=True)
    (tmp_path / "loose" / "__init__.py").write_text("raise ImportError")
    (tmp_path / "loose" / "inner" / "deep.py").write_text("a = 1")
    label, before = found("loose.inner")
    assert label == "package loose"
    (tmp_path / "loose" / "inner" / "__pycache__" / "deep.cpython-311.pyc").write_text("x")
    assert found("loose.inner") == (label, before)
    (tmp_path / "loose" / "inner" / "deep.py").write_text("a = 2")
    assert found("loose") != (label, before)


def test_a_checkout_counts_by_its_files(tmp_path, monkeypatch):
    """A build leaves metadata beside the sources, whose version stays the same when the sources are edited."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for file, text in {
        "flat/__init__.py": "a = 1",
        "flat.egg-info/PKG-INFO": "Metadata-Version: 2.1\nName: flat\nVersion: 0.1\n",
        "flat.egg-info/SOURCES.txt": "setup.py\nflat/__init__.py\n",
    }.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    label, before = found("flat")
    assert label == "package flat"
    (tmp_path / "flat/__init__.py").write_text("a = 2")
    assert found("flat") != (label, before)


def test_an_egg_has_the_version_of_its_distribution(tmp_path, monkeypatch):
    """Packages of the operating system, and old ones, list their sources only."""
    site = tmp_path / "dist-packages"
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    for file, text in {
        "laid/__init__.py": "a = 1",
        "laid.egg-info/PKG-INFO": "Metadata-Version: 2.1\nName: laid\nVersion: 0.1\n",
        "laid.egg-info/SOURCES.txt": "setup.py\nlaid/__init__.py\n",
    }.items():
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        (site / file).write_text(text)
    assert found("laid") == ("distribution laid", "0.1")


def test_what_is_installed_from_a_folder_counts_by_its_files(site, tmp_path):
    """Its version often stays the same when it is installed again; where it was installed from does not count."""
    site("shared", "0.1", "shared.py")
    info = tmp_path / "shared-0.1.dist-info"
    assert found("shared") == ("distribution shared", "0.1")

    def installed(code, url):
        (info / "direct_url.json").write_text(f'{{"url": "{url}", "dir_info": {{}}}}')
        others = f"../../bin/shared,sha256={url},1\n{info.name}/direct_url.json,sha256={url},1\n__pycache__/shared.pyc,,\n"
        (info / "RECORD").write_text(f"shared.py,sha256={code},1\n{others}")
        return found("shared")

    before = installed("a", "file:///one")
    assert before[0] == "distribution shared"
    assert before[1].startswith("0.1 (")
    assert installed("a", "file:///two") == before
    assert installed("b", "file:///one") != before
