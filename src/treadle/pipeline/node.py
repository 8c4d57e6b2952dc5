"""A node: a function with the names of its input and output datasets.

A Node is frozen, and checked when it is created. It has no data and no catalog: the engine passes values to `call`, and gets the
outputs from `unpack`. State: none. Neighbours: `arguments.py` maps datasets to arguments and returned values, `functions.py`
inspects the function, `node_checks.py` checks a new node, `pipeline_class.py` connects nodes.

The module is long because `Node` and `node` document each of their many arguments here, where users look for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from treadle.errors import PipelineError
from treadle.pipeline.arguments import Arguments, Returns, Shape, parse_arguments, parse_returns
from treadle.pipeline.functions import function_name, same_function
from treadle.pipeline.names import as_names, check_dataset_name, check_label, check_namespace, listed, made_name
from treadle.pipeline.node_checks import check_callable, check_function, check_wiring
from treadle.pipeline.policy import check_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from treadle.pipeline.policy import NodePolicy

Datasets: TypeAlias = "str | Sequence[str] | Mapping[str, str] | None"

_NO_TAGS: frozenset[str] = frozenset()
"""Shared by all nodes without tags: each empty set would take 216 bytes, which is a fifth of a node, here and in each worker."""


class Node:
    """A function with its input and output datasets. It cannot be changed.

    Two nodes are equal if they have equal functions, inputs, outputs, names, tags, confirms and namespaces. A node without a
    given name gets one made from its function and its first output (`clean__table`), or from its inputs if it has no outputs
    (`report__table__model`). The same code results in the same name in every process. Such names are unique in a pipeline,
    because each dataset has one producer. Only nodes without outputs that call the same function with the same inputs need
    explicit names; otherwise the pipeline raises an error.

    Args:
        func: the function: any callable except a coroutine function.
        inputs: the arguments: one dataset, a list in the order of the parameters, a dict of parameter to dataset, or None.
        outputs: the datasets for the result: one dataset for the whole result, a list for a returned list or tuple, a dict of
            returned key to dataset, or None. The values that a generator yields are saved chunk by chunk.
        name: the node's name, unique in a pipeline.
        tags: labels to select it by.
        confirms: datasets to confirm after the node has succeeded.
        namespace: the group that it belongs to; the prefix of its name.
        policy: how it is run: retries, timeout, resources and so on. It does not affect equality.

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

    __slots__ = (
        "_arguments",
        "_given_name",
        "_returns",
        "confirms",
        "func",
        "inputs",
        "name",
        "namespace",
        "outputs",
        "policy",
        "short_name",
        "tags",
    )

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
            _NO_TAGS
            if tags is None
            else frozenset(
                [check_label(tag, "tag", owner) for tag in as_names(tags, f"tags= of {owner[:1].lower()}{owner[1:]}")]
            ),
            ()
            if confirms is None
            else tuple(
                [check_dataset_name(name, owner) for name in as_names(confirms, f"confirms= of {owner[:1].lower()}{owner[1:]}")]
            ),
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
        """Set the fields, and check the constraints that renaming can violate."""
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
            rename: returns the new name of each dataset; None keeps the names.
            namespace: the prefix of the node's namespace.
            tags: tags to add.

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
            self.tags.union(tags) if tags else self.tags,
            self.confirms if rename is None else tuple(map(rename, self.confirms)),
            self.namespace if namespace is None else inside,
            self.policy,
        )
        return copy

    @property
    def func_name(self) -> str:
        """The name of the function; for a partial, that of the wrapped function."""
        return function_name(self.func)

    def tag(self, tags: str | Iterable[str]) -> Node:
        """Return the same node with more tags.

        Args:
            tags: one or more tags.

        Returns:
            A new node.
        """
        owner = f"Node {self.name!r}"
        return self.copy_with(tags=[check_label(tag, "tag", owner) for tag in as_names(tags, "Node.tag")])

    @property
    def call_arguments(self) -> tuple[tuple[str | None, str], ...]:
        """How the function is called: pairs of keyword (None for a positional argument) and dataset, in order."""
        return (*((None, name) for name in self._arguments.positional), *self._arguments.keywords)

    def call(self, inputs: Mapping[str, Any], *, release: bool = False) -> Any:
        """Call the function with the values of the node's inputs.

        Args:
            inputs: values by dataset name; additional ones are ignored.
            release: whether to remove values from `inputs`, a dictionary, as they are passed, so that the function can free them.

        Returns:
            The returned value of the function.

        Raises:
            PipelineError: an input is missing.
        """
        if not self.inputs:
            return self.func()
        for name in self.inputs:  # a plain loop is faster, and most nodes are tiny
            if name not in inputs:
                missing = [each for each in self.inputs if each not in inputs]
                msg = f"Node {self.name!r} was called without {listed(missing)}. It takes {listed(self.inputs)}."
                raise PipelineError(msg, nodes=(self.name,))
        if release and type(inputs) is dict:
            return self._arguments.call_and_release(self.func, inputs)
        return self._arguments.call(self.func, inputs)

    def unpack(self, returned: Any) -> Iterable[tuple[str, Any]]:
        """Return the returned value as pairs of dataset name and value, in the order of the outputs.

        The result of a generator is returned chunk by chunk, with the same names for each chunk.

        Args:
            returned: the result of `call`.

        Returns:
            Pairs of dataset name and value.

        Raises:
            PipelineError: the value does not match the node's outputs, or a generator yielded nothing.
        """
        return self._returns.unpack(returned, self.name)

    @property
    def returns_one_output(self) -> bool:
        """Whether the returned value of the function, as a whole, is the only output."""
        return self._returns.shape is Shape.VALUE

    def streams(self, returned: Any) -> bool:
        """Return whether the result of `call` is produced in chunks, so that each pair of `unpack` has to be saved immediately.

        Args:
            returned: the result of `call`.
        """
        return self._returns.streams(returned)

    def run(self, inputs: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call the function and return its outputs by name, for tests and interactive use.

        Args:
            inputs: values by dataset name.

        Returns:
            Values by dataset name; for a generator, those of the last chunk.

        Raises:
            PipelineError: an input is missing, or the returned value does not match the outputs.
        """
        return dict(self.unpack(self.call({} if inputs is None else inputs)))

    def __call__(self, **inputs: Any) -> dict[str, Any]:
        """Do the same as `run`, with the datasets as keyword arguments."""
        return self.run(inputs)

    def __reduce__(self) -> tuple[Any, ...]:
        # Written out for speed: thousands of nodes are sent to each worker, and the code that dataclasses generate is slow.
        arguments, returns = self._arguments, self._returns
        call = (arguments.positional, arguments.keywords, returns.shape.value, returns.datasets, returns.keys)
        own = (self.func, self.inputs, self.outputs, self._given_name, self.short_name, self.name, self.tags)
        return _restore, (*call, *own, self.confirms, self.namespace, self.policy)

    def __setattr__(self, name: str, value: object) -> None:
        msg = f"A Node cannot be changed, so its {name} cannot be set to {value!r}. Make another one."
        raise AttributeError(msg)

    def __delattr__(self, name: str) -> None:
        msg = f"A Node cannot be changed, so its {name} cannot be deleted."
        raise AttributeError(msg)

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
    """Create a node: a function with its input and output datasets.

    Example: `node(fit, ["table", "params:fit"], {"model": "model", "score": "metrics"}, name="fit")`.

    Args:
        func: the function.
        inputs: one dataset, a list, a dict of parameter to dataset, or None.
        outputs: one dataset, a list, a dict of returned key to dataset, or None.
        name: the node's name.
        tags: labels to select it by.
        confirms: datasets to confirm after the node has succeeded.
        namespace: the group that it belongs to.
        policy: how it is run: `NodePolicy(retries=3, timeout="5m")`.

    Returns:
        The node.

    Raises:
        PipelineError: the arguments are invalid; see `Node`.
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
    """Create a node from its pickled parts, which were checked when the node was first created."""
    node = object.__new__(Node)
    _PUT_ARGUMENTS(node, Arguments(positional, keywords))
    _PUT_RETURNS(node, Returns(_SHAPES[shape], datasets, keys))
    for put, value in zip(_PUT_OWN, own):  # noqa: B905 - strict would double the time, and `__reduce__` wrote as many
        put(node, value)
    return node


# The setters of the slots, because nodes are frozen and object.__setattr__ takes 1.5 times as long.
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
