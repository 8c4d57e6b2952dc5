"""The pipeline `__pipeline_name__`."""

from __package_name__.pipelines import __pipeline_name__


def test_the_pipeline_can_be_made():
    """The pipeline can be created."""
    assert __pipeline_name__.create_pipeline() is not None
