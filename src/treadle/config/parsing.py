"""Parse YAML and JSON text into plain containers, and find the line of a key.

Errors name file and line, and never quote the content, which may be secret. State: none. Neighbours: `loader.py` parses the files
of an environment, and looks up lines only for errors.

YAML is read as usual for configuration: `1e3` is a number, dates and `12:30` are strings, and a duplicate key in a mapping is an
error.
"""

from __future__ import annotations

import functools
import json
import re
from typing import TYPE_CHECKING, Any

from treadle.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_DEPTH = 100
"""Maximum nesting depth of configuration, because code that processes it may be recursive."""

_MERGE_TAG = "tag:yaml.org,2002:merge"
_INT_TAG = "tag:yaml.org,2002:int"
_FLOAT_TAG = "tag:yaml.org,2002:float"
_TIMESTAMP_TAG = "tag:yaml.org,2002:timestamp"
_VALUE_TAG = "tag:yaml.org,2002:value"
_SCALAR_TAGS = frozenset({_INT_TAG, _FLOAT_TAG, "tag:yaml.org,2002:bool", "tag:yaml.org,2002:null"})
_INT = re.compile(r"[-+]?(?:0b_*[01][01_]*|0x_*[0-9a-fA-F][0-9a-fA-F_]*|0[0-7_]*|[1-9][0-9_]*)\Z")
_FLOAT = re.compile(
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+|\.(?:inf|Inf|INF))\Z"
    r"|\.(?:nan|NaN|NAN)\Z"
)


def parse_config(text: str, file: str) -> dict[Any, Any]:
    """Parse the text of a configuration file.

    Args:
        text: the whole text.
        file: the file's name, for messages; a name that ends in `.json` means JSON, any other YAML.

    Returns:
        The top-level mapping; empty for an empty file.

    Raises:
        ConfigError: the text is invalid, has a duplicate key, or is not a mapping.
    """
    data = _parse_json(text, file) if file.lower().endswith(".json") else _parse_yaml(text, file)
    if data is None:
        return {}
    if not isinstance(data, dict):
        msg = f"{file} has a {type(data).__name__} at its top level, but configuration must be a mapping of keys to values."
        raise ConfigError(msg, file=file, line=1)
    return data


def parse_value(text: str, file: str) -> Any:
    """Parse one value in YAML's flow style, such as `[1, 2]`.

    Args:
        text: the value.
        file: its origin, for messages.

    Returns:
        The value as plain containers.

    Raises:
        ConfigError: the text is invalid.
    """
    return _parse_yaml(text, file, pure=True)


def parse_scalar(text: str) -> Any:
    """Parse an unquoted scalar as in a configuration file.

    Args:
        text: the text.

    Returns:
        A number, a bool, None, or the text itself if it is anything else.

    Raises:
        ConfigError: it is a number with more digits than Python can convert.
    """
    import yaml

    loader = loader_class(pure=True)("")
    tag = loader.resolve(yaml.ScalarNode, text, (True, False))
    if tag not in _SCALAR_TAGS:
        return text
    try:
        return loader.construct_object(yaml.ScalarNode(tag, text))
    except yaml.constructor.ConstructorError as exc:
        raise ConfigError(f"{exc.problem}.") from None


def line_of(text: str, file: str, path: Sequence[Any]) -> int | None:
    """Find the line of a key.

    Args:
        text: the whole text of a valid file.
        file: its name, which determines whether it is JSON or YAML.
        path: the keys and list indices that lead to it.

    Returns:
        The line, from 1, of the longest part of the path that the file has; None if it does not have the first key.
    """
    import yaml

    try:
        # JSON is read as YAML here, which does not allow tabs as white space.
        node = yaml.compose(text.replace("\t", " ") if file.lower().endswith(".json") else text, Loader=loader_class())
    except yaml.YAMLError:
        return None
    line = None
    for step in path:
        found = _child(node, step)
        if found is None:
            break
        line, node = found
    return line


def _child(node: Any, step: Any) -> tuple[int, Any] | None:
    import yaml

    if isinstance(node, yaml.SequenceNode):
        if not isinstance(step, int) or step >= len(node.value):
            return None
        return node.value[step].start_mark.line + 1, node.value[step]
    if not isinstance(node, yaml.MappingNode):
        return None
    merged: list[Any] = []
    for key, value in node.value:
        if key.tag == _MERGE_TAG:
            merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
        elif key.value == str(step):
            return key.start_mark.line + 1, value
    return next((found for each in merged if (found := _child(each, step)) is not None), None)


def _parse_yaml(text: str, file: str, *, pure: bool = False) -> Any:
    import yaml

    try:
        loader = loader_class(pure=pure)(text)
    except yaml.YAMLError as exc:  # the pure Python loader checks all characters first
        raise _not_text(text, file, exc) from None
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check(node, file, set(), set())
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        line = mark.line + 1 if mark is not None else None
        where = f"{file}, line {line}, column {mark.column + 1}" if mark is not None else file
        context = exc.context
        if exc.context and exc.context_mark:
            context = f"{exc.context} that begins on line {exc.context_mark.line + 1}"
        problem = ", ".join(part for part in (context, exc.problem) if part)
        if problem.startswith("could not determine a constructor"):  # it quotes the tag, which may be a secret
            problem = "there is a tag that is not supported; put a text that begins with '!' in quotes"
        msg = f"{where} is not valid YAML: {problem}. Check indentation, quotes and colons in this line and the one above it."
        raise ConfigError(msg, file=file, line=line) from None  # the original quotes the line, which may be a secret
    except (yaml.YAMLError, ValueError) as exc:
        raise _not_text(text, file, exc) from None
    except RecursionError:
        raise _too_deep(file, None) from None
    finally:
        loader.dispose()


