"""A node: a function, wired by the names of the datasets it takes and makes.

A Node is frozen and checked when it is made. It holds no data and no catalog: the engine hands values in by `call`
and takes them out by `unpack`. `arguments.py` knows the shapes, `functions.py` the function, `node_checks.py` what is refused;
`pipeline.py` joins nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from treadle.errors import PipelineError
from treadle.pipeline.arguments import Arguments, Returns, Shape, parse_arguments, parse_returns
from treadle.pipeline.functions import function_name, same_function
from treadle.pipeline.names import as_names, check_dataset_name, check_label, check_namespace, listed, made_name
from treadle.pipeline.node_checks import check_callable, check_function, check_wiring
from treadle.pipeline.policy import check_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from treadle.pipeline.policy import NodePolicy

Datasets: TypeAlias = "str | Sequence[str] | Mapping[str, str] | None"


@dataclass(frozen=True, slots=True, init=False, eq=False, repr=False)
class Node:
    """A function and the datasets it takes and makes.

    Two nodes are equal where function, inputs, outputs, name, tags, confirms and namespace are. A node that is given
    no name makes one of its function and its first output (`clean__table`), or of its inputs where it has no output
    (`report__table__model`): the same code gives the same name in every process. Such names do not clash in a
    pipeline, where each dataset has one maker; two nodes without outputs that call the same function on the same
    inputs need names, and the pipeline says so.

    Args:
        func: what to run: any callable but a coroutine function.
        inputs: what to call it with: one dataset, a list in the order of its parameters, a dict of parameter to
            dataset, or None.
        outputs: where the result goes: one dataset for the whole, a list for a returned list or tuple, a dict of
            returned key to dataset, or None. What a generator yields is saved chunk by chunk.
        name: what users call the node; unique in a pipeline.
        tags: labels to select it by.
        confirms: datasets to confirm when the node succeeded.
        namespace: the group it belongs to; the prefix of its name.
        policy: how it is to be run: retries, timeout, resources and so on. It is no part of what makes two nodes equal.

    Raises:
        PipelineError: the function cannot be called with these inputs, a name is malformed, an output is a
            parameter, is listed twice or is also an input.
    """

    func: Callable[..., Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    name: str
    short_name: str
    tags: frozenset[str]
    namespace: str | None
    confirms: tuple[str, ...]
    policy: NodePolicy | None
    _given_name: str | None
    _arguments: Arguments
    _returns: Returns

    def __init__(
        self,
        func: Callable[..., Any],
        inputs: Datasets = None,
        outputs: Datasets = None,
        *,
        name: str | None = None,
        tags: str | Iterable[str] | None = None,
        confirms: str | Iterable[str] | None = None,
        namespace: str | None = None,
        policy: NodePolicy | None = None,
    ) -> None:
        check_callable(func)
        owner = f"Node {name!r}" if name is not None else f"A node of the function {function_name(func)!r}"
        if name is not None:
            check_label(name, "name", owner)
        if namespace is not None:
            check_namespace(namespace, owner)
        if policy is not None:
            check_policy(policy, owner)
        arguments, returns = parse_arguments(inputs, owner), parse_returns(outputs, owner)
        self._fill(
            func,
            arguments,
            returns,
            name,
            frozenset()
            if tags is None
            else frozenset([check_label(tag, "tag", owner) for tag in as_names(tags, f"tags of {owner}")]),
            ()
            if confirms is None
            else tuple([check_dataset_name(name, owner) for name in as_names(confirms, f"confirms of {owner}")]),
            namespace,
            policy,
        )
        check_function(self.name, func, arguments)

    def _fill(
        self,
        func: Callable[..., Any],
        arguments: Arguments,
        returns: Returns,
        name: str | None,
        tags: frozenset[str],
        confirms: tuple[str, ...],
        namespace: str | None,
        policy: NodePolicy | None,
    ) -> None:
        """Set the fields, once; check what renaming can break."""
        put = object.__setattr__
        put(self, "func", func)
        put(self, "_arguments", arguments)
        put(self, "_returns", returns)
        put(self, "inputs", arguments.datasets)
        put(self, "outputs", returns.datasets)
        put(self, "tags", tags)
        put(self, "confirms", confirms)
        put(self, "namespace", namespace)
        put(self, "policy", policy)
        put(self, "_given_name", name)
        short = name if name is not None else made_name(function_name(func), self.inputs, self.outputs, namespace)
        put(self, "short_name", short)
        put(self, "name", short if namespace is None else f"{namespace}.{short}")
        check_wiring(self.name, arguments.datasets, returns.datasets)

    def copy_with(
        self,
        *,
        rename: Callable[[str], str] | None = None,
        namespace: str | None = None,
        tags: Iterable[str] = (),
    ) -> Node:
        """Return the node with renamed datasets, under one more namespace, with more tags.

        Args:
            rename: gives the new name of each dataset; None leaves them.
            namespace: goes before the namespace the node has.
            tags: are added.

        Returns:
            A new node; its function is not checked again.
        """
        copy = object.__new__(Node)
        inside = namespace if self.namespace is None else f"{namespace}.{self.namespace}"
        copy._fill(
            self.func,
            self._arguments if rename is None else self._arguments.renamed(rename),
            self._returns if rename is None else self._returns.renamed(rename),
            self._given_name,
            self.tags.union(tags),
            self.confirms if rename is None else tuple(map(rename, self.confirms)),
            self.namespace if namespace is None else inside,
            self.policy,
        )
        return copy

    @property
    def func_name(self) -> str:
        """The function's own name; a partial has that of the function inside."""
        return function_name(self.func)

    def tag(self, tags: str | Iterable[str]) -> Node:
        """Return the same node with more tags.

        Args:
            tags: one tag or some.

        Returns:
            A new node.
        """
        owner = f"Node {self.name!r}"
        return self.copy_with(tags=[check_label(tag, "tag", owner) for tag in as_names(tags, "Node.tag")])

    @property
    def call_arguments(self) -> tuple[tuple[str | None, str], ...]:
        """How the function is called: pairs of keyword (None for a positional argument) and dataset, in order."""
        return (*((None, name) for name in self._arguments.positional), *self._arguments.keywords)

    def call(self, inputs: Mapping[str, Any]) -> Any:
        """Call the function with the values of the node's inputs.

        Args:
            inputs: values by dataset name; more than the node needs do no harm.

        Returns:
            What the function returned, as it is.

        Raises:
            PipelineError: an input is missing.
        """
        missing = [name for name in self.inputs if name not in inputs]
        if missing:
            msg = f"Node {self.name!r} was called without {listed(missing)}. It takes {listed(self.inputs)}."
            raise PipelineError(msg, nodes=(self.name,))
        return self._arguments.call(self.func, inputs)

    def unpack(self, returned: Any) -> Iterator[tuple[str, Any]]:
        """Yield what the function returned as pairs of dataset name and value, in the order of the outputs.

        The result of a generator is yielded chunk by chunk: the same name comes again with each chunk.

        Args:
            returned: what `call` gave.

        Yields:
            Pairs of dataset name and value.

        Raises:
            PipelineError: the value does not fit the node's outputs, or a generator yielded nothing.
        """
        return self._returns.unpack(returned, self.name)

    def streams(self, returned: Any) -> bool:
        """Return whether what `call` gave comes chunk by chunk, so that each pair of `unpack` is to be saved as it comes.

        Args:
            returned: what `call` gave.
        """
        return self._returns.streams(returned)

    def run(self, inputs: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call the function and return its outputs by name, for tests and for trying things out.

        Args:
            inputs: values by dataset name.

        Returns:
            Values by dataset name; of a generator's chunks the last.

        Raises:
            PipelineError: an input is missing, or the returned value does not fit the outputs.
        """
        return dict(self.unpack(self.call({} if inputs is None else inputs)))

    def __call__(self, **inputs: Any) -> dict[str, Any]:
        """Do the same as `run`, with the datasets as keyword arguments."""
        return self.run(inputs)

    def __reduce__(self) -> tuple[Any, ...]:
        # Flat and explicit: thousands of nodes go to each worker, and what dataclasses generate is slow.
        arguments, returns = self._arguments, self._returns
        call = (arguments.positional, arguments.keywords, returns.shape.value, returns.datasets, returns.keys)
        own = (self.func, self.inputs, self.outputs, self._given_name, self.short_name, self.name, self.tags)
        return _restore, (*call, *own, self.confirms, self.namespace, self.policy)

    def __str__(self) -> str:
        wiring = f"{self.func_name}([{', '.join(self.inputs)}]) -> [{', '.join(self.outputs)}]"
        return wiring if self._given_name is None and self.namespace is None else f"{self.name}: {wiring}"

    def __repr__(self) -> str:
        return f"<Node {self}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Node):
            return NotImplemented
        return self is other or (
            self.name == other.name
            and self._arguments == other._arguments
            and self._returns == other._returns
            and self.tags == other.tags
            and self.namespace == other.namespace
            and self.confirms == other.confirms
            and same_function(self.func, other.func)
        )

    def __hash__(self) -> int:
        return hash(self.name)


def node(
    func: Callable[..., Any],
    inputs: Datasets = None,
    outputs: Datasets = None,
    *,
    name: str | None = None,
    tags: str | Iterable[str] | None = None,
    confirms: str | Iterable[str] | None = None,
    namespace: str | None = None,
    policy: NodePolicy | None = None,
) -> Node:
    """Make a node: a function, the datasets it is called with, and the datasets its result goes to.

    Example: `node(fit, ["table", "params:fit"], {"model": "model", "score": "metrics"}, name="fit")`.

    Args:
        func: what to run.
        inputs: one dataset, a list, a dict of parameter to dataset, or None.
        outputs: one dataset, a list, a dict of returned key to dataset, or None.
        name: what users call the node.
        tags: labels to select it by.
        confirms: datasets to confirm when the node succeeded.
        namespace: the group it belongs to.
        policy: how it is to be run: `NodePolicy(retries=3, timeout="5m")`.

    Returns:
        The node, checked.

    Raises:
        PipelineError: the parts do not fit; see `Node`.
    """
    return Node(func, inputs, outputs, name=name, tags=tags, confirms=confirms, namespace=namespace, policy=policy)


def _restore(
    positional: tuple[str, ...],
    keywords: tuple[tuple[str, str], ...],
    shape: str,
    datasets: tuple[str, ...],
    keys: tuple[str, ...],
    *own: Any,
) -> Node:
    """Make a node of its pickled parts, which were checked when it was first made."""
    node = object.__new__(Node)
    _PUT_ARGUMENTS(node, Arguments(positional, keywords))
    _PUT_RETURNS(node, Returns(_SHAPES[shape], datasets, keys))
    for put, value in zip(_PUT_OWN, own):  # noqa: B905 - strict costs as much as the rest; `__reduce__` above wrote them
        put(node, value)
    return node


# The fields' own setters: a frozen dataclass offers no other way, and object.__setattr__ takes half as long again.
_PUT_ARGUMENTS, _PUT_RETURNS, *_PUT_OWN = (
    vars(Node)[field].__set__
    for field in (
        "_arguments",
        "_returns",
        "func",
        "inputs",
        "outputs",
        "_given_name",
        "short_name",
        "name",
        "tags",
        "confirms",
        "namespace",
        "policy",
    )
)
_SHAPES = {shape.value: shape for shape in Shape}
