"""Map datasets to the arguments of a node's function, and its returned value to datasets.

`node.py` creates `Arguments` and `Returns` from the inputs and outputs that the user declares. They do not refer to the node; the
caller passes its name for error messages. State: none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from types import GeneratorType
from typing import Any

from treadle.errors import PipelineError
from treadle.named_tuple import NamedTuple
from treadle.pipeline.names import check_dataset_name, listed


class Arguments(NamedTuple):
    """The datasets that a function is called with, in the order of the call."""

    positional: tuple[str, ...] = ()
    keywords: tuple[tuple[str, str], ...] = ()
    """Pairs of the function's parameter and the dataset."""

    @property
    def datasets(self) -> tuple[str, ...]:
        """The datasets in order, each once."""
        return tuple(dict.fromkeys([*self.positional, *(name for _, name in self.keywords)]))

    def renamed(self, rename: Callable[[str], str]) -> Arguments:
        """Return the same call with other datasets."""
        return Arguments(tuple(map(rename, self.positional)), tuple((key, rename(name)) for key, name in self.keywords))

    def call(self, func: Callable[..., Any], values: Mapping[str, Any]) -> Any:
        """Call the function with the values of its datasets."""
        if not self.keywords:
            return func(*[values[name] for name in self.positional])
        return func(*[values[name] for name in self.positional], **{key: values[name] for key, name in self.keywords})

    def call_and_release(self, func: Callable[..., Any], values: dict[str, Any]) -> Any:
        """Call the function, and remove the values that it gets from the dictionary: it can free them before it returns.

        An argument list would keep them until then, so this works for up to three positional arguments.
        """
        names, take = self.positional, values.pop
        count = len(names)
        if count == 1 and not self.keywords:
            return func(take(names[0]))
        if self.keywords or not 2 <= count <= 3 or len(set(names)) < count:
            return self.call(func, values)
        if count == 2:
            return func(take(names[0]), take(names[1]))
        return func(take(names[0]), take(names[1]), take(names[2]))


class Shape(Enum):
    """How the returned value of a function maps to the outputs of a node."""

    NOTHING = "nothing"
    VALUE = "value"
    SEQUENCE = "sequence"
    MAPPING = "mapping"


class Returns(NamedTuple):
    """The datasets that store the returned value of a function."""

    shape: Shape
    datasets: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    """For a mapping, the returned keys in the order of the datasets."""

    def renamed(self, rename: Callable[[str], str]) -> Returns:
        """Return the same shape with other datasets."""
        return Returns(self.shape, tuple(map(rename, self.datasets)), self.keys)

    def streams(self, returned: Any) -> bool:
        """Return whether the value is produced in chunks: it is a generator, or contains one."""
        if isinstance(returned, GeneratorType):
            return True
        shape = self.shape
        if shape is Shape.VALUE:  # most nodes
            return False
        if shape is Shape.SEQUENCE and isinstance(returned, (list, tuple)):
            return any(isinstance(value, GeneratorType) for value in returned)
        if shape is Shape.MAPPING and isinstance(returned, Mapping):
            return any(isinstance(value, GeneratorType) for value in returned.values())
        return False

    def unpack(self, returned: Any, owner: str) -> Iterable[tuple[str, Any]]:
        """Return pairs of dataset and value, in the order of the datasets; for a generator, pairs for each chunk.

        Args:
            returned: the returned value of the function.
            owner: the node's name, for errors.

        Returns:
            Pairs of dataset and value. Those of a generator are made one by one.

        Raises:
            PipelineError: the value does not have the shape that the node's outputs say, or a generator ended
                without a single chunk, so that an output was never made.
        """
        return self._chunks(returned, owner) if isinstance(returned, GeneratorType) else self._pairs(returned, owner)

    def _chunks(self, returned: Iterator[Any], owner: str) -> Iterator[tuple[str, Any]]:
        chunks = 0
        for chunk in returned:
            chunks += 1
            yield from self._pairs(chunk, owner)
        if not chunks and self.datasets:
            raise _nothing_yielded(owner, self.datasets)

    def _pairs(self, returned: Any, owner: str) -> Iterable[tuple[str, Any]]:
        if self.shape is Shape.VALUE:
            return ((self.datasets[0], returned),)
        if self.shape is Shape.SEQUENCE:
            return self._each(self._from_sequence(returned, owner), owner)
        if self.shape is Shape.MAPPING:
            return self._each(self._from_mapping(returned, owner), owner)
        return ()

    def _each(self, values: Sequence[Any], owner: str) -> Iterator[tuple[str, Any]]:
        for name, value in zip(self.datasets, values, strict=True):
            if not isinstance(value, GeneratorType):
                yield name, value
                continue
            chunks = 0
            for chunk in value:
                chunks += 1
                yield name, chunk
            if not chunks:
                raise _nothing_yielded(owner, (name,))

    def _from_sequence(self, returned: Any, owner: str) -> Sequence[Any]:
        expected = f"its outputs are a list of {len(self.datasets)}: {listed(self.datasets)}"
        if not isinstance(returned, (list, tuple)):
            msg = (
                f"Node {owner!r} returned {_described(returned)}, but {expected}. Return a tuple or a list of that length,"
                " or write the output as one string if the whole value is one dataset."
            )
            raise PipelineError(msg, nodes=(owner,))
        if len(returned) != len(self.datasets):
            msg = f"Node {owner!r} returned {len(returned)} values, but {expected}. Return one value for each output."
            raise PipelineError(msg, nodes=(owner,))
        return returned

    def _from_mapping(self, returned: Any, owner: str) -> Sequence[Any]:
        if not isinstance(returned, Mapping):
            msg = (
                f"Node {owner!r} returned {_described(returned)}, but its outputs are a dict. Return a dict with the"
                f" keys {listed(self.keys)}."
            )
            raise PipelineError(msg, nodes=(owner,))
        missing = [key for key in self.keys if key not in returned]
        extra = [str(key) for key in returned if key not in self.keys]
        if missing or extra:
            wrong = [f"without the keys {listed(missing)}"] if missing else []
            wrong += [f"with the keys {listed(extra)}, which are not outputs"] if extra else []
            msg = f"Node {owner!r} returned a dict {' and '.join(wrong)}. Its outputs have the keys {listed(self.keys)}."
            raise PipelineError(msg, nodes=(owner,))
        return [returned[key] for key in self.keys]


