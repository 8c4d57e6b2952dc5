"""Excel workbooks as pandas frames. State: that of a file dataset. Neighbours: `file`."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import IO, Any, ClassVar

from treadle.errors import DatasetError
from treadle.io.datasets.file import FileDataset


class ExcelDataset(FileDataset):
    """A frame, or frames by sheet name, in an Excel workbook.

    `load_args` go to `pandas.read_excel` (`sheet_name: null` loads all sheets as a dict). `save_args` go to
    `DataFrame.to_excel` (without the index), except those in its key `writer`, which go to `pandas.ExcelWriter`.
    """

    binary: ClassVar[bool] = True
    default_load_args: ClassVar[Mapping[str, Any]] = {"engine": "openpyxl"}
    default_save_args: ClassVar[Mapping[str, Any]] = {"index": False}

    def check_arguments(self) -> None:
        """Raise if the writer should append: a workbook is always written as a whole."""
        if "a" in str(self.save_args.get("writer", {}).get("mode", "")):
            msg = "A workbook is written as a whole, so its writer cannot append. Save a dict of frames by sheet name."
            raise DatasetError(msg)

    def read(self, file: IO[Any]) -> Any:
        """Parse the workbook."""
        import pandas as pd

        return pd.read_excel(file, **self.load_args)

    def write(self, file: IO[Any], data: Any) -> None:
        """Write the frame, or a sheet for each frame of a dict.

        Raises:
            DatasetError: the value is neither.
        """
        import pandas as pd

        arguments = dict(self.save_args)
        writing: dict[str, Any] = {"engine": "openpyxl", **arguments.pop("writer", {})}
        sheet_name = arguments.pop("sheet_name", "Sheet1")
        sheets = data if isinstance(data, Mapping) else {sheet_name: data}
        if not sheets or not all(hasattr(frame, "to_excel") for frame in sheets.values()):
            msg = f"A workbook is saved from a frame or a non-empty dict of frames by sheet name, not from {type(data).__name__}."
            raise DatasetError(msg)
        workbook = io.BytesIO()  # a writer that fails still writes its archive, which must not reach the file
        with pd.ExcelWriter(workbook, **writing) as writer:
            for sheet, frame in sheets.items():
                frame.to_excel(writer, sheet_name=sheet, **arguments)
        file.write(workbook.getbuffer())
