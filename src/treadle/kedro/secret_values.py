"""Register the secrets of a Kedro run, so that Treadle masks them in every text; load its parameters. State: none of its own.

Kedro copies credentials into the resolved configuration of datasets, under the key `credentials`. Secret
parameters are recognised by their names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from treadle.secrets import register_secrets
from treadle.session.masking import secret_params

if TYPE_CHECKING:
    from treadle.kedro.dataset_pickling import ConfigRecipe


def register_run_secrets(catalog: Any, recipes: Iterable[ConfigRecipe]) -> None:
    """Register the secrets that a run may use.

    Args:
        catalog: Kedro's catalog.
        recipes: the configuration of the run's datasets.
    """
    register_secrets(_credentials([dict(recipe.config) for recipe in recipes]))
    resolver = getattr(catalog, "config_resolver", None)
    register_secrets(_credentials(getattr(resolver, "config", None)))
    register_secrets(secret_params(loaded_parameters(catalog)))


def loaded_parameters(catalog: Any) -> Mapping[str, Any]:
    """Return the parameters of a run, nested; empty if there are none, or they cannot be loaded.

    Args:
        catalog: Kedro's catalog.
    """
    if "parameters" in catalog:
        with suppress(Exception):  # the node that needs the parameters reports the error
            loaded = catalog.get("parameters").load()
            return loaded if isinstance(loaded, Mapping) else {}
    return {}


def _credentials(config: Any) -> Iterator[Any]:
    """Yield everything under the key `credentials`, at any depth."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            if key == "credentials":
                yield value
            else:
                yield from _credentials(value)
    elif isinstance(config, list):
        for value in config:
            yield from _credentials(value)
