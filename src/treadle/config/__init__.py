"""Configuration: the files of a project's `conf/`, merged and resolved, and parameters typed on a command line."""

from treadle.config.loader import ConfigLoader
from treadle.config.params import merge_params, parse_params

__all__ = ["ConfigLoader", "merge_params", "parse_params"]
