"""The pipeline `cleaning`."""

from __package_name__.pipelines.cleaning.pipeline import create_pipeline

__all__ = ["create_pipeline"]
