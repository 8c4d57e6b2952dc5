"""A project of eight independent nodes, and edits to it, each with the exact set of nodes whose code it changes.

Every node reads `numbers` and saves its own output, so that the nodes that must run again are the nodes that an edit names.
"""

from __future__ import annotations

from typing import NamedTuple

PACKAGE = "shop"

FILES = {
    "pyproject.toml": '[tool.treadle]\npackage_name = "shop"\nproject_name = "Shop"\n',
    "conf/base/catalog.yml": "\n".join(
        f"{name}:\n  type: json.JSONDataset\n  filepath: data/{name}.json\n"
        for name in ("numbers", "cleaned", "priced", "fitted", "reported", "scaled", "added", "picked", "shouted")
    ),
    "data/numbers.json": "[3, 1, 2]\n",
    "src/shop/__init__.py": "",
    "src/shop/conf.py": '''\
"""Constants."""

LIMIT = 100
RATES = {"eur": 2, "usd": [3, 4]}
UNUSED = 1
WORDS = {"a", "b"}
''',
    "src/shop/tools.py": '''\
"""Helpers."""


def trim(numbers, limit):
    """Trim."""
    # a comment
    return [smaller(number, limit) for number in numbers]


def smaller(number, limit):
    return min(number, limit)


def unused(numbers):
    return numbers
''',
    "src/shop/nodes.py": '''\
"""Nodes."""

from shop import conf, tools
from shop.conf import LIMIT
from shop.decorators import logged
from shop.models import Model


def clean(numbers: list) -> list:
    """Clean the numbers."""
    trimmed = tools.trim(numbers, LIMIT)
    return sorted(trimmed)


def price(numbers, discount=10, *, step=1):
    rate = conf.RATES["eur"]
    return [number * rate - discount for number in numbers[::step]]


def fit(numbers):
    model = Model(len(conf.WORDS))
    return model.fit(numbers)


@logged("report")
def report(numbers):
    return [str(number) for number in numbers]


def scale(numbers, factor):
    return [number * factor for number in numbers]


def make_adder(amount):
    def add(numbers):
        return [number + amount for number in numbers]

    return add
''',
    "src/shop/decorators.py": '''\
"""Decorators."""

import functools

PREFIX = "> "


def logged(title):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(*arguments, **options):
            return [show(title, each) for each in function(*arguments, **options)]

        return wrapper

    return decorate


def show(title, text):
    return PREFIX + title + text
''',
    "src/shop/models.py": '''\
"""Models."""

from dataclasses import dataclass


class Base:
    weight = 2

    def total(self, numbers):
        return sum(numbers) * self.weight

    @staticmethod
    def half(number):
        return number / 2


@dataclass
class Model(Base):
    size: int
    bias: int = 0

    def fit(self, numbers):
        return self.half(self.total(numbers)) + self.bias + self.level

    @property
    def level(self):
        return self.size
''',
    "src/shop/dynamic.py": '''\
"""A node that chooses a function when it is called."""

from shop import helpers


def pick(numbers):
    name = "up" if len(numbers) > 2 else "down"
    return getattr(helpers, name)(numbers)
''',
    "src/shop/helpers.py": '''\
"""Functions to choose from."""

from shop import further


def up(numbers):
    return sorted(numbers)


def down(numbers):
    return further.reverse(numbers)
''',
    "src/shop/further.py": '''\
"""What the helpers use."""


def reverse(numbers):
    return sorted(numbers, reverse=True)
''',
    "src/shop/pipeline_registry.py": '''\
"""The pipeline."""

from functools import partial

from treadle import Pipeline, node

from shop.dynamic import pick
from shop.nodes import clean, fit, make_adder, price, report, scale


def register_pipelines():
    return {
        "__default__": Pipeline(
            [
                node(clean, "numbers", "cleaned", name="clean"),
                node(price, "numbers", "priced", name="price"),
                node(fit, "numbers", "fitted", name="fit"),
                node(report, "numbers", "reported", name="report"),
                node(partial(scale, factor=2), "numbers", "scaled", name="scale"),
                node(make_adder(3), "numbers", "added", name="add"),
                node(pick, "numbers", "picked", name="pick"),
                node(lambda numbers: [number * 7 for number in numbers], "numbers", "shouted", name="shout"),
            ]
        )
    }
''',
}

NODES = ("clean", "price", "fit", "report", "scale", "add", "pick", "shout")


class Edit(NamedTuple):
    """One edit: in a file of the package, a text is replaced; the code of some nodes changes."""

    name: str
    file: str
    old: str
    new: str
    changed: frozenset[str]


def _edit(name: str, file: str, old: str, new: str, *changed: str) -> Edit:
    return Edit(name, f"src/shop/{file}", old, new, frozenset(changed))


_TOTAL = "    def total(self, numbers):\n        return sum(numbers) * self.weight\n"
_HALF = "    @staticmethod\n    def half(number):\n        return number / 2\n"
_LEVEL = "    @property\n    def level(self):\n        return self.size\n"