def parse_arguments(inputs: Any, owner: str) -> Arguments:
    """Parse the declared inputs: None, a name, a list of names, or a dict of parameter to name.

    Raises:
        PipelineError: it is none of these.
    """
    if inputs is None:
        return Arguments()
    if isinstance(inputs, str):
        return Arguments((check_dataset_name(inputs, owner),))
    if isinstance(inputs, (list, tuple)):
        return Arguments(tuple([check_dataset_name(name, owner) for name in inputs]))
    if isinstance(inputs, Mapping):
        return Arguments((), tuple([(_key(key, "inputs", owner), check_dataset_name(inputs[key], owner)) for key in inputs]))
    raise _not_datasets("inputs", inputs, "a dict of the function's parameter to the dataset", owner)


def parse_returns(outputs: Any, owner: str) -> Returns:
    """Parse the declared outputs: None, a name, a list of names, or a dict of returned key to name.

    Raises:
        PipelineError: it is none of these.
    """
    if outputs is None:
        return Returns(Shape.NOTHING)
    if isinstance(outputs, str):
        return Returns(Shape.VALUE, (check_dataset_name(outputs, owner),))
    if isinstance(outputs, (list, tuple)):
        return Returns(Shape.SEQUENCE, tuple([check_dataset_name(name, owner) for name in outputs]))
    if isinstance(outputs, Mapping):
        names = tuple([check_dataset_name(name, owner) for name in outputs.values()])
        return Returns(Shape.MAPPING, names, tuple([_key(key, "outputs", owner) for key in outputs]))
    raise _not_datasets("outputs", outputs, "a dict of the returned key to the dataset", owner)


def _key(key: Any, side: str, owner: str) -> str:
    if isinstance(key, str):
        return key
    msg = f"{owner} has the key {key!r} in its {side}. The keys are strings."
    raise PipelineError(msg)


def _not_datasets(side: str, given: Any, mapping: str, owner: str) -> PipelineError:
    return PipelineError(
        f"{owner} has the {side} {given!r}, a {type(given).__name__}. Write a dataset's name, a list of names, {mapping},"
        " or None."
    )


def _nothing_yielded(owner: str, datasets: tuple[str, ...]) -> PipelineError:
    return PipelineError(
        f"Node {owner!r} is a generator that ended without yielding, so {listed(datasets)} was not saved, and older data"
        " would be used as if it were new. Yield at least one chunk, which may be empty.",
        nodes=(owner,),
    )


def _described(value: Any) -> str:
    return "None (does the function end without a return?)" if value is None else f"a {type(value).__name__}"
