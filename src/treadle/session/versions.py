"""The versions of a run: those it was told to load are looked for before anything runs, and those it loads are remembered.

State: `RunVersions`, that of one run. Neighbours: `running.py` calls and fills it, `session.py` records it and puts it into the
command that resumes; `treadle.io` lists versions.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from treadle.errors import DatasetError, UnknownNameError
from treadle.io.failures import guarded
from treadle.pipeline.names import base_name, is_parameter
from treadle.session.locating import name_place

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from treadle.io import Catalog
    from treadle.pipeline import Pipeline

_SHOWN = 3
_LISTED = 10


@dataclass(slots=True)
class RunVersions:
    """What is known of a run's versions.

    Attributes:
        loaded: the version of each versioned dataset that the run takes and does not make.
        to_resume: the versions that the run must load which goes on from a failure of this one: those, and what it has saved.
    """

    loaded: dict[str, str] = field(default_factory=dict)
    to_resume: dict[str, str] = field(default_factory=dict)

    def note_failure(self, nodes: Iterable[str], pipeline: Pipeline, catalog: Catalog) -> None:
        """Find the versions to resume with.

        Args:
            nodes: names of the nodes to resume from.
            pipeline: what ran.
            catalog: what it ran on.
        """
        made = {base_name(name) for name in pipeline.all_outputs()}
        self.to_resume = {}
        for name in sorted(pipeline.from_nodes(*nodes).inputs()):
            if name in self.loaded:
                self.to_resume[name] = self.loaded[name]
            elif base_name(name) in made and catalog.is_recipe(name):
                version = _own_version(catalog, name)
                if version is not None:
                    self.to_resume[name] = version


def _own_version(catalog: Catalog, name: str) -> str | None:
    """Return the version that this run has saved of a dataset; None where it has none, or cannot be asked."""
    try:
        dataset = catalog[name]
        ask = getattr(dataset, "load_version", None)
        version: str | None = guarded("look for", name, dataset, ask) if callable(ask) else None
    except DatasetError:  # the run's own error is on its way, and is the one to tell
        return None
    return version


def check_load_versions(catalog: Catalog, pipeline: Pipeline, versions: Mapping[str, str], config_loader: Any) -> None:
    """See that versions are there, and of datasets that the pipeline takes.

    Args:
        catalog: has the datasets.
        pipeline: what will run.
        versions: version by dataset name, as it was asked for.
        config_loader: knows where the datasets are declared.

    Raises:
        UnknownNameError: no node takes a dataset; has close matches.
        DatasetError: a version is not there; names the newest, and close matches.
    """
    taken = pipeline.all_inputs()
    for name in versions:
        if name not in taken:
            raise _not_taken(name, taken)
    for name, version in versions.items():
        dataset = catalog[name]
        ask = getattr(dataset, "versions", None)
        found = guarded("look for", name, dataset, ask) if callable(ask) else None
        if found is None or version in found:
            continue
        close = difflib.get_close_matches(version, found, n=1)
        newest = f"The newest are: {', '.join(found[:_SHOWN])}." if found else "It has none yet."
        hint = f"Did you mean {close[0]!r}?" if close else newest
        msg = f"There is no version {version!r} of dataset {name!r}. {hint}"
        error = DatasetError(msg, dataset=name)
        name_place(error, config_loader, catalog)
        raise error


def _not_taken(name: str, taken: Iterable[str]) -> UnknownNameError:
    datasets = sorted(each for each in taken if not is_parameter(each))
    close = tuple(difflib.get_close_matches(name, datasets, n=_SHOWN))
    if close:
        hint = f"Did you mean {' or '.join(map(repr, close))}?"
    elif datasets:
        hint = f"They load: {', '.join(datasets[:_LISTED])}{', …' if len(datasets) > _LISTED else ''}."
    else:
        hint = "They load none."
    msg = f"A version of dataset {name!r} was asked for, and no node of those that would run loads it. {hint}"
    return UnknownNameError(msg, name=name, close=close)
