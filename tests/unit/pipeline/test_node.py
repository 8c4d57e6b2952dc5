"""Nodes: what they accept, refuse, call and give back."""

from __future__ import annotations

import copy
import functools
import operator
import pickle
import subprocess
import sys
from typing import Any

import cloudpickle
import pytest

from treadle.errors import PipelineError
from treadle.pipeline import Node, node


def clean(raw: Any) -> Any:
    return raw


def fit(table: Any, rate: Any = 1, *, seed: int = 0) -> Any:
    return (table, rate, seed)


def twice(value: int) -> tuple[int, int]:
    return value, value


def nothing() -> None:
    return None


class Scaler:
    """An object that is called like a function, and cannot be hashed."""

    __hash__ = None  # type: ignore[assignment]  # the point of this class

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def __eq__(self, other: object) -> bool:
        message = "a foreign == must not be asked"
        raise AssertionError(message)

    def __call__(self, value: int) -> int:
        return self.factor * value

    def scale(self, value: int) -> int:
        return self.factor * value


class TestInputsAndOutputs:
    @pytest.mark.parametrize(
        ("inputs", "expected"),
        [
            (None, ()),
            ("a", ("a",)),
            (["a", "b"], ("a", "b")),
            (("a", "a", "b"), ("a", "b")),
            ({"x": "b", "y": "a", "z": "b"}, ("b", "a")),
            ([], ()),
        ],
    )
    def test_inputs_are_flat_in_order_and_once(self, inputs: Any, expected: tuple[str, ...]) -> None:
        """Inputs are told in the order given, each dataset once, whatever form they were given in."""
        assert node(lambda *a, **k: None, inputs, "out").inputs == expected

    @pytest.mark.parametrize(
        ("outputs", "expected"),
        [(None, ()), ("a", ("a",)), (["b", "a"], ("b", "a")), ({"k": "b", "l": "a"}, ("b", "a")), ([], ())],
    )
    def test_outputs_are_flat_in_order(self, outputs: Any, expected: tuple[str, ...]) -> None:
        """Outputs are told in the order given, whatever form they were given in."""
        assert node(nothing, None, outputs, name="n").outputs == expected

    def test_list_inputs_are_positional_and_may_repeat(self) -> None:
        """A dataset that is listed twice is passed twice."""
        assert node(operator.add, ["a", "a"], "b").run({"a": 2}) == {"b": 4}

    def test_dict_inputs_are_keywords(self) -> None:
        """A dict of inputs calls the function by its parameters' names, keyword-only ones too."""
        assert node(fit, {"seed": "s", "table": "t"}, "m").run({"s": 7, "t": "T"}) == {"m": ("T", 1, 7)}

    def test_dict_outputs_take_returned_keys(self) -> None:
        """A dict of outputs takes the returned dict's values by key, in the order of the outputs."""
        made = node(lambda: {"l": 2, "k": 1}, None, {"k": "first", "l": "second"})
        assert list(made.unpack(made.call({}))) == [("first", 1), ("second", 2)]

    def test_one_output_takes_the_whole_value(self) -> None:
        """An output given as a string takes what the function returned as it is, a tuple or None too."""
        assert node(twice, "a", "pair").run({"a": 1}) == {"pair": (1, 1)}
        assert node(nothing, None, "none").run() == {"none": None}

    def test_no_outputs_ignore_the_value(self) -> None:
        """A node without outputs gives nothing, whatever its function returned."""
        assert node(clean, "a", None).run({"a": 1}) == {}

    def test_call_by_keywords(self) -> None:
        """A node can be called with its datasets as keyword arguments."""
        assert node(clean, "a", "b")(a=3) == {"b": 3}

    @pytest.mark.parametrize("wrong", [3, {"a"}, b"a", object()])
    def test_other_forms_are_refused(self, wrong: Any) -> None:
        """Something that names no datasets is refused, for inputs and outputs alike."""
        with pytest.raises(PipelineError, match="has the inputs"):
            node(clean, wrong, "b")
        with pytest.raises(PipelineError, match="has the outputs"):
            node(clean, "a", wrong)

    @pytest.mark.parametrize("wrong", [[1], [""], ["params:"], ["@pandas"], ["a@"], ["a@b@c"], [["a"]], [None]])
    def test_malformed_dataset_names_are_refused(self, wrong: Any) -> None:
        """Dataset names are strings with something in them and at most one format."""
        with pytest.raises(PipelineError, match="dataset"):
            node(clean, wrong, "b", name="n")

    def test_keys_are_strings(self) -> None:
        """A dict's keys name parameters and returned keys, so they are strings."""
        wrong: Any = {1: "a"}
        with pytest.raises(PipelineError, match="key 1 in its inputs"):
            node(clean, wrong, "b")
        with pytest.raises(PipelineError, match="key 1 in its outputs"):
            node(nothing, None, wrong)

    @pytest.mark.parametrize("output", ["parameters", "params:rate"])
    def test_an_output_is_no_parameter(self, output: str) -> None:
        """Parameters are read only: a node that makes one is refused by name."""
        with pytest.raises(PipelineError, match=f"'n' has the output '{output}'") as caught:
            node(clean, "a", output, name="n")
        assert caught.value.nodes == ("n",)

    @pytest.mark.parametrize(("inputs", "outputs"), [("a", "a"), (["x", "a"], ["b", "a"]), ("a@one", "a@two"), ("a", {"k": "a"})])
    def test_a_node_does_not_make_its_own_input(self, inputs: Any, outputs: Any) -> None:
        """A node whose output is its own input, in any format, is refused by name."""
        with pytest.raises(PipelineError, match=r"'n' has 'a.*both as input and as output"):
            node(lambda *a: a, inputs, outputs, name="n")

    @pytest.mark.parametrize("outputs", [["a", "a"], ["a@one", "a@two"], {"k": "a", "l": "a"}])
    def test_an_output_comes_once(self, outputs: Any) -> None:
        """A node that makes one dataset twice is refused by name."""
        with pytest.raises(PipelineError, match="'n' has an output twice"):
            node(nothing, None, outputs, name="n")


