"""Settings of the project; a setting that is missing here has its default."""

from __package_name__.hooks import DatasetLog

HOOKS = (DatasetLog(),)
