"""Where in the files of a project a dataset is declared, for errors that are about its entry; which files may be missing.

State: none. Neighbours: `context.py` and `running.py` meet such errors, `checking.py` lists them; the config loader knows the
files.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from treadle.errors import ConfigError, DatasetError, MissingConfigError, UnknownDatasetError

if TYPE_CHECKING:
    from treadle.io import Catalog


def declared_in(config_loader: Any, dataset: str | None, catalog: Catalog | None = None) -> str | None:
    """Say where a dataset is declared.

    Args:
        config_loader: the loader of the configuration; a project's own may not know.
        dataset: the dataset's name, or a pattern.
        catalog: says which pattern the name comes from.

    Returns:
        `file, line n`; None where it is not declared, or the loader does not know.
    """
    locate = getattr(config_loader, "locate", None)
    if dataset is None or locate is None:
        return None
    recipe = catalog.recipe(dataset) if catalog is not None else None
    try:
        place = locate("catalog", [recipe.pattern if recipe is not None and recipe.pattern else dataset])
    except ConfigError:  # the files changed since they were read; the error at hand is the one to tell
        return None
    if place is None:
        return None
    file, line = place
    return f"{file}, line {line}" if line else file


def is_optional(error: MissingConfigError, kind: str) -> bool:
    """Say whether a session can do without the configuration that is missing.

    Args:
        error: what the config loader raised. Treadle's own loader names what is missing as the error's `key`: a kind of
            configuration, an environment, or nothing where the whole source does not exist. A loader of the project's own may
            raise where a kind has no file.
        kind: the kind that was asked for.

    Returns:
        False where the source exists and lacks its base environment: what the files say would be ignored in silence.
    """
    return error.key is None or error.key == kind


def missing_catalog(config_loader: Any) -> str | None:
    """Say that there is no catalog file, and which file was probably meant to be one.

    Args:
        config_loader: the loader of the configuration; a project's own may not know its files.

    Returns:
        A sentence; None where there is a catalog file, or the loader does not know.
    """
    files = getattr(config_loader, "files", None)
    try:
        if files is None or files("catalog"):
            return None
        stems = {PurePath(file).stem: file for file in files()}
    except ConfigError:
        return None
    close = get_close_matches("catalog", stems, n=1, cutoff=0.7)
    meant = f" Was {stems[close[0]]} meant to be one?" if close else ""
    return f"No catalog file was found: their names begin with 'catalog', such as conf/base/catalog.yml.{meant}"


def name_place(error: BaseException, config_loader: Any, catalog: Catalog | None = None) -> None:
    """Put in front of an error about a dataset's entry where that entry is.

    Args:
        error: any error; only that of a dataset that is declared is changed.
        config_loader: the loader of the configuration.
        catalog: the catalog, where there is one.
    """
    if isinstance(error, UnknownDatasetError) and not error.close and (missing := missing_catalog(config_loader)) is not None:
        error.args = (f"{error.args[0]} {missing}", *error.args[1:])
    if isinstance(error, DatasetError) and not isinstance(error, UnknownDatasetError):
        place = declared_in(config_loader, error.dataset, catalog)
        if place is not None and place not in str(error.args[0]):
            error.args = (f"{place}: {error.args[0]}", *error.args[1:])