class TestArity:
    @pytest.mark.parametrize(
        ("func", "inputs"),
        [
            (clean, None),
            (clean, ["a", "b"]),
            (clean, {"row": "a"}),
            (fit, ["a", "b", "c"]),
            (functools.partial(clean, 1), "a"),
            (functools.partial(fit, rate=2), None),
            (lambda: None, "a"),
            (lambda x, /, *, y: x, ["a"]),
            (Scaler(2), None),
            (Scaler(2).scale, ["a", "b"]),
            (Scaler, None),
            (len, ["a", "b"]),
        ],
    )
    def test_inputs_that_do_not_fit_are_refused(self, func: Any, inputs: Any) -> None:
        """Inputs that the function's signature cannot take are refused, naming node and signature."""
        with pytest.raises(PipelineError, match=r"Node 'n' passes .*cannot take them") as caught:
            node(func, inputs, "out", name="n")
        assert caught.value.nodes == ("n",)

    @pytest.mark.parametrize(
        ("func", "inputs"),
        [
            (clean, "a"),
            (fit, "a"),
            (fit, ["a", "b"]),
            (functools.partial(clean, 1), None),
            (functools.partial(fit, rate=2), "a"),
            (lambda *a: a, ["a", "b", "c"]),
            (lambda **k: k, {"x": "a"}),
            (lambda x, /, *, y=1: x, ["a"]),
            (Scaler(2), "a"),
            (Scaler(2).scale, "a"),
            (Scaler, "a"),
            (len, "a"),
            (dict, {"x": "a"}),
            (max, ["a", "b"]),
        ],
    )
    def test_inputs_that_fit_are_taken(self, func: Any, inputs: Any) -> None:
        """Any callable is taken with inputs that fit, and one whose signature nobody knows with any inputs."""
        assert node(func, inputs, "out").outputs == ("out",)

    def test_the_wrapper_counts_not_the_wrapped(self) -> None:
        """A decorator that passes an argument of its own is judged by its own signature."""

        @functools.wraps(fit)
        def wrapper(table: Any) -> Any:
            return fit(table, 5)

        assert node(wrapper, "a", "b").run({"a": 1}) == {"b": (1, 5, 0)}
        with pytest.raises(PipelineError, match="passes 2 inputs"):
            node(wrapper, ["a", "c"], "b")

    def test_coroutine_functions_are_refused(self) -> None:
        """A coroutine function would never be awaited, so it is refused."""

        async def fetch(a: Any) -> Any:
            return a

        for func in (fetch, functools.partial(fetch, 1)):
            with pytest.raises(PipelineError, match="coroutine function 'fetch'"):
                node(func, "a", "b")

    def test_the_function_comes_first(self) -> None:
        """Something that cannot be called is refused with the order of the arguments."""
        wrong: Any = "raw"
        with pytest.raises(PipelineError, match="cannot be called"):
            node(wrong, "a", "b")