def _not_text(text: str, file: str, exc: Exception) -> ConfigError:
    line = text.count("\n", 0, position) + 1 if isinstance(position := getattr(exc, "position", None), int) else None
    reason = getattr(exc, "reason", None) or type(exc).__name__
    msg = f"{file} is not valid YAML: {reason}. Save it as UTF-8 text without control characters."
    return ConfigError(msg, file=file, line=line)


def _too_deep(file: str, line: int | None) -> ConfigError:
    where = f"{file}, line {line}" if line else file
    msg = f"{where} is nested deeper than {MAX_DEPTH} levels, which is the maximum. Spread it over more keys or files."
    return ConfigError(msg, file=file, line=line)


def _check(node: Any, file: str, done: set[int], open_: set[int]) -> None:
    """Raise if a mapping has a key twice, an alias contains itself, or the nesting is deeper than `MAX_DEPTH`."""
    import yaml

    if isinstance(node, yaml.ScalarNode) or id(node) in done:
        return
    if id(node) in open_:
        line = node.start_mark.line + 1
        msg = f"{file}, line {line}: an alias (*name) is inside the value that it refers to. Remove it."
        raise ConfigError(msg, file=file, line=line)
    if len(open_) >= MAX_DEPTH:
        raise _too_deep(file, node.start_mark.line + 1)
    open_.add(id(node))
    if isinstance(node, yaml.MappingNode):
        seen: dict[tuple[str, str], int] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE_TAG:
                name, line = (key.tag, key.value), key.start_mark.line + 1
                if name in seen:
                    raise _duplicate(file, key.value, line, seen[name])
                seen[name] = line
            _check(value, file, done, open_)
    else:
        for value in node.value:
            _check(value, file, done, open_)
    open_.discard(id(node))
    done.add(id(node))


class _DuplicateKey(Exception):  # noqa: N818 - internal to this module
    """A duplicate key in a JSON object."""


def _parse_json(text: str, file: str) -> Any:
    if not text.strip():
        return None
    try:
        data = json.loads(text, object_pairs_hook=_without_duplicates)
        _check_depth(data, file)
        return data
    except RecursionError:
        raise _too_deep(file, None) from None
    except json.JSONDecodeError as exc:
        where = f"{file}, line {exc.lineno}, column {exc.colno}"
        msg = f"{where} is not valid JSON: {exc.msg}. Check commas, quotes and brackets there."
        raise ConfigError(msg, file=file, line=exc.lineno) from None  # the original exception has the whole text
    except _DuplicateKey as exc:
        import yaml

        _check(yaml.compose(text.replace("\t", " "), Loader=loader_class()), file, set(), set())
        key = str(exc)
        msg = f"{file} has the key {key!r} twice in one object. Remove one of them."
        raise ConfigError(msg, file=file, key=key) from None


def _check_depth(data: Any, file: str) -> None:
    level = [data]
    for _ in range(MAX_DEPTH + 1):
        containers = [each for each in level if isinstance(each, (dict, list))]
        level = [item for each in containers for item in (each.values() if isinstance(each, dict) else each)]
        if not containers:
            return
    raise _too_deep(file, None)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        raise _DuplicateKey(next(name for name in names if names.count(name) > 1))
    return result


def _duplicate(file: str, key: str, line: int, first: int) -> ConfigError:
    msg = f"{file}, line {line}: the key {key!r} is a duplicate of the one on line {first}. Remove or rename one of them."
    return ConfigError(msg, file=file, line=line, key=key)


@functools.cache
def loader_class(*, pure: bool = False) -> Any:
    """Create the YAML loader class, once: the safe loader, in C if available, with Treadle's rules for scalars.

    Args:
        pure: use the loader written in Python, which accepts any string.
    """
    import yaml

    base: Any = yaml.SafeLoader if pure else getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class TreadleLoader(base):  # type: ignore[misc]  # the base class is chosen at run time
        def construct_yaml_int(self, node: Any) -> int:
            try:
                return int(base.construct_yaml_int(self, node))
            except ValueError:
                problem = f"a number of {len(node.value)} digits is too long for Python; write it in quotes"
                raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None

    ours: Any = TreadleLoader
    dropped = {_TIMESTAMP_TAG, _INT_TAG, _FLOAT_TAG, _VALUE_TAG}
    ours.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in dropped]
        for first, resolvers in base.yaml_implicit_resolvers.items()
    }
    ours.add_implicit_resolver(_FLOAT_TAG, _FLOAT, list("-+0123456789."))
    ours.add_implicit_resolver(_INT_TAG, _INT, list("-+0123456789"))
    ours.add_constructor(_INT_TAG, ours.construct_yaml_int)
    ours.add_constructor(_MERGE_TAG, base.construct_yaml_str)  # `<<` as a value, which no mapping merges
    return ours
