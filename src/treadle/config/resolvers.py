"""Resolve interpolations: `${key}`, `${globals:x,default}`, `${runtime_params:x,default}`, `${oc.env:X}`, custom resolvers.

OmegaConf resolves a tree of configuration, with resolvers that belong to one loader. But OmegaConf registers resolvers by name
for the whole process. So `${name:` is replaced by `${treadle.name:` for each resolver of the loader, and the function registered
as `treadle.name` only looks up the resolver in the scope of the active resolution. Thus loaders with different parameters or
resolvers can work concurrently in several threads, and the resolvers of other libraries do not change.

State: the registered functions in OmegaConf, and the active scope in a context variable. Neighbours: `loader.py` creates a
    `Scope`
for each kind of configuration.
"""

from __future__ import annotations

import contextvars
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from treadle.errors import ConfigError
from treadle.named_tuple import NamedTuple
from treadle.suggestions import close_names, did_you_mean

_PREFIX = "treadle."
_CALL = r"\$\{\s*([A-Za-z_][\w.]*)\s*:"
_SCOPE: contextvars.ContextVar[Scope] = contextvars.ContextVar("treadle_config_scope")
_PARTS = re.compile(r"[^.\[\]]+")
_NODE_ARGUMENTS = ("_parent_", "_node_", "_root_")
MISSING: Any = object()
"""Marker for a missing default."""


class ResolutionError(Exception):
    """An interpolation that cannot be resolved; the loader converts it to a ConfigError with file and line.

    Args:
        message: the problem.
        path: the keys that lead to the value, if known.
    """

    def __init__(self, message: str, path: tuple[Any, ...] = ()) -> None:
        super().__init__(message, path)
        self.message = message
        self.path = path


class Literal:
    """A value in which interpolations are not resolved: a runtime parameter, or an object that OmegaConf does not support.

    It is not a dataclass, because OmegaConf would treat a dataclass as a schema.

    Args:
        value: the value.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __str__(self) -> str:
        return str(self.value)


class Scope(NamedTuple):
    """The inputs of one resolution.

    Attributes:
        resolvers: the functions for `${name:...}`, by name.
        owner: the loader that resolves.
        kinds: the kinds of configuration that are being resolved, outermost first, to detect circles.
    """

    resolvers: Mapping[str, Callable[..., Any]]
    owner: object = None
    kinds: tuple[str, ...] = ()


def has_interpolation(value: Any) -> bool:
    """Return whether any string in a tree may contain an interpolation.

    Args:
        value: plain containers.

    Returns:
        True if a string contains `${`.
    """
    if isinstance(value, str):
        return "${" in value
    if isinstance(value, dict):
        return any(map(has_interpolation, value.values()))
    return isinstance(value, list) and any(map(has_interpolation, value))


def resolve(tree: dict[Any, Any], scope: Scope) -> dict[Any, Any]:
    """Resolve every interpolation of a tree.

    Args:
        tree: plain containers; `Literal` values are replaced by their content.
        scope: the resolvers to use.

    Returns:
        A new tree of plain containers.

    Raises:
        ResolutionError: an interpolation refers to a missing key or an unknown resolver, or its resolver raises.
    """
    plain: dict[Any, Any]
    if not has_interpolation(tree):
        plain = _plain(tree)
        return plain
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    _register(scope.resolvers)
    token = _SCOPE.set(scope)
    try:
        config = OmegaConf.create(_prepared(tree, scope.resolvers), flags={"allow_objects": True})
        try:
            resolved = OmegaConf.to_container(config, resolve=True)
        except OmegaConfBaseException as exc:
            path = _failing_path(tree, config)
            raise _error(exc, scope, path) from _cause(exc)
    except OmegaConfBaseException as exc:
        raise _error(exc, scope) from _cause(exc)
    finally:
        _SCOPE.reset(token)
    plain = _plain(resolved)
    return plain


def current_scope() -> Scope | None:
    """Return the scope of the active resolution in this context.

    Returns:
        The scope; None if no resolution is active.
    """
    return _SCOPE.get(None)


def look_up(values: Mapping[Any, Any], key: str, default: Any) -> Any:
    """Find a dotted key in nested mappings and lists.

    Args:
        values: the mappings.
        key: the dotted key; `years.2020`, `sizes.0` and `sizes[0]` refer to keys that are numbers, and to elements of lists.
        default: the result if the key is missing; MISSING for no default.

    Returns:
        The value.

    Raises:
        LookupError: the key is missing and there is no default.
    """
    found: Any = values
    for part in _PARTS.findall(key):
        try:
            found = _step(found, part)
        except LookupError:
            if default is MISSING:
                raise LookupError(key) from None
            return default
    return found


def _step(value: Any, part: str) -> Any:
    if isinstance(value, Mapping):
        if part in value:
            return value[part]
        for key, each in value.items():  # YAML reads `2020:` and `true:` as a number and a boolean
            if not isinstance(key, str) and str(key).lower() == part.lower():
                return each
    if isinstance(value, (list, tuple)) and part.lstrip("-").isdecimal():
        return value[int(part)]
    raise LookupError(part)


def _register(resolvers: Mapping[str, Any]) -> None:
    """Register a dispatching function in OmegaConf for each name; it is the same for every loader."""
    from omegaconf import OmegaConf

    for name in resolvers:
        if not OmegaConf.has_resolver(_PREFIX + name):
            # OmegaConf 2.4 renamed the function; in 2.3 the new name belongs to an older function without `replace`.
            renamed = "replace" in inspect.signature(OmegaConf.register_resolver).parameters
            register: Any = OmegaConf.register_resolver if renamed else OmegaConf.register_new_resolver
            register(_PREFIX + name, _dispatcher(name), replace=True)


def _dispatcher(name: str) -> Callable[..., Any]:
    # A lambda, because OmegaConf would check annotations at each call.
    return lambda *args, _parent_, _node_, _root_: _dispatch(name, args, (_parent_, _node_, _root_))


def _dispatch(name: str, args: tuple[Any, ...], nodes: tuple[Any, ...]) -> Any:
    resolver = _SCOPE.get().resolvers[name]
    try:
        parameters = inspect.signature(resolver).parameters
    except ValueError:  # some builtins have no signature
        parameters = {}  # type: ignore[assignment]  # instead of an empty mapping proxy
    taken = {key: node for key, node in zip(_NODE_ARGUMENTS, nodes, strict=True) if key in parameters}
    result = resolver(*(arg.value if isinstance(arg, Literal) else arg for arg in args), **taken)
    return _prepared(result, None)


def _prepared(value: Any, resolvers: Mapping[str, Any] | None) -> Any:
    """Prepare a tree for OmegaConf: replace resolver names in strings, and wrap values that it does not support in `Literal`.

    Without resolvers, strings are data.
    """
    if type(value) is dict:
        return {key: _prepared(each, resolvers) for key, each in value.items()}
    if type(value) is list:
        return [_prepared(each, resolvers) for each in value]
    if type(value) is str and "${" in value and resolvers is not None:
        return re.sub(_CALL, lambda match: _renamed(match, resolvers), value)
    if type(value) is Literal:
        return _prepared(value.value, None)
    return value if _is_safe(value) else Literal(value)


def _is_safe(value: Any) -> bool:
    """Return whether OmegaConf leaves a value unchanged: a scalar without special characters, or one of OmegaConf's own nodes."""
    if type(value) is str:
        return not any(mark in value for mark in ("${", "???", "\\"))
    if value is None or type(value) in (bool, int, float):
        return True
    from omegaconf import Container, Node

    return isinstance(value, (Container, Node))


