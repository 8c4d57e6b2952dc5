"""The project context of a run: the config loader, the params and the catalog.

A context is immutable. Its catalog is created on first use and cached, so a program can add datasets to it before the run and
read them afterwards. State: the cached catalog.

Neighbours: `session.py` creates the context; `treadle.config` reads the configuration and `treadle.io` builds the catalog;
plugins receive the context in the hook `after_context_created`. A project may set a subclass as CONTEXT_CLASS in its settings.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from treadle.errors import DatasetError
from treadle.io.validation import SWITCH
from treadle.parameter_names import is_parameter
from treadle.secrets import register_secrets
from treadle.session.hooking import call_hook
from treadle.session.locating import configured, name_place
from treadle.session.masking import secret_params

if TYPE_CHECKING:
    from pathlib import Path

    from pluggy import PluginManager

    from treadle.io import Catalog


@dataclass(frozen=True)  # no slots: `cached_property` stores the catalog in `__dict__`
class Context:
    """The project as configured for one session.

    Attributes:
        project_path: absolute path of the project.
        package_name: the project's package.
        env: the requested configuration environment; None for the default.
        session_id: id of the session, also the save version of its datasets.
        config_loader: reads `catalog`, `parameters`, `credentials` and any kind that the project adds.
        extra_params: params given to the session, which override those of the configuration.
        hook_manager: calls the hooks of the project and of plugins.
        catalog_class: class of the catalog; None for Treadle's own.
        validates: whether the validators of datasets are used, unless an environment variable says otherwise.
    """

    project_path: Path
    package_name: str
    env: str | None
    session_id: str
    config_loader: Any
    extra_params: Mapping[str, Any]
    hook_manager: PluginManager = field(repr=False)
    catalog_class: type[Any] | None = None
    validates: bool = True

    def __getstate__(self) -> dict[str, Any]:
        # A plugin may hold its context. In a worker, the context reads the configuration on demand and creates its own catalog
        # without calling hooks: they were called when the session's catalog was created in the main process.
        return {name: value for name, value in vars(self).items() if name not in ("catalog", "hook_manager")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        from treadle.hooks import create_hook_manager

        vars(self).update(state, hook_manager=create_hook_manager())

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of the configuration, overridden by those of the session; a new copy each time.

        Raises:
            ConfigError: a configuration file is invalid.
        """
        from treadle.config.params import merge_params

        params = merge_params(configured(self.config_loader, "parameters"), self.extra_params)
        register_secrets(secret_params(params))
        return params

    @cached_property
    def catalog(self) -> Catalog:
        """The catalog, created on first use and cached.

        Raises:
            ConfigError: a configuration file is invalid.
            DatasetError: a catalog entry is invalid.
        """
        return self._create_catalog({})

    def catalog_with(self, load_versions: Mapping[str, str]) -> Catalog:
        """Return the catalog for a run that loads specific versions.

        Args:
            load_versions: version by dataset name; datasets not listed load their newest version.

        Returns:
            `catalog` if no versions are given; otherwise a new catalog with them and every dataset that was added to `catalog`.

        Raises:
            ConfigError: a configuration file is invalid.
            DatasetError: a catalog entry is invalid, or a version is given for an unknown dataset.
        """
        if not load_versions:
            return self.catalog
        catalog = self._create_catalog(load_versions)
        earlier: Catalog | None = self.__dict__.get("catalog")
        for name in earlier if earlier is not None else ():
            if earlier is not None and not earlier.is_recipe(name) and not is_parameter(name):
                catalog[name] = earlier[name]
        return catalog

    def _create_catalog(self, load_versions: Mapping[str, str]) -> Catalog:
        if self.catalog_class is None:
            from treadle.io import Catalog

            catalog_class: type[Any] = Catalog
        else:
            catalog_class = self.catalog_class
        conf_catalog = configured(self.config_loader, "catalog")
        conf_creds = configured(self.config_loader, "credentials")
        register_secrets(conf_creds)
        params = self.params
        try:
            catalog: Catalog = catalog_class.from_config(
                self._entries(conf_catalog),
                conf_creds,
                project_path=self.project_path,
                load_versions=dict(load_versions),
                save_version=self.session_id,
            )
        except DatasetError as exc:
            name_place(exc, self.config_loader)
            raise
        catalog.add_parameters(params)
        call_hook(
            self.hook_manager,
            "after_catalog_created",
            catalog=catalog,
            conf_catalog=conf_catalog,
            conf_creds=conf_creds,
            parameters=params,
            save_version=self.session_id,
            load_versions=dict(load_versions),
        )
        return catalog

    def _entries(self, conf_catalog: Any) -> Any:
        """Return the catalog entries, without their validators if these are switched off."""
        if self.validates and SWITCH not in os.environ:
            return conf_catalog
        from treadle.io.validation.declaration import validation_enabled, without_validators

        return conf_catalog if validation_enabled(setting=self.validates) else without_validators(conf_catalog)
