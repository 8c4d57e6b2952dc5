"""A dataset of lines of text: `type: ledger.LinesDataset`."""

from pathlib import Path

from treadle import Dataset


class LinesDataset(Dataset):
    """A list of texts in a file, a line for each."""

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
        """Say whether the file is there."""
        return self.filepath.exists()
