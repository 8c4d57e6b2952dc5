"""Text files. State: that of a file dataset. Neighbours: `file`."""

from __future__ import annotations

from typing import IO, Any, ClassVar

from treadle.errors import DatasetError
from treadle.io.datasets.file import FileDataset


class TextDataset(FileDataset):
    """A string in a text file, in UTF-8 unless `load_args` and `save_args` have an `encoding`; `mode: a` appends.

    Example:
        >>> from tempfile import mkdtemp
        >>> dataset = TextDataset(f"{mkdtemp()}/note.txt")
        >>> dataset.save("hello")
        >>> dataset.load()
        'hello'
    """

    appendable: ClassVar[bool] = True
    takes_library_args: ClassVar[bool] = False

    def read(self, file: IO[Any]) -> str:
        """Read the whole text."""
        return str(file.read())

    def write(self, file: IO[Any], data: Any) -> None:
        """Write a string.

        Raises:
            DatasetError: the value is not a string.
        """
        if not isinstance(data, str):
            msg = f"A text dataset saves strings, not {type(data).__name__}."
            raise DatasetError(msg)
        file.write(data)
