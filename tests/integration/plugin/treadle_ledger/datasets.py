"""A dataset of lines of text: `type: ledger.LinesDataset`."""

from pathlib import Path

from treadle import Dataset


class LinesDataset(Dataset):
    """A list of strings, stored as the lines of a file."""

    def __init__(self, filepath):
        self.filepath = Path(filepath)

    def load(self):
        """Read the lines."""
        return self.filepath.read_text(encoding="utf-8").splitlines()

    def save(self, data):
        """Write the lines."""
        self.filepath.parent.mkdir(parents=True, exist_ok=True)
        self.filepath.write_text("".join(f"{line}\n" for line in data), encoding="utf-8")

    def exists(self):
        """Return whether the file exists."""
        return self.filepath.exists()
