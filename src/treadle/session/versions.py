"""The dataset versions of a run: check that requested versions exist before the run, and keep those that it loads.

State: `RunVersions`, one per run. Neighbours: `running.py` fills it, `session.py` records it, `resume.py` writes it in the
resume command; `treadle.io` lists versions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.errors import DatasetError, UnknownNameError
from treadle.io.failures import guarded
from treadle.parameter_names import is_parameter
from treadle.pipeline.names import base_name
from treadle.session.locating import name_place
from treadle.suggestions import close_names, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from treadle.io import Catalog
    from treadle.pipeline import Pipeline

_SHOWN = 3
_LISTED = 10


class RunVersions:
    """The dataset versions of one run.

    Attributes:
        loaded: the requested versions, and the version of each versioned dataset that the run loads but does not produce.
        pipeline, catalog: the pipeline and catalog of the run; None until they are known.
    """

    __slots__ = ("catalog", "loaded", "pipeline")

    def __init__(self) -> None:
        self.loaded: dict[str, str] = {}
        self.pipeline: Pipeline | None = None
        self.catalog: Catalog | None = None

    def to_resume(self, nodes: Iterable[str]) -> dict[str, str]:
        """Return the versions that a resumed run must load: those that this run loads or has saved.

        Args:
            nodes: names of the nodes to resume from.
        """
        if self.pipeline is None or self.catalog is None:
            return {}
        made = {base_name(name) for name in self.pipeline.all_outputs()}
        resumed = self.pipeline.from_nodes(*nodes)
        versions = {name: version for name, version in self.loaded.items() if name in resumed.all_inputs()}
        for name in sorted(resumed.inputs() - versions.keys()):
            if base_name(name) in made and self.catalog.is_recipe(name):
                version = _own_version(self.catalog, name)
                if version is not None:
                    versions[name] = version
        return dict(sorted(versions.items()))


def _own_version(catalog: Catalog, name: str) -> str | None:
    """Return the version of a dataset that this run has saved; None if there is none or it cannot be determined."""
    try:
        dataset = catalog[name]
        find_version = getattr(dataset, "load_version", None)
        version: str | None = guarded("look for", name, dataset, find_version) if callable(find_version) else None
    except DatasetError:  # do not replace the run's own error, which is propagating
        return None
    return version


def check_load_versions(catalog: Catalog, pipeline: Pipeline, versions: Mapping[str, str], config_loader: Any) -> None:
    """Check that the requested versions exist and belong to datasets that the pipeline loads.

    Args:
        catalog: has the datasets.
        pipeline: the pipeline to run.
        versions: requested version by dataset name.
        config_loader: finds where the datasets are declared.

    Raises:
        UnknownNameError: no node loads a dataset; has close matches.
        DatasetError: a version does not exist; names a close match or the newest versions.
    """
    loaded_names = pipeline.all_inputs()
    for name in versions:
        if name not in loaded_names:
            raise _not_loaded_error(name, loaded_names)
    for name, version in versions.items():
        dataset = catalog[name]
        list_versions = getattr(dataset, "versions", None)
        found = guarded("look for", name, dataset, list_versions) if callable(list_versions) else None
        if found is None or version in found:
            continue
        newest = f"The newest are: {', '.join(found[:_SHOWN])}." if found else "It has none yet."
        hint = did_you_mean(close_names(version, found, most=1), newest)
        msg = f"There is no version {version!r} of dataset {name!r}.{hint}"
        error = DatasetError(msg, dataset=name)
        name_place(error, config_loader, catalog)
        raise error


def _not_loaded_error(name: str, loaded_names: Iterable[str]) -> UnknownNameError:
    datasets = sorted(each for each in loaded_names if not is_parameter(each))
    close = close_names(name, datasets, most=_SHOWN)
    loaded = f"{', '.join(datasets[:_LISTED]) or 'none'}{', …' if len(datasets) > _LISTED else ''}"
    hint = did_you_mean(close, f"They load: {loaded}.")
    msg = f"A version of dataset {name!r} was requested, but none of the nodes to run loads it.{hint}"
    return UnknownNameError(msg, name=name, close=close)
