"""Load the configuration of a project: merge the files of two environments, resolve interpolations, return plain containers.

The loader finds the files of each kind (catalog, parameters, credentials, globals, the project's own kinds), merges the
environments and the runtime parameters, and resolves interpolations. State: a cache of parsed files and resolved kinds, so that a
loader is consistent for its lifetime. Neighbours: `source.py` reads files, `parsing.py` parses them, `merging.py` merges them,
`resolvers.py` resolves interpolations; a session creates one loader for its context.

    conf/base/*.yml ─┐ merge files of one environment: a duplicate key is an error
    conf/local/*.yml ┴─ merge environments (destructive or soft) ─ runtime parameters over parameters ─ interpolate ─ drop `_keys`
"""

from __future__ import annotations

import copy
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from treadle.config.arguments import checked_patterns, checked_resolvers
from treadle.config.environment_variables import environment_variable, refused_variable
from treadle.config.merging import MergedEnvironment, Strategy, merge_environments, merge_files, overlay, used_template
from treadle.config.params import merge_params
from treadle.config.parsing import line_of, parse_config
from treadle.config.resolvers import MISSING, ResolutionError, Scope, current_scope, look_up, resolve
from treadle.config.source import ConfSource, check_environments, matches, open_source
from treadle.errors import ConfigError, MissingConfigError
from treadle.secrets import register_secrets
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

DEFAULT_PATTERNS: Mapping[str, tuple[str, ...]] = {
    **{kind: (f"{kind}*", f"{kind}*/**", f"**/{kind}*") for kind in ("catalog", "parameters", "credentials", "globals")},
    "execution": ("execution.yml", "execution.yaml", "execution.json"),
}
"""The file patterns of each kind of configuration, relative to the folder of an environment."""

_OPTIONAL = frozenset(DEFAULT_PATTERNS)


