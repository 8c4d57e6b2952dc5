"""The project's own dataset class; the catalog refers to it by its full path: `__package_name__.datasets.FigureDataset`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.image import imread
from treadle import Dataset


class FigureDataset(Dataset):
    """A matplotlib figure, saved as a PNG file and loaded as an array of pixels.

    Create figures with `matplotlib.figure.Figure` instead of pyplot. Pyplot stores every figure in a global list, which leaks memory
    in a long-lived worker and is not thread-safe.

    Args:
        filepath: path of the PNG file.
        dpi: pixels per inch.
    """

    def __init__(self, filepath: str, dpi: int = 150) -> None:
        self._path = Path(filepath)
        self._dpi = dpi

    def load(self) -> Any:
        """Read the PNG file.

        Returns:
            Its pixels: an array of height × width × 4, from 0 to 1.
        """
        return imread(self._path)

    def save(self, data: Figure) -> None:
        """Draw the figure, and replace the file atomically, so that readers never see a partial picture.

        Args:
            data: the figure.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_name(f".{self._path.name}.partial")
        data.savefig(partial, format="png", dpi=self._dpi)
        partial.replace(self._path)

    def exists(self) -> bool:
        """Return whether the file exists.

        Returns:
            True if it exists.
        """
        return self._path.is_file()

    def describe(self) -> dict[str, Any]:
        """Describe this dataset for listings.

        Returns:
            Its path and resolution.
        """
        return {"filepath": str(self._path), "dpi": self._dpi}