EDITS = (
    # What changes a node.
    _edit("the body of a function", "nodes.py", "sorted(trimmed)", "sorted(trimmed, reverse=True)", "clean"),
    _edit("a renamed local variable", "nodes.py", "trimmed", "shortened", "clean"),
    _edit("an added parameter", "nodes.py", "def scale(numbers, factor):", "def scale(numbers, factor, more=0):", "scale"),
    _edit("a default value", "nodes.py", "discount=10", "discount=11", "price"),
    _edit("a default value of a keyword", "nodes.py", "step=1", "step=2", "price"),
    _edit("a default value of another type", "nodes.py", "step=1", "step=True", "price"),
    _edit("a constant of another module, imported by name", "conf.py", "LIMIT = 100", "LIMIT = 101", "clean"),
    _edit("a constant of another type", "conf.py", "LIMIT = 100", "LIMIT = 100.0", "clean"),
    _edit("a constant that is computed", "conf.py", "LIMIT = 100", "LIMIT = 10 * 9", "clean"),
    _edit("a nested constant, read from its module", "conf.py", "[3, 4]", "[3, 5]", "price"),
    _edit("the order of a dictionary", "conf.py", '{"eur": 2, "usd": [3, 4]}', '{"usd": [3, 4], "eur": 2}', "price"),
    _edit("a set", "conf.py", '{"a", "b"}', '{"a", "b", "c"}', "fit"),
    _edit("a helper in another module", "tools.py", "for number in numbers]", "for number in numbers[:9]]", "clean"),
    _edit("a helper of a helper", "tools.py", "min(number, limit)", "max(number, limit)", "clean"),
    _edit("a name that means another function", "tools.py", "smaller(number, limit) for", "unused(number) for", "clean"),
    _edit("a method", "models.py", "self.bias + self.level", "self.bias - self.level", "fit"),
    _edit("a method of a base class", "models.py", "sum(numbers) * self.weight", "sum(numbers) + self.weight", "fit"),
    _edit("an attribute of a base class", "models.py", "weight = 2", "weight = 3", "fit"),
    _edit("a static method", "models.py", "number / 2", "number // 2", "fit"),
    _edit("a property", "models.py", "return self.size", "return -self.size", "fit"),
    _edit("a property made a constant", "models.py", _LEVEL, "    level = 5\n", "fit"),
    _edit("a default of a dataclass", "models.py", "bias: int = 0", "bias: int = 1", "fit"),
    _edit("a type in a dataclass", "models.py", "size: int", "size: float", "fit"),
    _edit("an added base class", "models.py", "class Base:", "class Base(Exception):", "fit"),
    _edit("an argument of a decorator", "models.py", "@dataclass\n", "@dataclass(frozen=True)\n", "fit"),
    _edit("an argument of a decorator of a function", "nodes.py", '@logged("report")', '@logged("reports")', "report"),
    _edit("a removed decorator", "nodes.py", '@logged("report")\n', "", "report"),
    _edit("a decorator", "decorators.py", "for each in function(*", "for each in 2 * function(*", "report"),
    _edit("a helper of a decorator", "decorators.py", "title + text", "text + title", "report"),
    _edit("a constant of a decorator", "decorators.py", '"> "', '"- "', "report"),
    _edit("a decorated function", "nodes.py", "str(number)", "repr(number)", "report"),
    _edit("an argument of a partial", "pipeline_registry.py", "factor=2", "factor=3", "scale"),
    _edit("the function of a partial", "nodes.py", "number * factor", "number - factor", "scale"),
    _edit("a captured value", "pipeline_registry.py", "make_adder(3)", "make_adder(4)", "add"),
    _edit("the body of a closure", "nodes.py", "number + amount", "number - amount", "add"),
    _edit("a lambda", "pipeline_registry.py", "number * 7", "number * 8", "shout"),
    _edit("a function chosen when it is called", "helpers.py", "return sorted(numbers)", "return list(numbers)", "pick"),
    _edit("what that function uses", "further.py", "reverse=True", "reverse=False", "pick"),
    _edit(
        "an added name in a module that is used as a value",
        "helpers.py",
        "def down",
        "def more():\n    return 1\n\n\ndef down",
        "pick",
    ),
    # What changes nothing.
    _edit("a comment", "nodes.py", "def clean", "# A comment.\ndef clean"),
    _edit("a comment in a function", "tools.py", "# a comment", "# another comment, longer"),
    _edit("a docstring", "nodes.py", "Clean the numbers.", "Clean all numbers."),
    _edit("a removed docstring", "tools.py", '    """Trim."""\n', ""),
    _edit("the docstring of a module", "conf.py", "Constants", "All constants"),
    _edit("blank lines", "nodes.py", "    return sorted", "\n\n    return sorted"),
    _edit("line breaks", "tools.py", "return min(number, limit)", "return min(\n        number,\n        limit,\n    )"),
    _edit("quotes", "conf.py", '"eur"', "'eur'"),
    _edit("the notation of a number", "conf.py", "LIMIT = 100", "LIMIT = 0x64"),
    _edit("an annotation", "nodes.py", "numbers: list) -> list", "numbers: 'list[int]') -> 'list[int]'"),
    _edit("an annotation of a variable", "nodes.py", "    trimmed = ", "    trimmed: list = "),
    _edit("parentheses", "nodes.py", "number * rate - discount", "(number * rate) - discount"),
    _edit("a statement without effect", "tools.py", "    return min", "    pass\n    return min"),
    _edit("the order of a set", "conf.py", '{"a", "b"}', '{"b", "a"}'),
    _edit(
        "a function moved within its module", "nodes.py", '"""Nodes."""\n', '"""Nodes."""\n\n\ndef first():\n    return 1\n\n\n'
    ),
    _edit("an unused helper", "tools.py", "    return numbers\n", "    return numbers[1:]\n"),
    _edit("an unused constant", "conf.py", "UNUSED = 1", "UNUSED = 2"),
    _edit("a removed constant that nothing uses", "conf.py", "UNUSED = 1\n", ""),
    _edit("an unused import", "nodes.py", '"""Nodes."""\n', '"""Nodes."""\n\nimport json\n'),
    _edit("the order of methods", "models.py", f"{_TOTAL}\n{_HALF}", f"{_HALF}\n{_TOTAL}"),
    _edit("a comment and blank lines", "dynamic.py", "def pick", "# which one\n\n\ndef pick"),
    _edit("a comment in a module that is used as a value", "helpers.py", "def up", "# upwards\ndef up"),
)
