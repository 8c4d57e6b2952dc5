"""Find the code that loads and saves the datasets of a node: their classes, and datasets that are objects without an entry.

Treadle's own classes do not count. State: what was found so far. Neighbours: `node_facts.py` adds it to what a node depends on,
`treadle.fingerprint` follows the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from treadle.errors import TreadleError
from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from treadle.fingerprint import CodeFingerprint, Fingerprinter
    from treadle.io import Catalog


class DatasetCode(NamedTuple):
    """The code of a dataset.

    Attributes:
        parts: what it consists of, with the labels of the fingerprint.
        doubt: why it cannot be compared; may be empty.
    """

    parts: Mapping[str, str]
    doubt: str


_OURS = DatasetCode({}, "")
"""A dataset that only Treadle's code loads and saves."""


class DatasetCodes:
    """Finds the code of datasets.

    Args:
        catalog: the catalog of the run.
        fingerprinter: follows the code.
    """

    def __init__(self, catalog: Catalog, fingerprinter: Fingerprinter) -> None:
        self._catalog = catalog
        self._fingerprinter = fingerprinter
        self._of_class: dict[type[Any], DatasetCode] = {}

    def of_entry(self, name: str) -> DatasetCode:
        """Return the code of a dataset that the catalog's configuration declares."""
        recipe = self._catalog.recipe(name)
        try:
            kinds = recipe.foreign_classes() if recipe is not None else []
        except TreadleError:  # the run reports it
            kinds = []
        return self._joined([self._class(kind) for kind in dict.fromkeys(kinds)]) if kinds else _OURS

    def of_object(self, name: str, ignored: Collection[str]) -> tuple[str, str]:
        """Describe a dataset that code has added to the catalog: its class and its arguments, or else its attributes.

        Args:
            name: the dataset.
            ignored: the arguments that do not change the data.

        Returns:
            A digest, and why the dataset cannot be compared; the latter may be empty.
        """
        dataset: Any = self._catalog[name]
        arguments = _arguments(dataset)
        kept = None if arguments is None else {key: each for key, each in arguments.items() if key not in ignored}
        code = self._fingerprinter.of((type(dataset), kept if kept is not None else dataset))  # type: ignore[arg-type]  # any value
        return code.digest, "" if code.is_complete else _doubt(name, code)

    def _class(self, kind: type[Any]) -> DatasetCode:
        known = self._of_class.get(kind)
        if known is None:
            code = self._fingerprinter.of(kind)
            parts = {label: each for label, each in code.parts.items() if label != "callable"}
            doubt = "" if code.is_complete else _doubt(f"class {kind.__qualname__}", code)
            known = self._of_class[kind] = DatasetCode(parts, doubt)
        return known

    @staticmethod
    def _joined(codes: Iterable[DatasetCode]) -> DatasetCode:
        parts: dict[str, str] = {}
        doubts: list[str] = []
        for each in codes:
            parts |= each.parts
            doubts += [each.doubt] if each.doubt else []
        return DatasetCode(parts, "; ".join(doubts))


def _arguments(dataset: Any) -> Mapping[str, Any] | None:
    """Return the arguments that a dataset was created with; None if it does not know them."""
    try:
        found = dataset.entry() if callable(getattr(dataset, "entry", None)) else getattr(dataset, "_init_args", None)
    except TreadleError:  # it has credentials
        return None
    return found if isinstance(found, Mapping) else None


def _doubt(what: str, code: CodeFingerprint) -> str:
    return f"the dataset {what} cannot be compared: {' '.join(code.unknown)}"
