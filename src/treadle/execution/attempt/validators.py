"""The validators of datasets in memory, whose values the engine transfers: they never pass through the catalog.

State: the imported validators, one object for each run and process. Neighbours: `attempt.py` checks values here;
`treadle.io.validation` has the validators, and the catalog checks the values of all other datasets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.errors import DatasetError
from treadle.io.validation import LOAD, SAVE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from treadle.io.validation.checking import DatasetValidator
    from treadle.io.validation.declaration import ValidatorRecipe


class MemoryValidators:
    """Check values in memory.

    Args:
        recipes: pairs of the index of a dataset and its declared validator.
        names: the names of all datasets, by index.
    """

    def __init__(self, recipes: Iterable[tuple[int, ValidatorRecipe]], names: Sequence[str]) -> None:
        self._recipes = dict(recipes)
        self._names = names
        self._imported: dict[int, DatasetValidator] = {}

    def around(
        self, node: str, load_input: Callable[[int], Any], store_output: Callable[[int, Any], None]
    ) -> tuple[Callable[[int], Any], Callable[[int, Any], None]]:
        """Return functions that load and store values as the given ones do, and check them.

        Args:
            node: name of the node, for errors.
            load_input: returns the value of a dataset, given its index.
            store_output: stores the value of a dataset, given its index and the value.
        """
        return (
            lambda dataset: self._check(node, dataset, load_input(dataset), LOAD),
            lambda dataset, data: store_output(dataset, self._check(node, dataset, data, SAVE)),
        )

    def _check(self, node: str, dataset: int, data: Any, moment: str) -> Any:
        recipe = self._recipes.get(dataset)
        if recipe is None:
            return data
        try:
            validator = self._imported.get(dataset)
            if validator is None:
                from treadle.io.validation.checking import DatasetValidator

                validator = self._imported[dataset] = DatasetValidator(self._names[dataset], recipe)
            return validator.check(data, moment)
        except DatasetError as exc:
            exc.node = node
            raise


def memory_validators(recipes: Iterable[tuple[int, ValidatorRecipe]], names: Sequence[str]) -> MemoryValidators | None:
    """Return the validators of a run; None if no dataset in memory has one.

    Args:
        recipes: pairs of the index of a dataset and its declared validator.
        names: the names of all datasets, by index.
    """
    found = tuple(recipes)
    return MemoryValidators(found, names) if found else None
