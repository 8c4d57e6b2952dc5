"""Who is at fault when a hook fails: the very plugin, by its class and where it came from."""

from __future__ import annotations

import functools
import types
from typing import Any

import pytest

from treadle.hooks import (
    create_hook_manager,
    describe_plugin,
    hook_impl,
    plugin_at_fault,
    plugin_that_answered,
    register_hooks,
)

HERE = __name__


def passing_on(function: Any) -> Any:
    """A decorator such as many plugins use: all hooks that have it share their outermost code."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class Plain:
    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails

    @hook_impl
    def before_pipeline_run(self) -> None:
        if self.fails:
            helper(1)


class Decorated(Plain):
    @hook_impl
    @passing_on
    def before_pipeline_run(self, catalog: Any) -> None:
        if self.fails:
            helper(catalog)


class Wrapper:
    """Wraps the others, and fails before them, after them, or not at all."""

    def __init__(self, when: str = "") -> None:
        self.when = when

    @hook_impl(wrapper=True)
    def before_pipeline_run(self) -> Any:
        if self.when == "before":
            helper(1)
        answers = yield
        if self.when == "after":
            helper(2)
        return answers


class OldWrapper(Wrapper):
    @hook_impl(hookwrapper=True)
    def before_pipeline_run(self) -> Any:
        if self.when == "before":
            helper(1)
        yield


def helper(_value: Any) -> None:
    msg = "boom"
    raise ValueError(msg)


def blamed(*hooks: Any) -> str | None:
    manager = create_hook_manager()
    register_hooks(manager, hooks, source="HOOKS")
    with pytest.raises(ValueError, match="boom") as caught:
        manager.hook.before_pipeline_run(run_params={}, pipeline=None, catalog=None)
    return plugin_at_fault(manager, "before_pipeline_run", caught.value)


@pytest.mark.parametrize(
    ("hooks", "guilty"),
    [
        ((Plain(fails=True),), "Plain (HOOKS[0])"),
        ((Plain(), Plain(fails=True), Plain()), "Plain (HOOKS[1])"),
        ((Decorated(), Decorated(fails=True), Plain()), "Decorated (HOOKS[1])"),
        ((Plain(fails=True), Wrapper()), "Plain (HOOKS[0])"),
        ((Plain(fails=True), OldWrapper(), Wrapper()), "Plain (HOOKS[0])"),
        ((Plain(), Wrapper("before")), "Wrapper (HOOKS[1])"),
        ((Plain(), Wrapper("after")), "Wrapper (HOOKS[1])"),
        ((OldWrapper("before"), Wrapper()), "OldWrapper (HOOKS[0])"),
    ],
)
def test_the_very_plugin_is_named(hooks: tuple[Any, ...], guilty: str) -> None:
    """Beside others of its class, decorated, or between wrappers of both styles, the one that raised is found."""
    assert blamed(*hooks) == f"{HERE}.{guilty}"


def test_where_the_traceback_does_not_tell_all_are_named() -> None:
    """Code without frames leaves a choice; a single implementation leaves none."""
    manager = create_hook_manager()
    register_hooks(manager, (Plain(), Wrapper()), source="HOOKS")
    error = ValueError("boom")
    assert plugin_at_fault(manager, "before_pipeline_run", error) == f"one of {HERE}.Plain (HOOKS[0]), {HERE}.Wrapper (HOOKS[1])"
    assert plugin_at_fault(manager, "after_pipeline_run", error) is None
    single = create_hook_manager()
    register_hooks(single, (Plain(),))
    assert plugin_at_fault(single, "before_pipeline_run", error) == f"{HERE}.Plain"


def test_plugins_say_where_they_came_from() -> None:
    """A setting and an entry point are named; what was registered by hand is named by its class or module alone."""
    module = types.ModuleType("shop.hooks")
    module.before_pipeline_run = hook_impl(lambda: None)  # type: ignore[attr-defined]  # that is what makes it a plugin
    by_hand, listed, offered = Plain(), Plain(), Plain()
    manager = create_hook_manager()
    register_hooks(manager, (by_hand, module))
    register_hooks(manager, (by_hand, listed), source="HOOKS")
    manager.register(offered, "shop-plugin:prices")
    assert describe_plugin(manager, by_hand) == f"{HERE}.Plain"
    assert describe_plugin(manager, module) == "shop.hooks"
    assert describe_plugin(manager, listed) == f"{HERE}.Plain (HOOKS[1])"
    assert describe_plugin(manager, offered) == f"{HERE}.Plain (shop-plugin:prices)"


def test_the_plugin_of_an_answer_is_found_where_all_answered() -> None:
    """Answers come in the order of the calls; where some plugins gave none, several may have given one."""

    class Answering:
        @hook_impl
        def before_node_run(self) -> dict[str, int]:
            return {}

    manager = create_hook_manager()
    register_hooks(manager, (Answering(), Answering()), source="HOOKS")
    name = f"{HERE}.{Answering.__qualname__}"
    assert plugin_that_answered(manager, "before_node_run", 0, 2) == f"{name} (HOOKS[1])"
    assert plugin_that_answered(manager, "before_node_run", 1, 2) == f"{name} (HOOKS[0])"
    assert plugin_that_answered(manager, "before_node_run", 0, 1) == f"one of {name} (HOOKS[1]), {name} (HOOKS[0])"
