"""The selections of a pipeline: nodes by name, tag, namespace or dataset, with their ancestors or descendants.

`Pipeline` inherits these methods; `selection.py` has the rules and the errors. State: none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.pipeline import selection
from treadle.pipeline.names import as_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from typing_extensions import Self

    from treadle.pipeline.graph import Graph
    from treadle.pipeline.wiring import Wiring


class Selections:
    """The methods of a pipeline that select nodes; each returns a pipeline of those nodes."""

    __slots__ = ()
    _wiring: Wiring

    if TYPE_CHECKING:

        @property
        def graph(self) -> Graph:
            """The dependencies between nodes."""

        def __len__(self) -> int:
            """Return the number of nodes."""

        def _at(self, indices: set[int]) -> Self:
            """Return the pipeline of the nodes with these indices."""

    def only_nodes(self, *names: str) -> Self:
        """Return the nodes with these names.

        Raises:
            UnknownNameError: an unknown name.
        """
        return self._at(selection.with_names(self._wiring, names))

    def only_nodes_with_tags(self, *tags: str) -> Self:
        """Return the nodes with at least one of the tags.

        Raises:
            UnknownNameError: an unknown tag.
        """
        return self._at(selection.with_tags(self._wiring, tags))

    def only_nodes_with_namespaces(self, *namespaces: str) -> Self:
        """Return the nodes in one of the namespaces, or in one inside it.

        Raises:
            UnknownNameError: a namespace without nodes.
        """
        return self._at(selection.with_namespaces(self._wiring, namespaces))

    def only_nodes_with_inputs(self, *datasets: str) -> Self:
        """Return the nodes with one of the datasets as an input.

        Raises:
            UnknownNameError: a dataset the pipeline does not have.
        """
        return self._at(selection.with_inputs(self._wiring, datasets))

    def only_nodes_with_outputs(self, *datasets: str) -> Self:
        """Return the nodes with one of the datasets as an output.

        Raises:
            UnknownNameError: a dataset the pipeline does not have.
        """
        return self._at(selection.with_outputs(self._wiring, datasets))

    def from_nodes(self, *names: str) -> Self:
        """Return these nodes and all their descendants.

        Raises:
            UnknownNameError: an unknown name.
        """
        return self._at(self.graph.descendants(selection.with_names(self._wiring, names)))

    def to_nodes(self, *names: str) -> Self:
        """Return these nodes and all their ancestors.

        Raises:
            UnknownNameError: an unknown name.
        """
        return self._at(self.graph.ancestors(selection.with_names(self._wiring, names)))

    def from_inputs(self, *datasets: str) -> Self:
        """Return the nodes that depend on these datasets, directly or indirectly.

        Raises:
            UnknownNameError: a dataset the pipeline does not have.
        """
        return self._at(self.graph.descendants(selection.with_inputs(self._wiring, datasets)))

    def to_outputs(self, *datasets: str) -> Self:
        """Return the nodes that these datasets depend on, directly or indirectly.

        Raises:
            UnknownNameError: a dataset the pipeline does not have.
        """
        return self._at(self.graph.ancestors(selection.with_outputs(self._wiring, datasets)))

    def filter(
        self,
        tags: str | Iterable[str] | None = None,
        from_nodes: str | Iterable[str] | None = None,
        to_nodes: str | Iterable[str] | None = None,
        node_names: str | Iterable[str] | None = None,
        from_inputs: str | Iterable[str] | None = None,
        to_outputs: str | Iterable[str] | None = None,
        namespaces: str | Iterable[str] | None = None,
    ) -> Self:
        """Return the nodes that match all filters; None and empty filters match every node.

        Args:
            tags: nodes with one of these tags.
            from_nodes: these nodes and their descendants.
            to_nodes: these nodes and their ancestors.
            node_names: these nodes.
            from_inputs: nodes that depend on these datasets.
            to_outputs: nodes that these datasets depend on.
            namespaces: nodes in these namespaces.

        Returns:
            The nodes in the same order.

        Raises:
            UnknownNameError: an unknown name; the error lists similar names.
            PipelineError: no node matches all filters.
        """
        wiring, graph = self._wiring, self.graph
        filters: dict[str, tuple[str | Iterable[str] | None, Callable[[tuple[str, ...]], set[int]]]] = {
            "tags": (tags, lambda names: selection.with_tags(wiring, names)),
            "from_nodes": (from_nodes, lambda names: graph.descendants(selection.with_names(wiring, names))),
            "to_nodes": (to_nodes, lambda names: graph.ancestors(selection.with_names(wiring, names))),
            "node_names": (node_names, lambda names: selection.with_names(wiring, names)),
            "from_inputs": (from_inputs, lambda names: graph.descendants(selection.with_inputs(wiring, names))),
            "to_outputs": (to_outputs, lambda names: graph.ancestors(selection.with_outputs(wiring, names))),
            "namespaces": (namespaces, lambda names: selection.with_namespaces(wiring, names)),
        }
        chosen = {
            name: choose(names) for name, (given, choose) in filters.items() if (names := as_names(given, f"{name}= of filter()"))
        }
        kept = set(range(len(self))).intersection(*chosen.values())
        if not kept:
            raise selection.no_match_error(len(self), chosen)
        return self if len(kept) == len(self) else self._at(kept)
