"""What pyproject.toml says about a project, and how a project is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from treadle.errors import ProjectError, ProjectNotFoundError
from treadle.project import find_project, read_metadata

if TYPE_CHECKING:
    from pathlib import Path


def write(root: Path, text: str, *folders: str) -> Path:
    """Write a pyproject.toml and folders beside it."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "pyproject.toml").write_text(text, encoding="utf-8")
    for folder in folders:
        (root / folder).mkdir(parents=True)
    return root


def test_metadata_with_defaults(tmp_path: Path) -> None:
    """The package is enough: the name is the package's, the source is the root."""
    root = write(tmp_path, '[tool.treadle]\npackage_name = "flights"\n')
    metadata = read_metadata(str(root))
    assert metadata.package_name == metadata.project_name == "flights"
    assert metadata.project_path == metadata.source_dir == root.resolve()
    assert metadata.config_file == root.resolve() / "pyproject.toml"
    assert metadata.treadle_version[0].isdigit()


def test_source_is_src_where_it_exists(tmp_path: Path) -> None:
    """A folder `src` is the source folder unless another is stated; the distribution's name serves as the project's."""
    root = write(tmp_path, '[project]\nname = "nyc-flights"\n[tool.treadle]\npackage_name = "flights"\n', "src")
    assert read_metadata(root).source_dir == root.resolve() / "src"
    assert read_metadata(root).project_name == "nyc-flights"
    write(tmp_path, '[tool.treadle]\npackage_name = "flights"\nproject_name = "NYC"\nsource_dir = "code"\n', "code")
    assert read_metadata(root).source_dir == root.resolve() / "code"
    assert read_metadata(root).project_name == "NYC"


@pytest.mark.parametrize(
    ("text", "key", "match"),
    [
        ("[tool.treadle]\n", "package_name", "lacks the key"),
        ('[tool.treadle]\npackage_name = ""\n', "package_name", "non-empty"),
        ("[tool.treadle]\npackage_name = 5\n", "package_name", "string"),
        ('[tool.treadle]\npackage_name = "my-flights"\n', "package_name", "valid Python name"),
        ('[tool.treadle]\npackage_nam = "flights"\n', "package_nam", "Did you mean 'package_name'"),
        ('[tool.treadle]\npackage_name = "f"\nzzz = 1\n', "zzz", "The keys are: package_name"),
        ('[tool.treadle]\npackage_name = "f"\nsource_dir = "nowhere"\n', "source_dir", "not a folder"),
        ('[tool]\ntreadle = "f"\n', "tool.treadle", "must be a table"),
        ("[tool.treadle\n", None, "not valid TOML"),
    ],
)
def test_wrong_metadata_is_named(tmp_path: Path, text: str, key: str | None, match: str) -> None:
    """A wrong file or key is an error with both."""
    with pytest.raises(ProjectError, match=match) as caught:
        read_metadata(write(tmp_path, text))
    assert (caught.value.file, caught.value.key) == (str(tmp_path.resolve() / "pyproject.toml"), key)


def test_missing_project_says_what_to_do(tmp_path: Path) -> None:
    """No pyproject.toml, or one without our table, is not a project; a project above is suggested."""
    with pytest.raises(ProjectNotFoundError, match="treadle new"):
        read_metadata(tmp_path)
    with pytest.raises(ProjectNotFoundError, match=r"has no \[tool.treadle\] table"):
        read_metadata(write(tmp_path / "other", "[project]\nname = 'x'\n"))
    with pytest.raises(ProjectNotFoundError, match="not a folder"):
        read_metadata(tmp_path / "nowhere")
    write(tmp_path, '[tool.treadle]\npackage_name = "flights"\n', "notebooks")
    with pytest.raises(ProjectNotFoundError, match="A folder above it is a project") as caught:
        read_metadata(tmp_path / "notebooks")
    assert str(tmp_path.resolve()) in str(caught.value)


def test_project_is_found_upward(tmp_path: Path) -> None:
    """The nearest folder with our table is the project; other pyproject.toml files, broken or not, are passed over."""
    root = write(tmp_path / "p", '[tool.treadle]\npackage_name = "flights"\n', "a/b")
    write(root / "a", "[project\n")
    assert find_project(root / "a" / "b") == root.resolve()
    assert find_project(root) == root.resolve()
    assert find_project(tmp_path) is None


def test_what_to_do_without_a_project(tmp_path):
    """Outside of a project the flag that names one is told; in a Kedro project, how Kedro runs on Treadle's workers."""
    with pytest.raises(ProjectNotFoundError, match="`treadle --project PATH"):
        read_metadata(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[tool.kedro]\npackage_name = "shop"\n')
    with pytest.raises(ProjectNotFoundError, match=r"Kedro project.*--runner=treadle.kedro.ParallelRunner"):
        read_metadata(tmp_path)
