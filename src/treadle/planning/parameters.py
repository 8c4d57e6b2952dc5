"""Typed parameters, checked before anything runs: a wrong one should not cost an hour of work. No state.

Neighbours: `treadle.pipeline.typed` says what nodes want and builds it, here to see that it can be; an attempt builds its own.
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
    """Build every typed parameter once.

    Args:
        pipeline: the nodes that will run.
        catalog: has the parameters.

    Yields:
        An error for each parameter that does not fit; it names the key and the node.
    """
    for node in pipeline.nodes:
        for dataset, annotation in typed_parameters(node).items():
            if dataset in catalog:
                try:
                    build_parameter(node, dataset, annotation, catalog.load(dataset))
                except ConfigError as exc:
                    yield exc


def check_parameters(pipeline: Pipeline, catalog: Catalog) -> None:
    """Raise if a typed parameter does not fit its annotation.

    Args:
        pipeline: the nodes that will run.
        catalog: has the parameters.

    Raises:
        ConfigError: the first parameter that does not fit; names the key and the node.
    """
    for error in wrong_parameters(pipeline, catalog):
        raise error
