"""A project as a wheel, with its configuration in an archive beside it.

::

    pyproject.toml, src/ ── pip wheel ──▶ dist/<name>-<version>-py3-none-any.whl        what is run
    conf/ without local  ── tar.gz ─────▶ dist/conf-<package>.tar.gz                    what it is run with

Job: build both, and find the archive again where a packaged project runs. State: none. Neighbours: `metadata.py` says what the
project is; `treadle package` calls; `python -m <package>` finds the archive.
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

if TYPE_CHECKING:
    import tarfile

    from treadle.project.metadata import ProjectMetadata

PRIVATE_ENVIRONMENT = "local"
"""The environment that is one person's own; it is never packaged."""
_SHOWN_LINES = 12
"""Lines of the builder's last words that an error repeats."""


@dataclass(frozen=True, slots=True)
class PackagedProject:
    """What packaging made: the wheel, and the archive of configuration (None where the project has none)."""

    wheel: Path
    conf: Path | None


def package_project(metadata: ProjectMetadata, conf_source: str, target: Path) -> PackagedProject:
    """Build a project's wheel and pack its configuration.

    The project's own build backend does the work, through pip; one that is installed here is used as it is, so that nothing is
    downloaded.

    Args:
        metadata: the project.
        conf_source: the folder of configuration that its settings name.
        target: the folder for both; it is made where it is missing, and earlier files of the same names are replaced.

    Returns:
        What was made.

    Raises:
        ProjectError: pyproject.toml says not how to build, the build failed, or the wheel lacks the project's package.
    """
    backend = _backend(metadata)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        msg = f"The folder {target} cannot be made: {exc.strerror or exc}. Name another one."
        raise ProjectError(msg, file=str(target)) from exc
    with tempfile.TemporaryDirectory(prefix="treadle-package-") as scratch:
        built = _build(metadata, Path(scratch), isolated=importlib.util.find_spec(backend.partition(".")[0]) is None)
        _check(metadata, built)
        wheel = target / built.name
        wheel.write_bytes(built.read_bytes())
    return PackagedProject(wheel, _pack_conf(metadata, conf_source, target))


def find_packaged_conf(package_name: str, conf_source: str, folder: Path) -> str | None:
    """Find the configuration of a packaged project in the folder where it is run.

    Args:
        package_name: its package.
        conf_source: the folder of configuration that its settings name.
        folder: where it is run.

    Returns:
        The name of the archive that `package_project` made, where it is there and the folder of configuration is not; else
        None: the settings decide.
    """
    name = archive_name(package_name)
    return name if not (folder / conf_source).exists() and (folder / name).is_file() else None


def archive_name(package_name: str) -> str:
    """Name the archive of a project's configuration.

    Args:
        package_name: the project's package.

    Returns:
        The file's name.
    """
    return f"conf-{package_name}.tar.gz"


def _backend(metadata: ProjectMetadata) -> str:
    """Read which build backend the project names."""
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
                '`treadle new` makes shows how: [build-system] with requires = ["hatchling"] and build-backend = '
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
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)  # noqa: S603 - our own interpreter
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-_SHOWN_LINES:])
        msg = (
            f"The wheel of {metadata.project_name} could not be built from {metadata.config_file}. Correct what the build says "
            f"at its end:\n{said}"
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
        f"The wheel that {metadata.config_file} describes does not hold the package {metadata.package_name!r}. Say where it is: "
        f'with hatchling by [tool.hatch.build.targets.wheel] packages = ["src/{folder}"].'
    )
    raise ProjectError(msg, file=str(metadata.config_file), key="package_name")


def _pack_conf(metadata: ProjectMetadata, conf_source: str, target: Path) -> Path | None:
    import tarfile

    conf = metadata.project_path / conf_source
    if not conf.is_dir():
        return None

    def shared(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        parts = Path(entry.name).parts[1:]
        if parts[:1] == (PRIVATE_ENVIRONMENT,) or any(part.startswith(".") for part in parts):
            return None
        # Whoever packed it, and when, is nobody's business; and the same configuration makes the same archive.
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        return entry

    archive_path = target / archive_name(metadata.package_name)
    with tarfile.open(archive_path, "w:gz") as archive:
        archive.add(conf, arcname="conf", filter=shared)
    return archive_path
