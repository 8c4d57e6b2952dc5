"""Generators of random numbers that forked workers would share are found in the modules of the nodes."""

from __future__ import annotations

import random
import sys
from types import ModuleType

import numpy as np
import pytest

from treadle.execution.packing.own_generators import find_own_generator


@pytest.fixture
def module(monkeypatch):
    """`module(name, **globals)`: add a module to those that are imported."""

    def add(name, **variables):
        made = ModuleType(name)
        vars(made).update(variables)
        monkeypatch.setitem(sys.modules, name, made)

    return add


@pytest.mark.parametrize("make", [random.Random, np.random.default_rng, np.random.RandomState])
def test_each_kind_is_found(module, make):
    """The name of the module and of the variable says where."""
    module("own_steps", size=3, rng=make())
    assert find_own_generator(["own_steps"]) == "own_steps.rng"


def test_what_needs_no_other_start_method(module):
    """Generators without a state, of scripts, of other modules and of libraries; functions of the shared generators."""
    module("__main__", rng=random.Random())
    module("other_steps", rng=random.Random())
    module("own_steps", system=random.SystemRandom(), draw=random.random, np=np, random=random)
    assert find_own_generator(["own_steps", "__main__", "not_imported"]) is None


def test_the_whole_package_of_a_project_is_searched(module):
    """A node may use the generator of another module of the package."""
    project = ModuleType("project")
    project.package_name = "own_package"
    module("own_package.steps")
    module("own_package.common.numbers", rng=random.Random())
    module("own_package_of_another", first=random.Random())
    assert find_own_generator(["own_package.steps"], project) == "own_package.common.numbers.rng"
