"""The pipeline `delays`."""

from __package_name__.pipelines.delays.pipeline import create_pipeline

__all__ = ["create_pipeline"]
