"""Add the file and line of a catalog entry to errors about it, and point out a missing catalog file.

State: none. Neighbours: `context.py` and `running.py` handle such errors, `checking.py` reports them; the config loader knows
the files.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from treadle.errors import ConfigError, DatasetError, MissingConfigError, UnknownDatasetError
from treadle.suggestions import close_names

if TYPE_CHECKING:
    from treadle.io import Catalog


def declared_in(config_loader: Any, dataset: str | None, catalog: Catalog | None = None) -> str | None:
    """Return where a dataset is declared.

    Args:
        config_loader: the config loader; a custom one may have no `locate`.
        dataset: name of the dataset, or a pattern.
        catalog: finds the pattern that the name matches.

    Returns:
        `file, line n`; None if it is not declared or the loader cannot locate it.
    """
    locate = getattr(config_loader, "locate", None)
    if dataset is None or locate is None:
        return None
    recipe = catalog.recipe(dataset) if catalog is not None else None
    try:
        place = locate("catalog", [recipe.pattern if recipe is not None and recipe.pattern else dataset])
    except ConfigError:  # the files changed since they were read; report the original error without a location
        return None
    if place is None:
        return None
    file, line = place
    return f"{file}, line {line}" if line else file


def configured(config_loader: Any, kind: str) -> Any:
    """Return a kind of configuration; an empty mapping if there are no files of it and a session can run without them.

    Args:
        config_loader: the config loader.
        kind: `catalog`, `parameters` or `credentials`.

    Raises:
        ConfigError: a configuration file is invalid, or the environment does not exist.
    """
    try:
        return config_loader[kind]
    except MissingConfigError as exc:
        if is_optional(exc, kind):
            return {}
        raise


def is_optional(error: MissingConfigError, kind: str) -> bool:
    """Return whether a session can run without the missing configuration.

    Args:
        error: raised by the config loader. Treadle's loader sets `key` to what is missing: a kind of configuration, an
            environment, or None if the whole source does not exist. A custom loader may raise it for a kind without files.
        kind: the requested kind.

    Returns:
        False if the source exists but its environment does not: its files would be silently ignored.
    """
    return error.key is None or error.key == kind


def missing_catalog(config_loader: Any) -> str | None:
    """Return a message if the configuration has no catalog file, naming a file that was probably meant as one.

    Args:
        config_loader: the config loader; a custom one may have no `files`.

    Returns:
        The message; None if there is a catalog file or the loader cannot list its files.
    """
    files = getattr(config_loader, "files", None)
    try:
        if files is None or files("catalog"):
            return None
        stems = {PurePath(file).stem: file for file in files()}
    except ConfigError:
        return None
    close = close_names("catalog", stems, most=1, cutoff=0.7)
    meant = f" Was {stems[close[0]]} meant as the catalog file?" if close else ""
    return f"No catalog file was found. Its name must begin with 'catalog', for example conf/base/catalog.yml.{meant}"


def name_place(error: BaseException, config_loader: Any, catalog: Catalog | None = None) -> None:
    """Prefix the message of a dataset error with the file and line of the catalog entry.

    Args:
        error: any error; only errors about a declared dataset are changed.
        config_loader: the config loader.
        catalog: the catalog, if it was created.
    """
    if isinstance(error, UnknownDatasetError) and not error.close and (missing := missing_catalog(config_loader)) is not None:
        error.args = (f"{error.args[0]} {missing}", *error.args[1:])
    if isinstance(error, DatasetError) and not isinstance(error, UnknownDatasetError):
        place = declared_in(config_loader, error.dataset, catalog)
        if place is not None and place not in str(error.args[0]):
            error.args = (f"{place}: {error.args[0]}", *error.args[1:])