def _renamed(match: re.Match[str], resolvers: Mapping[str, Any]) -> str:
    name = match.group(1)
    return "${" + _PREFIX + name + ":" if name in resolvers and not _is_escaped(match) else match.group(0)


def _is_escaped(match: re.Match[str]) -> bool:
    before = match.string[: match.start()]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1


def _plain(value: Any) -> Any:
    """Copy containers, and replace each `Literal` by its value."""
    if type(value) is dict:
        return {key: _plain(each) for key, each in value.items()}
    if type(value) is list:
        return [_plain(each) for each in value]
    return value.value if isinstance(value, Literal) else value


def _failing_path(tree: Any, config: Any) -> tuple[Any, ...]:
    """Return the path of the first string whose interpolation fails, by resolving each one separately."""
    from omegaconf.errors import OmegaConfBaseException

    stack: list[tuple[tuple[Any, ...], Any]] = [((), tree)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, (dict, list)):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            stack += reversed([((*path, key), each) for key, each in items])
        elif isinstance(value, str) and "${" in value:
            node = config
            try:
                for step in path:
                    node = node[step]
            except OmegaConfBaseException:
                return path
    return ()


def _path_of(exc: Any) -> tuple[Any, ...]:
    full_key = getattr(exc, "full_key", None)
    return tuple(re.split(r"[.\[\]]+", full_key.rstrip("]"))) if full_key else ()


def _error(exc: Exception, scope: Scope, path: tuple[Any, ...] = ()) -> ResolutionError:
    from omegaconf.errors import InterpolationKeyError, UnsupportedInterpolationType

    if scope.kinds[-1:] == ("credentials",) and isinstance(exc, (InterpolationKeyError, UnsupportedInterpolationType)):
        reason = (
            "it has a ${...} that refers to no key and no resolver, whose text is not shown, because it may be a part of a "
            rf"secret; write \${{ for a literal ${{. The resolvers are: {', '.join(scope.resolvers)}"
        )
    else:
        reason = _reason(exc, scope)
    return ResolutionError(reason, path or _path_of(exc))


def _cause(exc: Exception) -> Exception | None:
    """Return the exception as a cause; None if it is OmegaConf's own, which quotes the value: it may be a secret."""
    from omegaconf.errors import GrammarParseError, InterpolationKeyError, UnsupportedInterpolationType

    return None if isinstance(exc, (GrammarParseError, InterpolationKeyError, UnsupportedInterpolationType)) else exc


def _reason(exc: BaseException, scope: Scope) -> str:
    """Return the reason in one line: that of the innermost exception of Treadle's resolvers, or OmegaConf's first line."""
    from omegaconf.errors import GrammarParseError, InterpolationKeyError, UnsupportedInterpolationType

    if isinstance(exc, GrammarParseError):  # its text may quote the value, which may be a secret
        return r"it is not a valid interpolation; close each ${...}, and write \${ for a literal ${"
    inner: BaseException | None = exc
    while inner is not None:
        if isinstance(inner, ResolutionError):
            return inner.message
        if isinstance(inner, ConfigError):
            return str(inner).rstrip(".")
        inner = inner.__cause__ or inner.__context__
    text = str(exc).partition("\n")[0].replace(_PREFIX, "").rstrip(".")
    if isinstance(exc, InterpolationKeyError):
        return f"{text}; write the whole path of the key from the top, or ${{globals:...}} for a value of the globals"
    if not isinstance(exc, UnsupportedInterpolationType):
        return text
    name = text.rpartition(" ")[2]
    known = f"The resolvers are: {', '.join(scope.resolvers)}."
    hint = did_you_mean(close_names(name, scope.resolvers, most=1), known)
    return f"there is no resolver {name!r}.{hint} CONFIG_LOADER_ARGS adds others with custom_resolvers"