class TestUnpack:
    def test_a_generator_gives_pairs_for_each_chunk(self) -> None:
        """A generator's chunks come one by one, lazily, and run() keeps the last."""
        made: list[int] = []

        def chunks(count: int) -> Any:
            for number in range(count):
                made.append(number)
                yield number

        chunked = node(chunks, "n", "out")
        pairs = chunked.unpack(chunked.call({"n": 3}))
        assert next(pairs) == ("out", 0)
        assert made == [0]
        assert list(pairs) == [("out", 1), ("out", 2)]
        assert chunked.run({"n": 3}) == {"out": 2}

    @pytest.mark.parametrize(("outputs", "chunk"), [(["a", "b"], (1, 2)), ({"x": "a", "y": "b"}, {"x": 1, "y": 2})])
    def test_a_generators_chunks_have_the_shape_of_the_outputs(self, outputs: Any, chunk: Any) -> None:
        """With several outputs each chunk is unpacked as a returned value is."""

        def chunks() -> Any:
            yield chunk
            yield chunk

        made = node(chunks, None, outputs)
        assert list(made.unpack(made.call({}))) == [("a", 1), ("b", 2)] * 2

    def test_generators_among_the_values(self) -> None:
        """A returned tuple may hold generators: each is unpacked chunk by chunk."""
        made = node(lambda: (1, (n for n in range(2))), None, ["a", "b"])
        assert list(made.unpack(made.call({}))) == [("a", 1), ("b", 0), ("b", 1)]

    def test_a_generator_without_outputs_runs_to_its_end(self) -> None:
        """A generator whose chunks go nowhere is still run."""
        ran = []

        def work() -> Any:
            ran.append(1)
            yield None
            ran.append(2)

        assert node(work, None, None).run() == {}
        assert ran == [1, 2]

    @pytest.mark.parametrize("outputs", ["a", ["a", "b"]])
    def test_a_generator_that_yields_nothing_is_an_error(self, outputs: Any) -> None:
        """An output that was never made is an error, not older data taken for new."""

        def empty() -> Any:
            yield from ()

        with pytest.raises(PipelineError, match="Node 'n' is a generator that ended without yielding"):
            node(empty, None, outputs, name="n").run()
        with pytest.raises(PipelineError, match="'b' was not saved"):
            node(lambda: (1, empty()), None, ["a", "b"], name="n").run()

    @pytest.mark.parametrize(
        ("returned", "outputs", "message"),
        [
            ((1, 2, 3), ["a", "b"], "'n' returned 3 values.*'a', 'b'"),
            ((1,), ["a", "b"], "'n' returned 1 values"),
            (None, ["a", "b"], "'n' returned None.*without a return"),
            ("ab", ["a", "b"], "'n' returned a str"),
            (1, ["a"], "'n' returned a int"),
            ({"x": 1}, {"x": "a", "y": "b"}, "without the keys 'y'"),
            ({"x": 1, "z": 2}, {"x": "a"}, "with the keys 'z'"),
            ({"z": 1}, {"x": "a"}, "without the keys 'x' and with the keys 'z'"),
            ((1,), {"x": "a"}, "'n' returned a tuple, but its outputs are a dict"),
        ],
    )
    def test_values_of_another_shape_are_errors(self, returned: Any, outputs: Any, message: str) -> None:
        """A returned value that does not fit the outputs is an error that names the node and what it expected."""
        with pytest.raises(PipelineError, match=message) as caught:
            node(lambda: returned, None, outputs, name="n").run()
        assert caught.value.nodes == ("n",)

    def test_named_tuples_and_lists_are_sequences(self) -> None:
        """A list is as good as a tuple."""
        assert node(lambda: [1, 2], None, ["a", "b"]).run() == {"a": 1, "b": 2}

    def test_a_missing_input_is_named(self) -> None:
        """A call without one of the inputs names node and dataset."""
        with pytest.raises(PipelineError, match="'n' was called without 'b'"):
            node(fit, ["a", "b"], "c", name="n").run({"a": 1})


