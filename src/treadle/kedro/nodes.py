"""Adapt Kedro's nodes and pipelines to Treadle's planner. State: only the wrapped objects."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any, ClassVar, cast

from treadle.execution.protocol.handles import UnpicklableValueError
from treadle.execution.values.in_band import pickle_in_band
from treadle.pipeline.links import link

if TYPE_CHECKING:
    from collections.abc import Callable

    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

    from treadle.pipeline import Node as TreadleNode


class KedroNode:
    """A Kedro node with the attributes that the engine reads: a name, a function, each input and output once.

    Args:
        kedro: the node itself, which is run and passed to hooks.
    """

    __slots__ = ("inputs", "kedro", "name", "outputs", "tags")

    confirms: ClassVar[tuple[str, ...]] = ()
    """Empty for the engine: the code that runs the node confirms its datasets."""
    policy: ClassVar[None] = None
    """None: a Kedro project sets its policies in `execution.yml`."""

    def __init__(self, kedro: Node) -> None:
        self.kedro = kedro
        self.name: str = kedro.name
        self.inputs: tuple[str, ...] = tuple(dict.fromkeys(kedro.inputs))
        self.outputs: tuple[str, ...] = tuple(kedro.outputs)
        self.tags: frozenset[str] = frozenset(kedro.tags)

    @property
    def func(self) -> Callable[..., Any]:
        """The node's function as it is now: a hook may have replaced it."""
        func: Callable[..., Any] = self.kedro.func
        return func

    def __reduce__(self) -> tuple[Any, ...]:
        node = self.kedro
        preview = getattr(node, "_preview_fn", None)
        if preview is not None and not isinstance(preview, _PickledPreview):
            # A run does not need it, but a hook may call it. It may be a lambda, which plain pickle rejects.
            node = copy.copy(node)
            node._preview_fn = _pickled_preview(preview)
        return KedroNode, (node,)

    def __repr__(self) -> str:
        return f"<KedroNode {self.kedro}>"


class _PickledPreview:
    """The preview function of a node in a worker, unpickled when it is called."""

    def __init__(self, pickled: bytes) -> None:
        self._pickled = pickled

    def __call__(self) -> Any:
        return pickle.loads(self._pickled)()  # noqa: S301 - the parent sent it


def _pickled_preview(preview: Callable[..., Any]) -> _PickledPreview | None:
    """Return a preview function for workers; None if it cannot be pickled: no node must stay in this process for its preview."""
    try:
        return _PickledPreview(pickle_in_band(preview))
    except UnpicklableValueError:
        return None


class KedroPipeline:
    """A Kedro pipeline's nodes, in its own topological order.

    Args:
        pipeline: the pipeline.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.nodes = tuple(KedroNode(node) for node in pipeline.nodes)
        self.links = link(cast("tuple[TreadleNode, ...]", self.nodes))
