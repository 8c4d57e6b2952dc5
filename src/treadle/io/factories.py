"""Dataset factories: catalog entries whose name is a pattern.

`"{name}_csv"` applies to every dataset whose name matches and that has no entry of its own. The most specific pattern
is used; one pattern without literal text is allowed as a catch-all. State: none; the catalog stores the
recipes. Neighbours: `catalog` looks up names here that it does not contain.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from treadle.errors import DatasetError
from treadle.io.paths import PATH_KEYS, is_relative
from treadle.io.recipe import DatasetRecipe, credential_names
from treadle.named_tuple import NamedTuple

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class _Pattern(NamedTuple):
    text: str
    regex: re.Pattern[str]
    fields: frozenset[str]
    template: DatasetRecipe

    @property
    def fixed(self) -> int:
        """The number of literal characters; a pattern with more is more specific."""
        return len(_PLACEHOLDER.sub("", self.text))

    @property
    def order(self) -> tuple[int, int, str]:
        return -self.fixed, -len(_PLACEHOLDER.findall(self.text)), self.text


class DatasetFactories:
    """The patterns of a catalog, most specific first.

    Args:
        templates: recipes whose names are patterns and whose strings may contain the placeholders.
        credentials: all credentials, because a placeholder may choose among them.
        load_versions: versions to load, by dataset name.

    Raises:
        DatasetError: a pattern is malformed, an entry uses a placeholder that its pattern lacks, or there are two catch-alls.
    """

    def __init__(
        self,
        templates: Iterable[DatasetRecipe],
        credentials: Mapping[str, Any] | None = None,
        load_versions: Mapping[str, str] | None = None,
    ) -> None:
        self._patterns = sorted((_compile(template) for template in templates), key=lambda pattern: pattern.order)
        self.credentials = credentials or {}
        self.load_versions = dict(load_versions or {})
        catch_all = [pattern.text for pattern in self._patterns if not pattern.fixed]
        if len(catch_all) > 1:
            msg = (
                f"The catalog has {len(catch_all)} patterns that match every name: {', '.join(map(repr, catch_all))}. "
                "Keep one, and give the others some fixed text, such as '{name}_csv'."
            )
            raise DatasetError(msg, dataset=catch_all[1])

    @property
    def patterns(self) -> tuple[str, ...]:
        """The patterns, in the order in which they are tried."""
        return tuple(pattern.text for pattern in self._patterns)

    @property
    def templates(self) -> tuple[DatasetRecipe, ...]:
        """The recipes whose names are the patterns."""
        return tuple(pattern.template for pattern in self._patterns)

    def recipe(self, name: str) -> DatasetRecipe | None:
        """Return the recipe of a dataset whose name matches a pattern.

        Args:
            name: the dataset's name.

        Returns:
            the recipe, or None if no pattern matches.

        Raises:
            DatasetError: with this name, the path would be outside the folder of the pattern.
        """
        for pattern in self._patterns:
            match = pattern.regex.fullmatch(name)
            if match is not None:
                config = _fill(pattern.template.config, match.groupdict())
                _check_paths(name, pattern, pattern.template.config, config)
                used = {wanted: self.credentials[wanted] for wanted in credential_names(config) if wanted in self.credentials}
                return pattern.template._replace(
                    name=name,
                    config=config,
                    credentials=used,
                    load_version=self.load_versions.get(name),
                    pattern=pattern.text,
                )
        return None


def _compile(template: DatasetRecipe) -> _Pattern:
    text = template.name
    regex, last, fields = "", 0, set[str]()
    for match in _PLACEHOLDER.finditer(text):
        field = match.group(1)
        if not field.isidentifier():
            msg = f"Catalog pattern {text!r} has the placeholder {match.group(0)!r}: it must be a plain name, such as '{{name}}'."
            raise DatasetError(msg, dataset=text)
        regex += re.escape(text[last : match.start()])
        regex += f"(?P={field})" if field in fields else f"(?P<{field}>.+?)"
        fields.add(field)
        last = match.end()
    rest = text[last:]
    if not fields or "{" in _PLACEHOLDER.sub("", text) or "}" in _PLACEHOLDER.sub("", text):
        msg = f"Catalog pattern {text!r} has an unmatched brace. Write placeholders as '{{name}}'."
        raise DatasetError(msg, dataset=text)
    for used in sorted(_placeholders(template.config)):
        if used not in fields:
            msg = (
                f"Catalog pattern {text!r} uses the placeholder '{{{used}}}' in its entry, but its name has only "
                f"{', '.join(f'{{{field}}}' for field in sorted(fields))}. Use those, or add it to the name."
            )
            raise DatasetError(msg, dataset=text)
    return _Pattern(text, re.compile(regex + re.escape(rest), re.DOTALL), frozenset(fields), template)


def _check_paths(name: str, pattern: _Pattern, template: Mapping[str, Any], filled: Mapping[str, Any]) -> None:
    """Raise if a name makes a relative path of the pattern absolute, or adds `..` to it."""
    for key, before in template.items():
        after = filled[key]
        if isinstance(before, Mapping):
            _check_paths(name, pattern, before, after)
        elif key in PATH_KEYS and isinstance(before, str) and before != after:
            climbs = _climbs(after) > _climbs(before)
            if climbs or (is_relative(before) and not is_relative(after)):
                msg = (
                    f"Dataset {name!r} matches the catalog pattern {pattern.text!r}, but its {key} {before!r} would become "
                    f"{after!r}, outside the folder of the pattern. Rename the dataset, or declare it with its own entry."
                )
                raise DatasetError(msg, dataset=name)


def _climbs(path: str) -> int:
    return path.replace("\\", "/").split("/").count("..")


def _placeholders(config: Any) -> set[str]:
    if isinstance(config, str):
        return set(_PLACEHOLDER.findall(config))
    items = config.values() if isinstance(config, Mapping) else config if isinstance(config, (list, tuple)) else ()
    return set().union(*map(_placeholders, items)) if items else set()


def _fill(config: Any, values: Mapping[str, str]) -> Any:
    if isinstance(config, str):
        return _PLACEHOLDER.sub(lambda match: values[match.group(1)], config)
    if isinstance(config, Mapping):
        return {key: _fill(value, values) for key, value in config.items()}
    return [_fill(value, values) for value in config] if isinstance(config, (list, tuple)) else config
