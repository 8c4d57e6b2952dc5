"""A project as a wheel, and what keeps it from becoming one."""

from __future__ import annotations

import tarfile

import pytest

from treadle.errors import ProjectError
from treadle.project import read_metadata
from treadle.project.packaging import archive_name, find_packaged_conf, package_project

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "small-shop"
version = "1.0"
requires-python = ">=3.10"

[tool.hatch.build.targets.wheel]
packages = ["src/small_shop"]

[tool.treadle]
package_name = "small_shop"
"""


@pytest.fixture
def root(tmp_path):
    """A project that can be built."""
    files = {
        "pyproject.toml": PYPROJECT,
        "src/small_shop/__init__.py": "",
        "src/other/__init__.py": "",
        "settings/base/catalog.yml": "",
        "settings/base/.hidden.yml": "",
        "settings/local/credentials.yml": "a: secret\n",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


def test_wheel_and_configuration(root):
    """The wheel is named as its metadata says; hidden files and the private environment stay out of the archive."""
    made = package_project(read_metadata(root), "settings", root / "out")
    assert made.wheel == root / "out" / "small_shop-1.0-py3-none-any.whl"
    assert made.conf == root / "out" / archive_name("small_shop")
    with tarfile.open(made.conf) as archive:
        assert [member.name for member in archive if member.isfile()] == ["conf/base/catalog.yml"]
        assert {member.uname for member in archive} == {""}


def test_a_project_without_configuration(root):
    """Where there is no folder of configuration there is no archive."""
    assert package_project(read_metadata(root), "conf", root / "out").conf is None


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('packages = ["src/small_shop"]', 'packages = ["src/other"]', "does not contain the package 'small_shop'"),
        ('packages = ["src/small_shop"]', 'packages = ["nowhere"]', "nowhere|does not contain"),
        ('version = "1.0"', "", "version"),
        ('name = "small-shop"', "", r"no 'name' in a table \[project\]"),
        ('build-backend = "hatchling.build"', "", r"no 'build-backend' in a table \[build-system\]"),
    ],
)
def test_what_cannot_be_built(root, before, after, said):
    """The error names pyproject.toml and what is wrong in it, or what the build said."""
    (root / "pyproject.toml").write_text(PYPROJECT.replace(before, after))
    with pytest.raises(ProjectError, match=said) as caught:
        package_project(read_metadata(root), "settings", root / "out")
    assert caught.value.file == str(root / "pyproject.toml")


def test_where_packaged_configuration_is_found(root):
    """The archive counts where it lies in the folder of the run, and no folder of configuration does."""
    assert find_packaged_conf("small_shop", "conf", root) is None
    (root / archive_name("small_shop")).write_bytes(b"")
    assert find_packaged_conf("small_shop", "conf", root) == "conf-small_shop.tar.gz"
    assert find_packaged_conf("small_shop", "settings", root) is None


def test_what_links_refer_to_is_packaged(root):
    """The archive has the files themselves, because it is unpacked where the links lead nowhere."""
    (root / "shared").mkdir()
    (root / "shared" / "parameters_a.yml").write_text("a: 1\n")
    (root / "settings" / "base" / "shared").symlink_to(root / "shared")
    (root / "settings" / "base" / "parameters.yml").symlink_to(root / "shared" / "parameters_a.yml")
    made = package_project(read_metadata(root), "settings", root / "out")
    with tarfile.open(made.conf) as archive:
        for name in ("conf/base/parameters.yml", "conf/base/shared/parameters_a.yml"):
            assert archive.extractfile(name).read() == b"a: 1\n"
            assert not archive.getmember(name).issym()


@pytest.mark.parametrize(
    ("target", "problem"),
    [("../local/credentials.yml", r"is a link into .*local, which is not packaged"), ("nowhere.yml", "cannot be packaged")],
)
def test_links_that_cannot_be_packaged(root, target, problem):
    """Credentials of the private environment do not get into an archive by a link, and a file is not left out silently."""
    (root / "settings" / "base" / "credentials.yml").symlink_to(target)
    with pytest.raises(ProjectError, match=rf"base/credentials\.yml {problem}"):
        package_project(read_metadata(root), "settings", root / "out")
