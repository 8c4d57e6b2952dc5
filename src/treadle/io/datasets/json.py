"""JSON files. State: that of a file dataset. Neighbours: `file`."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any, ClassVar

from treadle.io.datasets.file import FileDataset

if TYPE_CHECKING:
    from collections.abc import Mapping


class JSONDataset(FileDataset):
    """A value in a JSON file; `load_args` go to `json.load`, `save_args` to `json.dump`."""

    load_encoding: ClassVar[str | None] = "utf-8-sig"  # UTF-8 with or without a byte order mark
    default_save_args: ClassVar[Mapping[str, Any]] = {"indent": 2}

    def read(self, file: IO[Any]) -> Any:
        """Parse the file."""
        return json.load(file, **self.load_args)

    def write(self, file: IO[Any], data: Any) -> None:
        """Write the value and a newline."""
        file.write(json.dumps(data, **self.save_args) + "\n")
