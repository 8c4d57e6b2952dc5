"""The pipeline `features`."""

from __package_name__.pipelines.features.pipeline import create_pipeline

__all__ = ["create_pipeline"]