class ConfigLoader:
    """Load a project's configuration by kind: `loader["parameters"]`.

    Top-level keys that begin with `_` are templates: interpolations can refer to them, but the result does not contain them.
    Interpolations are resolved after the environments are merged, so an environment can override a value that the base refers to.
    Runtime parameters are data: a `${` in them is not an interpolation.

    Args:
        conf_source: the folder or archive with the environments.
        env: the environment that overrides the base: a folder, which may be nested (`prod/eu`); None for `default_run_env`.
        runtime_params: parameters of this session, which override those of files at every depth.
        base_env: the base environment; an empty name means the top of the source.
        default_run_env: the environment to use by default, if its folder exists.
        config_patterns: additional kinds, or other patterns for a kind: `*` matches within a folder, `**` across folders.
        custom_resolvers: the functions for `${name:...}`, by name, only for this loader.
        merge_strategy: `"destructive"` (the default: a top-level key of the environment replaces the base's) or `"soft"`
            (nested mappings merge), by kind.
    """

    def __init__(
        self,
        conf_source: str | Path,
        *,
        env: str | None = None,
        runtime_params: Mapping[str, Any] | None = None,
        base_env: str = "base",
        default_run_env: str = "local",
        config_patterns: Mapping[str, Sequence[str]] | None = None,
        custom_resolvers: Mapping[str, Callable[..., Any]] | None = None,
        merge_strategy: Mapping[str, str] | None = None,
    ) -> None:
        self.conf_source = Path(conf_source).expanduser().absolute()
        self.base_env = base_env or ""
        self.env = PurePosixPath(env).as_posix() if env else default_run_env or ""
        self.runtime_params = merge_params(runtime_params or {}, {})
        self.config_patterns = {**DEFAULT_PATTERNS, **checked_patterns(config_patterns)}
        self.custom_resolvers = checked_resolvers(custom_resolvers)
        self.merge_strategy = {kind: self._strategy(kind, name) for kind, name in (merge_strategy or {}).items()}
        self._env_was_named = env is not None and self.env != default_run_env
        self._source: ConfSource | None = None
        self._parsed: dict[tuple[str, str], dict[Any, Any]] = {}
        self._listed: dict[str, list[str]] = {}  # the files of each environment
        self._resolved: dict[str, dict[Any, Any]] = {}

    def locate(self, kind: str, path: Sequence[Any]) -> tuple[str, int | None] | None:
        """Return where a value of the configuration is defined.

        Args:
            kind: the kind of configuration.
            path: the keys that lead to the value.

        Returns:
            The file with the highest precedence that has it, and the line; None if no file has its first key.

        Raises:
            ConfigError: a file is invalid.
        """
        merged = [merge_files(kind, env, files) for env, files in self._files(self._open(), kind)]
        file, line = self._place(merged, tuple(path))
        return None if file is None else (file, line)

    def unresolved(self, kind: str) -> dict[Any, Any]:
        """Return one kind of configuration from the files, without runtime parameters and with unresolved interpolations.

        Args:
            kind: the kind of configuration.

        Raises:
            ConfigError: a file is invalid.
        """
        merged = [merge_files(kind, env, files) for env, files in self._files(self._open(), kind)]
        return merge_environments(merged, self.merge_strategy.get(kind, Strategy.DESTRUCTIVE))

    def with_runtime_params(self, runtime_params: Mapping[str, Any]) -> ConfigLoader:
        """Return a loader of the same files with other runtime parameters.

        Args:
            runtime_params: the parameters that replace those of this loader.

        Returns:
            A loader that shares only the caches of listed and parsed files with this one.
        """
        other = copy.copy(self)
        other.runtime_params = merge_params(runtime_params, {})
        other._resolved = {}  # noqa: SLF001 - a loader of this class
        return other

    def __getitem__(self, kind: str) -> dict[Any, Any]:
        """Return one kind of configuration, resolved.

        Args:
            kind: `catalog`, `parameters`, `credentials`, `globals`, `execution`, or a kind of `config_patterns`.

        Returns:
            A new copy of plain containers; empty if an optional kind has no file.

        Raises:
            MissingConfigError: the source, the base environment, or every file of a project's own kind is missing.
            ConfigError: a file or a key is invalid; the error has the file and line.
        """
        if kind not in self.config_patterns:
            known = f"The kinds are: {', '.join(self.config_patterns)}."
            hint = did_you_mean(close_names(kind, self.config_patterns, most=1), known)
            msg = f"There is no kind of configuration named {kind!r}.{hint} CONFIG_LOADER_ARGS adds others with config_patterns."
            raise ConfigError(msg, key=kind)
        if kind not in self._resolved:
            # Two threads may both read it; `setdefault` makes all of them use the result of the first.
            self._resolved.setdefault(kind, self._read(kind))
        copied: dict[Any, Any] = _copy(self._resolved[kind])
        return copied

    def __contains__(self, kind: object) -> bool:
        return kind in self.config_patterns

    def __iter__(self) -> Iterator[str]:
        return iter(self.config_patterns)

    def get(self, kind: str, default: Any = None) -> Any:
        """Return one kind of configuration, or a default if it does not exist.

        Args:
            kind: the kind.
            default: the result for an unknown kind, or for a mandatory kind without files.

        Returns:
            The configuration or the default.

        Raises:
            ConfigError: a file or a key is invalid.
        """
        if kind not in self:
            return default
        try:
            return self[kind]
        except MissingConfigError:
            return default

    def keys(self) -> tuple[str, ...]:
        """List the kinds of configuration.

        Returns:
            Their names.
        """
        return tuple(self.config_patterns)

    def __repr__(self) -> str:
        return f"ConfigLoader({str(self.conf_source)!r}, env={self.env!r})"

    def _read(self, kind: str) -> dict[Any, Any]:
        source = self._open()
        merged = [merge_files(kind, env, files) for env, files in self._files(source, kind)]
        if not any(each.files for each in merged) and kind not in _OPTIONAL:
            wanted = ", ".join(self.config_patterns[kind])
            places = " or ".join(source.describe(each.env) for each in merged)
            msg = f"No file for {kind!r} in {places}: looked for {wanted} with the ending .yml, .yaml or .json. Create one."
            raise MissingConfigError(msg, file=source.describe(self.base_env), key=kind)
        tree = merge_environments(merged, self.merge_strategy.get(kind, Strategy.DESTRUCTIVE))
        if kind == "parameters":
            tree = overlay(tree, self.runtime_params)
        self._raise_on_conflict(kind, merged, tree)
        outer = current_scope()
        kinds = outer.kinds if outer is not None and outer.owner is self else ()
        if kind in kinds:
            msg = f"the interpolation is circular: {' refers to '.join((*kinds, kind))}"
            raise ResolutionError(msg)
        scope = Scope(self._resolvers(kind), self, (*kinds, kind))
        try:
            resolved = resolve(tree, scope)
        except ResolutionError as exc:
            raise self._located(kind, merged, exc) from exc
        if kind == "parameters":
            resolved = merge_params(resolved, self.runtime_params)
        if kind == "globals":
            return resolved
        if kind == "credentials":
            register_secrets(resolved)
        return {key: value for key, value in resolved.items() if not (isinstance(key, str) and key.startswith("_"))}

    def files(self, kind: str | None = None) -> list[str]:
        """Return the paths of the files of one kind, or of all files, without reading them."""
        source = self._open()
        known = [env for env in dict.fromkeys((self.base_env, self.env)) if source.has_environment(env)]
        names = [(env, name) for env in known for name in source.files(env)]
        return [source.describe(*each) for each in names if kind is None or matches(each[1], self.config_patterns[kind])]

    def _open(self) -> ConfSource:
        if self._source is None:
            source = open_source(self.conf_source, self.base_env)
            check_environments(source, self.conf_source, self.base_env, self.env if self._env_was_named else None)
            self._source = source
        return self._source

    def _files(self, source: ConfSource, kind: str) -> Iterator[tuple[str, dict[str, dict[Any, Any]]]]:
        """Yield each environment, the base first, with its parsed files of a kind."""
        for env in dict.fromkeys((self.base_env, self.env)):
            if env not in self._listed:
                self._listed[env] = source.files(env) if source.has_environment(env) else []
            names = self._listed[env]
            if not env and self.env:
                names = [name for name in names if not name.startswith(f"{self.env}/")]
            chosen = [name for name in names if matches(name, self.config_patterns[kind])]
            yield env, {name: self._parse(source, env, name) for name in chosen}

    def _parse(self, source: ConfSource, env: str, name: str) -> dict[Any, Any]:
        """Parse a file once, and return a copy, because callers merge into it."""
        if (env, name) not in self._parsed:
            self._parsed[env, name] = parse_config(source.read(env, name), source.describe(env, name))
        copied: dict[Any, Any] = _copy(self._parsed[env, name])
        return copied

    def _resolvers(self, kind: str) -> dict[str, Callable[..., Any]]:
        return {
            "globals": self._global,
            "runtime_params": self._runtime_param,
            "oc.env": environment_variable if kind == "credentials" else refused_variable,
            **self.custom_resolvers,
        }

    def _global(self, key: str, default: Any = MISSING) -> Any:
        try:
            return look_up(self["globals"], str(key), default)
        except LookupError:
            msg = (
                f"${{globals:{key}}} refers to a key that no globals file has; add it to one, or give a default: "
                f"${{globals:{key},default}}"
            )
            raise ResolutionError(msg) from None

    def _runtime_param(self, key: str, default: Any = MISSING) -> Any:
        try:
            return look_up(self.runtime_params, str(key), default)
        except LookupError:
            msg = (
                f"${{runtime_params:{key}}} refers to a parameter that was not passed; pass --params {key}=..., or "
                f"give a default: ${{runtime_params:{key},default}}"
            )
            raise ResolutionError(msg) from None

    def _raise_on_conflict(self, kind: str, merged: Sequence[MergedEnvironment], tree: Mapping[Any, Any]) -> None:
        for each in merged:
            ambiguous = [conflict for conflict in each.templates if used_template(tree, conflict)]
            for conflict in (*each.conflicts, *ambiguous):
                key = ".".join(map(str, conflict.path))
                places = [self._line(each.env, name, conflict.path) for name in (conflict.first, conflict.second)]
                (first, first_line), (second, line) = places
                problem = "is interpolated and has another value" if conflict in ambiguous else "was given before"
                msg = (
                    f"{second}, line {line}: the {kind} key {key!r} {problem} in {first}, line {first_line}, "
                    "of the same environment. Remove or rename one of them."
                )
                raise ConfigError(msg, file=second, line=line, key=key)

    def _line(self, env: str, name: str, path: tuple[Any, ...]) -> tuple[str, int | None]:
        source = self._open()
        file = source.describe(env, name)
        return file, line_of(source.read(env, name), file, path)

    def _located(self, kind: str, merged: Sequence[MergedEnvironment], exc: ResolutionError) -> ConfigError:
        """Return the error with the file and line of the invalid value."""
        key = ".".join(map(str, exc.path)) or None
        file, line = self._place(merged, exc.path)
        if file is None:
            files = [self._open().describe(each.env, name) for each in merged for name in each.files]
            file = files[0] if len(files) == 1 else None
        where = f"{file}, line {line}" if line else file or f"the {kind} of {self.conf_source}"
        subject = f"the value of {key!r}" if key else "a value"
        return ConfigError(f"{where}: {subject} cannot be resolved: {exc.message}.", file=file, line=line, key=key)

    def _place(self, merged: Sequence[MergedEnvironment], path: tuple[Any, ...]) -> tuple[str | None, int | None]:
        """Return the file and line of a path, from the file of highest precedence that has the longest part of the path."""
        for depth in range(len(path), 0, -1):
            for each in reversed(merged):
                for name, data in each.files.items():
                    if _has(data, path[:depth]):
                        return self._line(each.env, name, path)
        return None, None

    @staticmethod
    def _strategy(kind: str, name: str) -> Strategy:
        try:
            return Strategy(name)
        except ValueError as exc:
            msg = f"merge_strategy for {kind!r} is {name!r}; it must be one of {', '.join(each.value for each in Strategy)}."
            raise ConfigError(msg, key="merge_strategy") from exc


def _has(tree: Any, path: Sequence[Any]) -> bool:
    for step in path:
        try:
            tree = tree[step]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _copy(value: Any) -> Any:
    """Copy plain containers, and share all other values."""
    if type(value) is dict:
        return {key: _copy(each) for key, each in value.items()}
    if type(value) is list:
        return [_copy(each) for each in value]
    return value
