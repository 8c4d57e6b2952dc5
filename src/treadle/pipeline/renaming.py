"""Rename the datasets of a pipeline, for `pipeline(...)` with mappings or a namespace.

A mapped dataset gets its new name, a dataset that is listed without a mapping keeps its name, and all others get the namespace as
a prefix. State: none. Neighbours: `pipeline_class.py` and `namespace.py` call it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from treadle.errors import PipelineError, UnknownNameError
from treadle.parameter_names import ALL_PARAMETERS, PARAMETER_PREFIX, is_parameter
from treadle.pipeline.names import TRANSCODING, as_names, base_name, check_dataset_name, check_label, check_namespace, listed
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from treadle.pipeline.node import Node

Names: TypeAlias = "str | Iterable[str] | Mapping[str, str] | None"


@dataclass(frozen=True, slots=True)
class Renaming:
    """New names for datasets.

    Attributes:
        mapping: old name to new name; a name without a format applies to all formats.
        namespace: the prefix of all other names; None to keep them.
    """

    mapping: Mapping[str, str]
    namespace: str | None

    def __call__(self, name: str) -> str:
        """Return the dataset's new name."""
        if name in self.mapping:
            return self.mapping[name]
        if is_parameter(name):
            if self.namespace is None or name == ALL_PARAMETERS:
                return name
            return f"{PARAMETER_PREFIX}{self.namespace}.{name.removeprefix(PARAMETER_PREFIX)}"
        base, mark, kind = name.partition(TRANSCODING)
        if mark and base in self.mapping:
            return f"{self.mapping[base]}{mark}{kind}"
        return name if self.namespace is None else f"{self.namespace}.{name}"


class NamedNodes(Protocol):
    """The methods of a pipeline that renaming uses."""

    def __iter__(self) -> Iterator[Node]: ...

    def inputs(self) -> set[str]:
        """Return the names of the free inputs."""

    def all_outputs(self) -> set[str]:
        """Return the names of all outputs of nodes."""

    def only_nodes_with_inputs(self, *names: str) -> Iterable[Node]:
        """Return the nodes with one of these inputs."""

    def only_nodes_with_outputs(self, *names: str) -> Iterable[Node]:
        """Return the nodes with one of these outputs."""


def renamed_nodes(
    whole: NamedNodes,
    *,
    inputs: Names = None,
    outputs: Names = None,
    parameters: Names = None,
    tags: str | Iterable[str] | None = None,
    namespace: str | None = None,
    prefix_datasets_with_namespace: bool = True,
) -> list[Node] | None:
    """Return a pipeline's nodes with renamed datasets and a namespace; None if nothing changes.

    Args:
        whole: the pipeline.
        inputs: as in `pipeline(...)`.
        outputs: as in `pipeline(...)`.
        parameters: as in `pipeline(...)`.
        tags: as in `pipeline(...)`.
        namespace: as in `pipeline(...)`.
        prefix_datasets_with_namespace: as in `pipeline(...)`.

    Raises:
        UnknownNameError: the pipeline does not have a mapped name; the error lists similar names.
        PipelineError: a mapping is invalid.
    """
    if namespace is not None:
        check_namespace(namespace, "The pipeline")
    mapping = {
        **_mapped_inputs(whole, inputs),
        **_mapped_outputs(whole, outputs),
        **_mapped_parameters(whole, parameters),
    }
    labels = [check_label(tag, "tag", "The pipeline") for tag in as_names(tags, "tags= of pipeline()")]
    if not mapping and not labels and namespace is None:
        return None
    rename = Renaming(mapping, namespace if prefix_datasets_with_namespace else None)
    return [node.copy_with(rename=rename, namespace=namespace, tags=labels) for node in whole]


def _mapped_inputs(whole: NamedNodes, given: Names) -> dict[str, str]:
    mapping = _as_mapping(given, "inputs")
    if not mapping:
        return mapping
    free = {name for name in whole.inputs() if not is_parameter(name)}
    made = _with_bases(whole.all_outputs())
    for name in mapping:
        if is_parameter(name):
            msg = f"inputs= of pipeline() has the parameter {name!r}. List parameters in parameters=."
            raise PipelineError(msg)
        if name in made:
            maker = next(iter(whole.only_nodes_with_outputs(name)))
            msg = f"inputs= of pipeline() has {name!r}, which is an output of node {maker.name!r}. List it in outputs=."
            raise PipelineError(msg, nodes=(maker.name,))
    _check_known(mapping, _with_bases(free), "inputs", "free input")
    _check_targets(mapping, free, "inputs")
    return mapping


def _mapped_outputs(whole: NamedNodes, given: Names) -> dict[str, str]:
    mapping = _as_mapping(given, "outputs")
    if not mapping:
        return mapping
    free = _with_bases(whole.inputs())
    for name in mapping:
        if name in free:
            takers = tuple(node.name for node in whole.only_nodes_with_inputs(name))
            where = "parameters=" if is_parameter(name) else "inputs="
            msg = f"outputs= of pipeline() has {name!r}, an input of {listed(takers)} that no node produces. List it in {where}."
            raise PipelineError(msg, nodes=takers)
    _check_known(mapping, _with_bases(whole.all_outputs()), "outputs", "output")
    _check_targets(mapping, whole.all_outputs(), "outputs")
    return mapping


def _mapped_parameters(whole: NamedNodes, given: Names) -> dict[str, str]:
    plain = _as_mapping(given, "parameters")
    mapping = {_as_parameter(old): _as_parameter(new) for old, new in plain.items()}
    _check_known(mapping, {name for name in whole.inputs() if is_parameter(name)}, "parameters", "parameter")
    return mapping


def _as_mapping(given: Names, side: str) -> dict[str, str]:
    """Convert names or a mapping to a mapping of valid old and new names."""
    owner = f"{side}= of pipeline()"
    pairs = given.items() if isinstance(given, Mapping) else [(name, name) for name in as_names(given, owner)]
    return {check_dataset_name(old, owner): check_dataset_name(new, owner) for old, new in pairs}


def _as_parameter(name: str) -> str:
    return name if is_parameter(name) else f"{PARAMETER_PREFIX}{name}"


def _with_bases(names: set[str]) -> set[str]:
    return names | {base_name(name) for name in names}


def _check_known(mapping: Mapping[str, str], known: set[str], side: str, kind: str) -> None:
    for name in mapping:
        if name in known:
            continue
        close = close_names(name, known)
        known_ones = f"It has {listed(sorted(known))}." if known else "It has none."
        hint = did_you_mean(close, known_ones)
        msg = f"{side}= of pipeline() has {name!r}, but the pipeline has no {kind} of that name.{hint}"
        raise UnknownNameError(msg, name=name, close=close)


def _check_targets(mapping: Mapping[str, str], written: set[str], side: str) -> None:
    for old, new in mapping.items():
        if side == "outputs" and is_parameter(new):
            msg = f"outputs= of pipeline() maps {old!r} to {new!r}, but parameters are read only. Map it to a dataset."
            raise PipelineError(msg)
        if TRANSCODING in new and old not in written:
            msg = (
                f"{side}= of pipeline() maps {old!r} to {new!r}, but the pipeline uses {old!r} with formats, and each use keeps"
                f" its own. Map it to {base_name(new)!r}."
            )
            raise PipelineError(msg)
