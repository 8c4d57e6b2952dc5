"""The pipeline `modelling`."""

from __package_name__.pipelines.modelling.pipeline import create_pipeline

__all__ = ["create_pipeline"]
