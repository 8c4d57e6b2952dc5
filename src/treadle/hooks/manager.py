"""Create hook managers from the specs, and register a project's hooks and installed plugins.

Errors name the plugin and the problem. State: none; each session and each worker owns its manager. Neighbours: `specs.py`
declares the hooks; `treadle.project.settings` lists those of a project.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

from pluggy import HookimplMarker, PluginManager, PluginValidationError

from treadle.errors import HookError
from treadle.hooks.specs import NAMESPACE, SPECS, hook_names, hook_spec
from treadle.plugins import HOOKS, offered, plugin_name
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

__all__ = [
    "ENTRY_POINT_GROUP",
    "create_hook_manager",
    "hook_impl",
    "hook_spec",
    "register_hooks",
    "register_plugins",
]

ENTRY_POINT_GROUP = HOOKS
"""The entry-point group of hooks of installed packages."""

hook_impl = HookimplMarker(NAMESPACE)
"""Decorator that marks a method or a function as the implementation of the hook it is named after."""


class _Manager(PluginManager):
    """A manager that does not examine what each class of specs has from `object`: two thirds of the time to make one."""

    def parse_hookspec_opts(self, module_or_class: Any, name: str) -> Any:
        """Return the options of a spec; None if an attribute is no spec."""
        return None if name.startswith("_") else super().parse_hookspec_opts(module_or_class, name)


def create_hook_manager() -> PluginManager:
    """Create a manager with every spec and no implementation.

    Returns:
        A new manager; calling one of its hooks returns an empty list until something is registered.
    """
    manager = _Manager(NAMESPACE)
    for specs in SPECS:
        manager.add_hookspecs(specs)
    return manager


def register_hooks(manager: PluginManager, hooks: Iterable[Any], *, source: str | None = None) -> None:
    """Register hook implementations; duplicates are registered once.

    Args:
        manager: the manager that will call them; the one registered last is called first.
        hooks: instances of classes, or modules, that have methods or functions marked with `hook_impl`.
        source: their origin for errors: the name of the setting that lists them.

    Raises:
        HookError: a class was given instead of an instance, it has no marked method, or a marked method matches no hook.
    """
    for position, hook in enumerate(hooks):
        if not manager.is_registered(hook):
            name = f"{source}[{position}]" if source is not None else None
            _register(manager, hook, name=None if name is None or manager.has_plugin(name) else name, label=_label(hook))


def register_plugins(manager: PluginManager, disabled: Collection[str] = ()) -> tuple[str, ...]:
    """Register the hooks that installed packages declare in the entry-point group `treadle.hooks`.

    Args:
        manager: the manager that will call them.
        disabled: names of distributions (or of single entry points) to skip.

    Returns:
        The names of the plugins registered by this call, as `distribution:entry point`.

    Raises:
        HookError: a plugin cannot be imported or does not match the specs.
    """
    skipped = {_canonical(name) for name in disabled}
    registered = []
    for entry_point in offered(ENTRY_POINT_GROUP):
        name = plugin_name(entry_point)
        distribution = entry_point.dist.name if entry_point.dist is not None else ""
        if skipped & {_canonical(distribution), _canonical(entry_point.name)} or manager.has_plugin(name):
            continue
        try:
            plugin = entry_point.load()
        except Exception as exc:
            msg = (
                f"The hooks of the plugin {name} ({entry_point.value}) cannot be imported: {type(exc).__name__}: {exc}. "
                f"Repair or uninstall the plugin, or add {distribution or entry_point.name!r} to DISABLE_HOOKS_FOR_PLUGINS "
                "in settings.py."
            )
            raise HookError(msg, plugin=name) from exc
        if not manager.is_registered(plugin):
            _register(manager, plugin, name=name, label=f"plugin {name}")
            registered.append(name)
    return tuple(registered)


def _register(manager: PluginManager, hook: Any, *, name: str | None, label: str) -> None:
    if inspect.isclass(hook):
        msg = (
            f"{label} is a class, and hooks are registered as instances. Write {hook.__name__}() with parentheses, "
            "for example HOOKS = (" + hook.__name__ + "(),) in settings.py."
        )
        raise HookError(msg, plugin=label)
    known = hook_names()
    marked = list(_marked(manager, hook))
    if not marked:
        unmarked = [attribute for attribute in known if hasattr(hook, attribute)]
        what = f"It has {unmarked[0]!r}: decorate it" if unmarked else "Decorate each implementation"
        msg = f"{label} implements no hook: nothing in it is marked with treadle's hook_impl. {what} with @hook_impl."
        raise HookError(msg, hook=unmarked[0] if unmarked else None, plugin=label)
    for target, optional, implementation in marked:
        if target in known:
            _check_arguments(manager, target, implementation, label)
        if target not in known and not optional and not hasattr(manager.hook, target):
            hint = did_you_mean(close_names(target, known), f"The hooks are: {', '.join(known)}.")
            msg = f"{label} implements {target!r}, which is not a hook.{hint}"
            raise HookError(msg, hook=target, plugin=label)
    try:
        manager.register(hook, name=name)
    except PluginValidationError as exc:
        if manager.is_registered(hook):  # older versions of pluggy leave it registered
            manager.unregister(hook)
        reason = " ".join(str(exc).split())
        msg = f"{label} cannot be registered: {reason}. Declare only arguments of the hook, by their names."
        raise HookError(msg, plugin=label) from exc


def _check_arguments(manager: PluginManager, target: str, implementation: Any, label: str) -> None:
    given = getattr(manager.hook, target).spec.argnames
    parameters = inspect.signature(implementation).parameters.values()
    taken = [each.name for each in parameters if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD]
    unknown = [name for name in taken if name not in given]
    if unknown:
        msg = (
            f"{label} implements {target}({', '.join(taken)}), but that hook has no argument {unknown[0]!r}. Its arguments are: "
            f"{', '.join(given)}."
        )
        raise HookError(msg, hook=target, plugin=label)


def _marked(manager: PluginManager, hook: Any) -> Iterator[tuple[str, bool, Any]]:
    """Yield the hook that each marked attribute implements, whether it may be unknown, and the attribute."""
    for attribute in dir(hook):
        options = manager.parse_hookimpl_opts(hook, attribute)
        if options is not None:
            yield options.get("specname") or attribute, bool(options.get("optionalhook")), getattr(hook, attribute)


def _label(hook: Any) -> str:
    if inspect.ismodule(hook):
        return f"hook module {hook.__name__}"
    kind = hook if inspect.isclass(hook) else type(hook)
    return f"hook {kind.__module__}.{kind.__qualname__}"


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
