"""The registered pipelines of a project, by name, each created on first use.

Job: call the project's `register_pipelines()` on first use, and look pipelines up by name, with close matches in errors. State:
the result of the registry, and pipelines added by a program. Neighbours: `configure.py` owns the `ProjectPipelines` of the
configured project; `found_pipelines.py` has the usual result of a registry, and is used if the project has no registry.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from treadle.collector import collection_paused
from treadle.errors import ProjectError, TreadleError, UnknownNameError
from treadle.project.code import import_project_module, place_of
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from treadle.pipeline import Pipeline

DEFAULT_PIPELINE = "__default__"
"""The pipeline that runs if none is named."""


class ProjectPipelines(Mapping[str, "Pipeline"]):
    """The registered pipelines of a package, and those added by a notebook or a program.

    Args:
        package_name: the project's package.
    """

    def __init__(self, package_name: str) -> None:
        self._package_name = package_name
        self._registered: Mapping[str, Any] | None = None
        self._added: dict[str, Pipeline] = {}

    def __setitem__(self, name: str, pipeline: Pipeline) -> None:
        """Add or replace a pipeline in this process, until the project is configured again.

        Args:
            name: name of the pipeline.
            pipeline: the pipeline.
        """
        self._added[name] = pipeline

    def __getitem__(self, name: str) -> Pipeline:
        """Return a pipeline, created on first use.

        Args:
            name: the registered name.

        Returns:
            The pipeline.

        Raises:
            UnknownNameError: no pipeline has this name.
            ProjectError: the registry or the pipeline's module is invalid.
        """
        if name in self._added:
            return self._added[name]
        registered = self._registry()
        if name not in registered:
            raise self._unknown(name, registered)
        with collection_paused(imports=True):  # a pipeline that was found is imported here
            value = registered[name]
        from treadle.pipeline import Pipeline

        if not isinstance(value, Pipeline):
            msg = (
                f"register_pipelines() of {self._package_name}.pipeline_registry returns a {type(value).__name__} as the "
                f"pipeline {name!r}. It must be a Pipeline: the result of create_pipeline(), not the function itself."
            )
            raise ProjectError(msg, file=f"{self._package_name}.pipeline_registry", key=name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self._registry(), *self._added)))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self._added or name in self._registry()

    def get(self, name: str, default: Any = None) -> Any:
        """Return a pipeline, or a default if no pipeline has the name.

        Args:
            name: the registered name.
            default: the result for an unknown name.

        Returns:
            The pipeline or the default.
        """
        return self[name] if name in self else default  # noqa: SIM401 - this implements `get`

    def __repr__(self) -> str:
        return f"ProjectPipelines({self._package_name!r})"

    def _registry(self) -> Mapping[str, Any]:
        if self._registered is None:
            with collection_paused(imports=True):  # it traverses all modules again and again, a tenth of pandas' time
                self._registered = self._register()
        return self._registered

    def _register(self) -> Mapping[str, Any]:
        name = f"{self._package_name}.pipeline_registry"
        module = import_project_module(name)
        if module is None:
            from treadle.project.found_pipelines import discover_pipelines

            return discover_pipelines(self._package_name)
        file = getattr(module, "__file__", None) or name
        register = getattr(module, "register_pipelines", None)
        if not callable(register):
            msg = f"{file} has no function register_pipelines(). Define it; it returns a dictionary of name to Pipeline."
            raise ProjectError(msg, file=file, key="register_pipelines")
        try:
            registered = register()
        except TreadleError:  # it says itself what is wrong
            raise
        except Exception as exc:
            place = place_of(exc, name)
            where = f" ({place})" if place else ""
            msg = f"register_pipelines() in {file} failed: {type(exc).__name__}: {exc}{where}. Correct the code there."
            raise ProjectError(msg, file=file, key="register_pipelines") from exc
        if not isinstance(registered, Mapping):
            kind = type(registered).__name__
            msg = f"register_pipelines() in {file} returned a {kind}; it must return a dictionary of name to Pipeline."
            raise ProjectError(msg, file=file, key="register_pipelines")
        return registered

    def _unknown(self, name: str, registered: Mapping[str, Any]) -> UnknownNameError:
        names = ", ".join(registered) or "none"
        is_default = name == DEFAULT_PIPELINE
        advice = "Have register_pipelines() return one under this name, or name another. " if is_default else ""
        close = () if is_default else close_names(name, registered)
        hint = did_you_mean(close, f"{advice}Registered: {names}.")
        msg = f"The project {self._package_name} has no pipeline {name!r}.{hint}"
        return UnknownNameError(msg, name=name, close=close)
