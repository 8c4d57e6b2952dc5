"""Create recipes and dataset factories from the catalog's configuration.

State: none. Neighbours: `catalog` calls it; `recipe` has the class of the recipes, `factories` finds recipes by pattern.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.errors import DatasetError
from treadle.io.factories import DatasetFactories
from treadle.io.recipe import DatasetRecipe, credential_names
from treadle.io.validation import KEY as VALIDATOR_KEY
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    import os


def read_entries(
    catalog: Mapping[Any, Mapping[str, Any]],
    credentials: Mapping[str, Any],
    project_path: str | os.PathLike[str] | None,
    load_versions: Mapping[str, str],
    save_version: str,
) -> tuple[dict[str, DatasetRecipe], DatasetFactories]:
    """Return a recipe for each entry of a catalog's configuration, by name, and the factories that its patterns make.

    Args:
        catalog: entries by name; names that begin with an underscore (YAML anchors) are ignored.
        credentials: all credentials; each recipe gets only those that it refers to.
        project_path: the folder that relative paths start from; None for the working directory.
        load_versions: versions to load, by dataset name.
        save_version: the version that this run saves.

    Returns:
        the recipes, in the order of the entries, and the factories.

    Raises:
        DatasetError: a name is not a string, or an entry is not a mapping, has no type, or has a `versioned` other than true or
            false, or an invalid validator or pattern.
    """
    base = str(Path(project_path or ".").absolute())
    recipes: dict[str, DatasetRecipe] = {}
    templates = []
    for name, entry in catalog.items():
        if not isinstance(name, str):
            msg = (
                f"The catalog has an entry named {name!r}, which YAML reads as {type(name).__name__}. The name of a dataset must "
                f'be a string: write it in quotes: "{_as_written(name)}".'
            )
            raise DatasetError(msg, dataset=str(name))
        if name.startswith("_"):
            continue
        _check_entry(name, entry)
        used = {wanted: credentials[wanted] for wanted in credential_names(entry) if wanted in credentials}
        recipe = DatasetRecipe(name, entry, used, base, load_versions.get(name), save_version)
        if "{" in name:
            templates.append(recipe)
        else:
            recipes[name] = recipe
    return recipes, DatasetFactories(templates, credentials, load_versions)


def _check_entry(name: str, entry: Any) -> None:
    if not isinstance(entry, Mapping):
        from treadle.secrets import mask_setting

        shown = mask_setting(repr(entry))  # it may be a URL with a password
        msg = f"Catalog entry {name!r} must be a mapping with a `type`, not {shown}. Check its indentation."
        raise DatasetError(msg, dataset=name)
    _check_versioned(name, entry)
    _check_validator(name, entry)
    if "type" not in entry:
        close = close_names("type", [str(key) for key in entry], most=1)
        likely = f" It has the key {close[0]!r}.{did_you_mean(['type'])}" if close else ""
        msg = f"Catalog entry {name!r} has no `type`, such as `pandas.CSVDataset`.{likely}"
        raise DatasetError(msg, dataset=name)


def _check_versioned(name: str, entry: Mapping[str, Any]) -> None:
    """Raise if `versioned` is a string or number, in the entry or in a nested one: any non-empty string would mean true."""
    versioned = entry.get("versioned")
    if versioned is not None and not isinstance(versioned, bool):
        close = close_names(versioned, ["true", "false"], most=1)
        likely = did_you_mean(f"versioned: {each}" for each in close)
        msg = f"Catalog entry {name!r} has `versioned: {versioned!r}`. Write true or false, without quotes.{likely}"
        raise DatasetError(msg, dataset=name)
    inner = entry.get("dataset")
    if isinstance(inner, Mapping):
        _check_versioned(name, inner)


def _check_validator(name: str, entry: Mapping[str, Any]) -> None:
    """Raise if a validator is declared incorrectly, or in the entry of a wrapped dataset, where it would not be used."""
    if entry.get(VALIDATOR_KEY) is not None:
        from treadle.io.validation.declaration import read_validator

        read_validator(name, entry[VALIDATOR_KEY])
    inner = entry.get("dataset")
    if isinstance(inner, Mapping) and VALIDATOR_KEY in inner:
        msg = f"Catalog entry {name!r} has a `validator` in its `dataset`. Move it one level up, to the entry itself."
        raise DatasetError(msg, dataset=name)


def _as_written(name: Any) -> str:
    return (
        {True: "true", False: "false", None: "null"}.get(name, str(name)) if isinstance(name, (bool, type(None))) else str(name)
    )
