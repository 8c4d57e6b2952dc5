"""Settings of the project; everything that is not set here has its default."""

from __package_name__.hooks import DatasetReport

HOOKS = (DatasetReport(),)
