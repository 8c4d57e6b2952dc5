"""YAML files. State: that of a file dataset. Neighbours: `file`."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, ClassVar

from treadle.io.datasets.file import FileDataset

if TYPE_CHECKING:
    from collections.abc import Mapping


class YAMLDataset(FileDataset):
    """A value in a YAML file, read and written without running code; `save_args` go to `yaml.dump`."""

    default_save_args: ClassVar[Mapping[str, Any]] = {"default_flow_style": False, "sort_keys": False, "allow_unicode": True}

    def read(self, file: IO[Any]) -> Any:
        """Parse the file."""
        import yaml

        return yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader), **self.load_args)  # noqa: S506 - both are safe

    def write(self, file: IO[Any], data: Any) -> None:
        """Write the value."""
        import yaml

        yaml.dump(data, file, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), **self.save_args)
