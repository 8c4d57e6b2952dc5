"""The validators of a catalog's datasets: declared in their entries, and imported when a value is checked.

State: the imported validators, and those of datasets whose entries were replaced by values. Neighbour: `catalog`, whose class
inherits from this one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from treadle.io.validation import KEY

if TYPE_CHECKING:
    from treadle.io.dataset import Dataset
    from treadle.io.recipe import DatasetRecipe
    from treadle.io.validation.checking import DatasetValidator
    from treadle.io.validation.declaration import ValidatorRecipe


class ValidatedDatasets(ABC):
    """The methods of a catalog that find validators."""

    _recipes: dict[str, DatasetRecipe]
    _datasets: dict[str, Dataset]
    _validators: dict[str, DatasetValidator]
    _kept_validators: dict[str, ValidatorRecipe]

    @abstractmethod
    def recipe(self, name: str) -> DatasetRecipe | None:
        """Return the recipe of a dataset that configuration declares."""

    def validator_recipe(self, name: str) -> ValidatorRecipe | None:
        """Return the declared validator of a dataset; None if it has none.

        Raises:
            DatasetError: the declaration is invalid.
        """
        recipe = self._recipes.get(name)
        if recipe is None and name not in self._datasets:
            recipe = self.recipe(name)
        return self._kept_validators.get(name) if recipe is None else recipe.validator()

    def validator(self, name: str) -> DatasetValidator | None:
        """Return the validator of a dataset, imported in this process; None if it has none.

        Raises:
            DatasetError: it cannot be imported, or is no validator.
        """
        declared = self.validator_recipe(name)
        if declared is None:
            return None
        known = self._validators.get(name)
        if known is None or known.recipe != declared:
            from treadle.io.validation.checking import DatasetValidator

            known = self._validators[name] = DatasetValidator(name, declared)
        return known

    def _with_validator(self, recipe: DatasetRecipe) -> DatasetRecipe:
        """Add the validator of the dataset that a recipe replaces."""
        replaced = self.recipe(recipe.name)
        if replaced is None or KEY not in replaced.config or KEY in recipe.config:
            return recipe
        return recipe._replace(config={**recipe.config, KEY: replaced.config[KEY]})
