"""Package a project as a wheel, with its configuration in a separate archive.

::

    pyproject.toml, src/ ── pip wheel ──▶ dist/<name>-<version>-py3-none-any.whl        code
    conf/ without local  ── tar.gz ─────▶ dist/conf-<package>.tar.gz                    configuration

Job: build both, and find the archive when a packaged project runs. State: none. Neighbours: `metadata.py` reads the project's
metadata; `treadle package` builds; `python -m <package>` finds the archive.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.errors import ProjectError
from treadle.folders import walk_folder

if TYPE_CHECKING:
    import tarfile
    from collections.abc import Iterator

    from treadle.project.metadata import ProjectMetadata

PRIVATE_ENVIRONMENT = "local"
"""The environment with a developer's own settings and credentials; it is never packaged."""
_SHOWN_LINES = 12
"""How many of the last lines of the build output an error shows."""


@dataclass(frozen=True, slots=True)
class PackagedProject:
    """The built wheel and configuration archive; `conf` is None if the project has no configuration folder."""

    wheel: Path
    conf: Path | None


def package_project(metadata: ProjectMetadata, conf_source: str, target: Path) -> PackagedProject:
    """Build a project's wheel and pack its configuration.

    pip runs the project's build backend; a backend that is installed in this environment is used without build isolation, so that
    nothing is downloaded.

    Args:
        metadata: the project.
        conf_source: the configuration folder of its settings.
        target: the output folder; created if missing. Existing files of the same names are replaced.

    Returns:
        The paths of the wheel and the archive.

    Raises:
        ProjectError: pyproject.toml has no build backend, the build failed, or the wheel lacks the project's package.
    """
    backend = _backend(metadata)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        msg = f"The folder {target} cannot be created: {exc.strerror or exc}. Choose another folder."
        raise ProjectError(msg, file=str(target)) from exc
    with tempfile.TemporaryDirectory(prefix="treadle-package-") as scratch:
        built = _build(metadata, Path(scratch), isolated=importlib.util.find_spec(backend.partition(".")[0]) is None)
        _check(metadata, built)
        wheel = target / built.name
        wheel.write_bytes(built.read_bytes())
    return PackagedProject(wheel, _pack_conf(metadata, conf_source, target))


def find_packaged_conf(package_name: str, conf_source: str, folder: Path) -> str | None:
    """Find the configuration archive of a packaged project in the folder where it is run.

    Args:
        package_name: its package.
        conf_source: the configuration folder of its settings.
        folder: the working directory of the run.

    Returns:
        The name of the archive made by `package_project`, if it exists and the configuration folder does not; else None, so that
        the settings apply.
    """
    name = archive_name(package_name)
    return name if not (folder / conf_source).exists() and (folder / name).is_file() else None


def archive_name(package_name: str) -> str:
    """Return the file name of a project's configuration archive.

    Args:
        package_name: the project's package.

    Returns:
        The file's name.
    """
    return f"conf-{package_name}.tar.gz"


def _backend(metadata: ProjectMetadata) -> str:
    """Return the build backend of the project."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    data: dict[str, Any] = tomllib.loads(metadata.config_file.read_text(encoding="utf-8"))
    for table, key in (("project", "name"), ("build-system", "build-backend")):
        section = data.get(table)
        if not isinstance(section, dict) or key not in section:
            msg = (
                f"{metadata.config_file} has no {key!r} in a table [{table}], so the project cannot be built. A project that "
                '`treadle new` creates shows how: [build-system] with requires = ["hatchling"] and build-backend = '
                '"hatchling.build", and [project] with name, version and dependencies.'
            )
            raise ProjectError(msg, file=str(metadata.config_file), key=f"{table}.{key}")
    return str(data["build-system"]["build-backend"])


def _build(metadata: ProjectMetadata, scratch: Path, *, isolated: bool) -> Path:
    if importlib.util.find_spec("pip") is None:
        msg = "Packaging needs pip, which this environment lacks. Install it with: python -m ensurepip"
        raise ProjectError(msg, key="pip")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += [] if isolated else ["--no-build-isolation"]
    command += ["--wheel-dir", str(scratch), str(metadata.project_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)  # noqa: S603 - runs the current Python interpreter
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        output = "\n".join((done.stderr or done.stdout).strip().splitlines()[-_SHOWN_LINES:])
        msg = (
            f"The wheel of {metadata.project_name} could not be built from {metadata.config_file}. The build output ends "
            f"with:\n{output}"
        )
        raise ProjectError(msg, file=str(metadata.config_file))
    return wheels[0]


def _check(metadata: ProjectMetadata, wheel: Path) -> None:
    import zipfile

    folder = metadata.package_name.replace(".", "/")
    with zipfile.ZipFile(wheel) as archive:
        if any(name.startswith(f"{folder}/") or name == f"{folder}.py" for name in archive.namelist()):
            return
    msg = (
        f"The wheel built from {metadata.config_file} does not contain the package {metadata.package_name!r}. Configure it: "
        f'with hatchling by [tool.hatch.build.targets.wheel] packages = ["src/{folder}"].'
    )
    raise ProjectError(msg, file=str(metadata.config_file), key="package_name")


def _pack_conf(metadata: ProjectMetadata, conf_source: str, target: Path) -> Path | None:
    import tarfile

    conf = metadata.project_path / conf_source
    if not conf.is_dir():
        return None

    def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        # The archive must not reveal the user who built it.
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        return entry

    paths = list(_shared_conf(conf))
    archive_path = target / archive_name(metadata.package_name)
    with tarfile.open(archive_path, "w:gz", dereference=True) as archive:  # what links refer to is not in the archive
        for path in paths:
            archive.add(path, arcname=Path("conf", path.relative_to(conf)), recursive=False, filter=anonymous)
    return archive_path


def _shared_conf(conf: Path) -> Iterator[Path]:
    """Yield the folders and files of the configuration without the private environment and what is hidden.

    Raises:
        ProjectError: a file cannot be read, or is a link into the private environment.
    """
    private = (conf / PRIVATE_ENVIRONMENT).resolve()
    try:
        for folder, folders, names in walk_folder(str(conf), strict=True):
            place = Path(folder)
            folders[:] = sorted(
                each for each in folders if not each.startswith(".") and (place != conf or each != PRIVATE_ENVIRONMENT)
            )
            for path in (place, *(place / each for each in sorted(names) if not each.startswith("."))):
                path.stat()  # raises if it is a broken link
                if path.resolve().is_relative_to(private):
                    msg = (
                        f"{path} is a link into {conf / PRIVATE_ENVIRONMENT}, which is not packaged, because it contains "
                        "credentials. Replace the link by a file that others may have, or remove it."
                    )
                    raise ProjectError(msg, file=str(path))
                yield path
    except OSError as exc:
        msg = f"{exc.filename} cannot be packaged: {exc}. Remove it if it is a broken link, or check its permissions."
        raise ProjectError(msg, file=str(exc.filename)) from exc
