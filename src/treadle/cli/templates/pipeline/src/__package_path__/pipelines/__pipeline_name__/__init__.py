"""The pipeline `__pipeline_name__`."""

from __package_name__.pipelines.__pipeline_name__.pipeline import create_pipeline

__all__ = ["create_pipeline"]