class TestNames:
    def test_unnamed_nodes_are_called_after_function_and_output(self) -> None:
        """A node without a name is called after its function and its first output."""
        made = node(clean, "raw", "table")
        assert made.name == made.short_name == "clean__table"
        assert str(made) == "clean([raw]) -> [table]"
        assert node(twice, "a", ["x", "y"]).name == "twice__x"

    def test_unnamed_nodes_without_outputs_are_called_after_their_inputs(self) -> None:
        """A node without outputs is called after its function and inputs; many inputs are told apart by a digest."""
        assert node(nothing).name == "nothing"
        assert node(fit, ["a", "params:b"]).name == "fit__a__params:b"
        many = node(lambda *a: None, ["a", "b", "c", "d"])
        other = node(lambda *a: None, ["a", "b", "c", "e"])
        assert many.name.startswith("lambda__a__b__c__")
        assert many.name != other.name

    @pytest.mark.parametrize(
        ("func", "name"),
        [
            (lambda a: a, "lambda__out"),
            (functools.partial(functools.partial(fit, rate=1), seed=2), "fit__out"),
            (Scaler(2), "Scaler__out"),
            (Scaler(2).scale, "scale__out"),
            (len, "len__out"),
        ],
    )
    def test_every_callable_has_a_name(self, func: Any, name: str) -> None:
        """Lambdas, partials, methods, objects and builtins give readable names that a shell takes."""
        assert node(func, "a", "out").name == name

    def test_names_are_the_same_in_every_process(self) -> None:
        """The same code gives the same names in another process, with another hash seed."""
        code = (
            "from treadle.pipeline import node\n"
            "print(node(lambda *a: 1, ['a', 'b', 'c', 'd']).name, node(lambda a: a, 'a', ['y', 'x']).name)"
        )
        names = {
            subprocess.run(
                [sys.executable, "-c", code], check=True, capture_output=True, text=True, env={"PYTHONHASHSEED": seed}
            ).stdout
            for seed in ("1", "2")
        }
        assert names == {f"{node(lambda *a: 1, ['a', 'b', 'c', 'd']).name} lambda__y\n"}

    def test_a_namespace_is_the_names_prefix(self) -> None:
        """The namespace stands before the short name, and is not repeated inside a made name."""
        assert node(clean, "a", "b", name="n", namespace="x.y").name == "x.y.n"
        made = node(clean, "x.a", "x.b", namespace="x")
        assert (made.name, made.short_name, made.namespace) == ("x.clean__b", "clean__b", "x")

    def test_a_named_node_tells_its_name(self) -> None:
        """The text of a named node begins with the name."""
        made = node(clean, "a", "b", name="n")
        assert str(made) == "n: clean([a]) -> [b]"
        assert repr(made) == "<Node n: clean([a]) -> [b]>"
        assert made.func_name == "clean"

    @pytest.mark.parametrize("name", ["", " ", "a,b", " a", "a\nb", 3])
    def test_malformed_names_and_tags_are_refused(self, name: Any) -> None:
        """What the command line could not select is refused as name and as tag."""
        with pytest.raises(PipelineError, match="name"):
            node(clean, "a", "b", name=name)
        with pytest.raises(PipelineError, match="tag"):
            node(clean, "a", "b", tags=[name])

    @pytest.mark.parametrize("namespace", ["", "a..b", ".a", "a.", "a@b", "params:a", 3])
    def test_malformed_namespaces_are_refused(self, namespace: Any) -> None:
        """A namespace is names joined by full stops."""
        with pytest.raises(PipelineError, match="namespace"):
            node(clean, "a", "b", namespace=namespace)


