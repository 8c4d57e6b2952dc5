"""Validate typed parameters before a run starts, so that an invalid one is not found hours later.

State: none. Neighbours: `treadle.pipeline.typed` finds the annotations and builds the values; each attempt builds its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.errors import ConfigError
from treadle.pipeline.typed import build_parameter, typed_parameters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.io import Catalog
    from treadle.pipeline import Pipeline


def wrong_parameters(pipeline: Pipeline, catalog: Catalog) -> Iterator[ConfigError]:
    """Build every typed parameter once, to find those that are invalid.

    Args:
        pipeline: the nodes that will run.
        catalog: has the parameters.

    Yields:
        An error for each parameter that does not match its annotation; names the key and the node.
    """
    for node in pipeline.links.with_parameters:
        for dataset, annotation in typed_parameters(node).items():
            if dataset in catalog:
                try:
                    build_parameter(node, dataset, annotation, catalog.load(dataset))
                except ConfigError as exc:
                    yield exc


def check_parameters(pipeline: Pipeline, catalog: Catalog) -> None:
    """Raise if a typed parameter does not match its annotation.

    Args:
        pipeline: the nodes that will run.
        catalog: has the parameters.

    Raises:
        ConfigError: a parameter does not match; names the key and the node of the first one.
    """
    for error in wrong_parameters(pipeline, catalog):
        raise error
