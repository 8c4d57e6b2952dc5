"""A kind of dataset of the project's own, which the catalog finds by its full path: `__package_name__.datasets.FigureDataset`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.image import imread
from treadle import Dataset


class FigureDataset(Dataset):
    """A matplotlib figure, saved as a PNG file; loading it gives the pixels.

    Figures are made with `matplotlib.figure.Figure`, not with pyplot: pyplot keeps every figure in a global list, which
    leaks memory in a worker that lives long and goes wrong in threads.

    Args:
        filepath: where the picture goes.
        dpi: pixels per inch.
    """

    def __init__(self, filepath: str, dpi: int = 150) -> None:
        self._path = Path(filepath)
        self._dpi = dpi

    def load(self) -> Any:
        """Read the picture.

        Returns:
            Its pixels: an array of height × width × 4, from 0 to 1.
        """
        return imread(self._path)

    def save(self, data: Figure) -> None:
        """Draw the figure and write it; whoever looks sees the old picture or the new one, never half of one.

        Args:
            data: the figure.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_name(f".{self._path.name}.partial")
        data.savefig(partial, format="png", dpi=self._dpi)
        partial.replace(self._path)

    def exists(self) -> bool:
        """Tell whether the picture was made.

        Returns:
            True if the file is there.
        """
        return self._path.is_file()

    def describe(self) -> dict[str, Any]:
        """Say what this dataset is.

        Returns:
            Its path and resolution.
        """
        return {"filepath": str(self._path), "dpi": self._dpi}
