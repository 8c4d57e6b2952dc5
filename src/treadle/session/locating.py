"""Where in the files of a project a dataset is declared, for errors that are about its entry.

State: none. Neighbours: `context.py` and `running.py` meet such errors, `checking.py` lists them; the config loader knows the
files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.errors import ConfigError, DatasetError, UnknownDatasetError

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


def name_place(error: BaseException, config_loader: Any, catalog: Catalog | None = None) -> None:
    """Put in front of an error about a dataset's entry where that entry is.

    Args:
        error: any error; only that of a dataset that is declared is changed.
        config_loader: the loader of the configuration.
        catalog: the catalog, where there is one.
    """
    if isinstance(error, DatasetError) and not isinstance(error, UnknownDatasetError):
        place = declared_in(config_loader, error.dataset, catalog)
        if place is not None and place not in str(error.args[0]):
            error.args = (f"{place}: {error.args[0]}", *error.args[1:])
