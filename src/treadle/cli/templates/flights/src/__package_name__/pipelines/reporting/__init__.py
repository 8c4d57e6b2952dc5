"""The pipeline `reporting`."""

from __package_name__.pipelines.reporting.pipeline import create_pipeline

__all__ = ["create_pipeline"]
