"""Discover the pipelines of `<package>.pipelines.*` without importing them, and import each on first use.

Job: list the modules that define a `create_pipeline`, and import a pipeline's module when the pipeline is accessed. State: the
pipelines created so far. Neighbours: a project's `pipeline_registry.py` returns these pipelines.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.errors import ProjectError, TreadleError, UnknownNameError
from treadle.project.code import find_module, place_of
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from treadle.pipeline import Pipeline

_DEFAULT = "__default__"
_FACTORY = "create_pipeline"


class FoundPipelines(MutableMapping[str, "Pipeline"]):
    """Pipelines by name, each created on first use; further pipelines may be added.

    `__default__` is the sum of all other pipelines, unless it is set.

    Args:
        package_name: the project's package.
        names: names of the modules under `<package>.pipelines` that define a `create_pipeline`.
    """

    def __init__(self, package_name: str, names: Iterable[str]) -> None:
        self._package_name = package_name
        self._found = tuple(names)
        self._made: dict[str, Pipeline] = {}
        self._removed: set[str] = set()

    def __getitem__(self, name: str) -> Pipeline:
        if name in self._made:
            return self._made[name]
        if name not in self:
            raise KeyError(name)
        made = self._sum() if name == _DEFAULT else _create(f"{self._package_name}.pipelines.{name}")
        return self._made.setdefault(name, made)

    def __setitem__(self, name: str, pipeline: Pipeline) -> None:
        self._removed.discard(name)
        self._made[name] = pipeline

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self._made.pop(name, None)
        self._removed.add(name)

    def __iter__(self) -> Iterator[str]:
        names = dict.fromkeys((_DEFAULT, *self._found, *self._made))
        return iter([name for name in names if name not in self._removed])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name not in self._removed and (name == _DEFAULT or name in self._found or name in self._made)

    def __repr__(self) -> str:
        return f"FoundPipelines({list(self)!r})"

    def _sum(self) -> Pipeline:
        from treadle.pipeline import Pipeline

        return sum((self[name] for name in self if name != _DEFAULT), Pipeline([]))


def discover_pipelines(package_name: str, wanted: Collection[str] | None = None) -> FoundPipelines:
    """Discover the pipelines of a package; each is imported on first use.

    Args:
        package_name: the package to search.
        wanted: names of the pipelines to discover; None for all.

    Returns:
        Pipelines by name of their module, and their sum as `__default__`.

    Raises:
        UnknownNameError: the package has no pipeline of one of the names.
    """
    spec = find_module(f"{package_name}.pipelines")
    locations = list(spec.submodule_search_locations or ()) if spec is not None else []
    names = [
        module.name
        for module in pkgutil.iter_modules(locations)
        if not module.name.startswith("_") and _may_create(locations, module.name, is_package=module.ispkg)
    ]
    for name in wanted or ():
        if name not in names:
            hint = did_you_mean(close_names(name, names), f"It has: {', '.join(sorted(names)) or 'none'}.")
            msg = f"find_pipelines() cannot find the pipeline {name!r} in {package_name}.pipelines.{hint}"
            raise UnknownNameError(msg, name=name, close=close_names(name, names))
    return FoundPipelines(package_name, sorted(names if wanted is None else set(wanted)))


def _may_create(locations: Iterable[str], name: str, *, is_package: bool) -> bool:
    """Return whether a module's source mentions create_pipeline; True for a module without source files."""
    sources = ("__init__.py", "pipeline.py") if is_package else (f"{name}.py",)
    files = [Path(location, *([name] if is_package else []), source) for location in locations for source in sources]
    present = [file for file in files if file.is_file()]
    return not present or any(_FACTORY.encode() in file.read_bytes() for file in present)


def _create(module_name: str) -> Pipeline:
    factory = _factory(module_name)
    try:
        made: Any = factory()
    except TreadleError:  # it says itself what is wrong
        raise
    except Exception as exc:
        why = f"{type(exc).__name__}: {exc}{_where(exc, module_name)}"
        msg = f"create_pipeline() of {module_name} failed: {why}. Correct the code there."
        raise ProjectError(msg, file=module_name, key=_FACTORY) from exc
    from treadle.pipeline import Pipeline

    if not isinstance(made, Pipeline):
        msg = (
            f"create_pipeline() of {module_name} returned a {type(made).__name__}, not a Pipeline. Is a return statement missing?"
        )
        raise ProjectError(msg, file=module_name, key=_FACTORY)
    return made


def _factory(module_name: str) -> Callable[[], Any]:
    """Return create_pipeline of a module, or of its submodule `pipeline`."""
    factory: Any
    try:
        module = importlib.import_module(module_name)
        factory = getattr(module, _FACTORY, None)
        if factory is None and hasattr(module, "__path__") and find_module(f"{module_name}.pipeline") is not None:
            factory = getattr(importlib.import_module(f"{module_name}.pipeline"), _FACTORY, None)
    except TreadleError:  # it says itself what is wrong
        raise
    except Exception as exc:
        msg = (
            f"The pipeline module {module_name} cannot be imported: {type(exc).__name__}: {exc}{_where(exc, module_name)}. "
            "Correct the module, or install what it imports."
        )
        raise ProjectError(msg, file=module_name) from exc
    if not callable(factory):
        msg = f"The pipeline module {module_name} has no function create_pipeline(). Define it, or import it in its __init__.py."
        raise ProjectError(msg, file=module_name, key=_FACTORY)
    found: Callable[[], Any] = factory
    return found


def _where(exc: Exception, module_name: str) -> str:
    place = place_of(exc, module_name)
    return f" ({place})" if place else ""
