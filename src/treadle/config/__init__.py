"""Configuration: merge and resolve the files of a project's `conf/`, and parse parameters from the command line. State: none."""

from treadle.config.loader import ConfigLoader
from treadle.config.params import merge_params, parse_params

__all__ = ["ConfigLoader", "merge_params", "parse_params"]
