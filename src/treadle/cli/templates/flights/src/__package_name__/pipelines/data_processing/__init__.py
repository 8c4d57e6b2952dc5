"""The pipeline `data_processing`."""

from __package_name__.pipelines.data_processing.pipeline import create_pipeline

__all__ = ["create_pipeline"]
