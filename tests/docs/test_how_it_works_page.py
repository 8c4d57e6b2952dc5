"""The drawings of the packages on the page "How it works" are the contracts that import-linter checks."""

from __future__ import annotations

import re
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
DRAWINGS = re.findall(r"^```\n(.*?)^```", (ROOT / "docs" / "how-it-works.md").read_text(), re.MULTILINE | re.DOTALL)
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def layers_of(container):
    """Return the layers of a package from the top down, each with its names, as import-linter has them."""
    (found,) = (each["layers"] for each in CONTRACTS if each.get("containers") == [container])
    return [set(re.findall(r"\w+", layer)) for layer in found]


def drawn(first):
    """Return the names of each line of the drawing that begins with a name."""
    (drawing,) = (each for each in DRAWINGS if each.startswith(first))
    return [re.split(" · ", line.split("  ")[0]) for line in drawing.splitlines() if line[0].strip()]


def assert_same_layers(lines, layers):
    """Assert that the drawing has each name once, and in the order of the layers."""
    floors = {name: floor for floor, names in enumerate(layers) for name in names}
    assert sorted(name for names in lines for name in names) == sorted(floors)
    places = [{floors[name] for name in names} for names in lines]
    assert all(len(each) == 1 for each in places), "the names of one line are in different layers"
    assert places == sorted(places, key=min)


def test_the_packages_are_drawn_as_they_are_layered():
    """The first drawing has each package of Treadle once, from the top layer down."""
    assert_same_layers(drawn("__main__"), layers_of("treadle"))


def test_the_folders_of_the_engine_are_drawn_as_they_are_layered():
    """The second drawing has each folder of `execution` once, from the top layer down."""
    assert_same_layers(drawn("runners"), layers_of("treadle.execution"))