class TestValue:
    def test_tags_and_confirms_are_one_or_some(self) -> None:
        """A lone tag or confirm may be a string; tag() adds to them without changing the node."""
        made = node(clean, "a", "b", tags="x", confirms="a")
        assert (made.tags, made.confirms) == (frozenset({"x"}), ("a",))
        assert made.tag(["y", "z"]).tags == {"x", "y", "z"}
        assert made.tags == {"x"}

    def test_nodes_are_frozen(self) -> None:
        """A node's fields cannot be set."""
        with pytest.raises(AttributeError):
            node(clean, "a", "b").name = "other"  # type: ignore[misc]  # that is the test

    def test_equal_where_all_parts_are(self) -> None:
        """Nodes made of the same parts are equal and hash alike; each part counts."""
        parts: dict[str, Any] = {"func": clean, "inputs": ["a"], "outputs": "b", "name": "n", "tags": "t", "confirms": "a"}
        made = Node(**parts)
        assert made == Node(**parts)
        assert hash(made) == hash(Node(**parts))
        changes: dict[str, Any] = {
            "func": len,
            "inputs": ["c"],
            "outputs": ["b"],
            "name": "m",
            "tags": "u",
            "confirms": None,
            "namespace": "s",
        }
        for key, value in changes.items():
            assert made != Node(**{**parts, key: value}), key
        assert made != "n"

    def test_functions_made_again_by_the_same_code_are_equal(self) -> None:
        """A pipeline created twice has equal nodes: lambdas, closures and partials are compared by code and contents."""

        def create(factor: Any) -> list[Node]:
            def recursive(n: int) -> int:
                return n and recursive(n - factor)

            return [
                node(lambda a: a * factor, "a", "b"),
                node(functools.partial(fit, rate=factor), "a", "c"),
                node(recursive, "a", "d"),
                node(lambda a, b=factor, *, c=factor: a, "a", "e"),
            ]

        assert create(2) == create(2)
        for one, other in zip(create(2), create(3), strict=True):
            assert one != other
        for one, other in zip(create(2), create(2.0), strict=True):
            assert one != other

    def test_closures_over_nothing_yet(self) -> None:
        """A closure whose variable has no value yet can be compared too."""

        def create() -> Node:
            made = node(lambda a: later, "a", "b")
            assert made == node(made.func, "a", "b")
            assert made != node(lambda a: later, "a", "b")
            if made.name == "never":
                later = 1
            return made

        assert create() != create()

    def test_foreign_equality_is_never_asked(self) -> None:
        """Unhashable callables with an == of their own are compared by identity, their methods too."""
        scaler = Scaler(2)
        assert node(scaler, "a", "b") == node(scaler, "a", "b")
        assert node(scaler.scale, "a", "b") == node(scaler.scale, "a", "b")
        assert node(scaler, "a", "b") != node(Scaler(2), "a", "b")
        assert node(scaler.scale, "a", "b") != node(Scaler(2).scale, "a", "b")
        assert len({node(scaler, "a", "b"), node(scaler, "a", "b")}) == 1

    def test_nodes_pickle(self) -> None:
        """A node of an importable function pickles plainly; one of a lambda by cloudpickle; both still run."""
        plain = node(operator.neg, "a", "b", name="n", tags="t", namespace="s")
        assert pickle.loads(pickle.dumps(plain)) == plain
        assert copy.deepcopy(plain) == plain
        factor = 3
        sent = pickle.loads(cloudpickle.dumps(node(lambda a: a * factor, "a", "b")))
        assert sent.run({"a": 2}) == {"b": 6}


@pytest.mark.parametrize("inputs", ["a", ["a", "b"], ["a", "b", "c"], ["a", "a"], ["a", "b", "c", "d"], {"key": "a"}])
def test_a_call_may_remove_the_values_that_it_passes(inputs: Any) -> None:
    """The function gets the same arguments; only calls that cannot release their arguments leave them in the mapping."""
    made = node(lambda *values, **others: (values, others), inputs, "out")
    values = {name: name.upper() for name in "abcd"}
    expected = made.call(values)
    assert made.call(values, release=True) == expected
    assert len(values) == {("a",): 3, ("a", "b"): 2, ("a", "b", "c"): 1}.get(tuple(inputs), 4)


def test_nodes_without_tags_share_one_empty_set():
    """An empty set would take a fifth of a node's memory, in the main process and in each worker."""
    first, second = node(clean, "a", "b"), node(clean, "b", "c", tags=None)
    sets = [first.tags, second.tags, first.copy_with(rename=str.upper).tags]
    sets += [each.tags for each in pickle.loads(pickle.dumps((first, second)))]
    assert len({id(each) for each in sets[:3]}) == len({id(each) for each in sets[3:]}) == 1
    assert first.tag("x").tags == {"x"}
