"""What a run sees of its project: the config loader, the params, the catalog.

A context cannot be changed. Its catalog is made at its first use and then stays the same one, so that a program can put
datasets into it before the run and take them out after. State: that catalog, once made.

Neighbours: `session.py` makes the context; `treadle.config` reads, `treadle.io` builds, and plugins take the context from the
hook `after_context_created`. A project may name a subclass as CONTEXT_CLASS in its settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from treadle.errors import DatasetError, MissingConfigError
from treadle.secrets import register_secrets
from treadle.session.hooking import call_hook
from treadle.session.locating import is_optional, name_place
from treadle.session.masking import secret_params

if TYPE_CHECKING:
    from pathlib import Path

    from pluggy import PluginManager

    from treadle.io import Catalog


@dataclass(frozen=True)  # no slots: the catalog is kept beside the fields once it is made
class Context:
    """The project as one session sees it.

    Attributes:
        project_path: absolute path of the project.
        package_name: the project's package.
        env: the configuration environment that was asked for, None for the default one.
        session_id: the session, and the version under which its datasets are saved.
        config_loader: reads `catalog`, `parameters`, `credentials` and whatever the project adds.
        extra_params: params given to the session, over those of the configuration.
        hook_manager: calls the hooks of the project and of plugins.
        catalog_class: the class of the catalog; None for Treadle's own.
    """

    project_path: Path
    package_name: str
    env: str | None
    session_id: str
    config_loader: Any
    extra_params: Mapping[str, Any]
    hook_manager: PluginManager = field(repr=False)
    catalog_class: type[Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        # A plugin may hold its context. In a worker the context reads configuration when it is asked, and makes a catalog of its
        # own without calling hooks: there the session's catalog has been created already.
        return {name: value for name, value in vars(self).items() if name not in ("catalog", "hook_manager")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        from treadle.hooks import create_hook_manager

        vars(self).update(state, hook_manager=create_hook_manager())

    @property
    def params(self) -> dict[str, Any]:
        """The parameters: those of the configuration with the session's own over them; a new copy each time.

        Raises:
            ConfigError: a file is wrong.
        """
        from treadle.config.params import merge_params

        params = merge_params(self._configured("parameters"), self.extra_params)
        register_secrets(secret_params(params))
        return params

    @cached_property
    def catalog(self) -> Catalog:
        """The catalog, made at its first use; always the same one.

        Raises:
            ConfigError: a file is wrong.
            DatasetError: an entry is wrong.
        """
        return self._create_catalog({})

    def catalog_with(self, load_versions: Mapping[str, str]) -> Catalog:
        """Return the catalog for a run that loads certain versions.

        Args:
            load_versions: dataset name to version; empty for the newest of each.

        Returns:
            `catalog`, or where versions were given a new one that has them, and every dataset that was put into `catalog`.

        Raises:
            ConfigError: a file is wrong.
            DatasetError: an entry is wrong, or a version is given for a dataset that is not there.
        """
        if not load_versions:
            return self.catalog
        catalog = self._create_catalog(load_versions)
        earlier: Catalog | None = self.__dict__.get("catalog")
        for name in earlier if earlier is not None else ():
            if earlier is not None and not earlier.is_recipe(name) and not _is_parameter(name):
                catalog[name] = earlier[name]
        return catalog

    def _create_catalog(self, load_versions: Mapping[str, str]) -> Catalog:
        if self.catalog_class is None:
            from treadle.io import Catalog

            catalog_class: type[Any] = Catalog
        else:
            catalog_class = self.catalog_class
        conf_catalog = self._configured("catalog")
        conf_creds = self._configured("credentials")
        register_secrets(conf_creds)
        params = self.params
        try:
            catalog: Catalog = catalog_class.from_config(
                conf_catalog,
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

    def _configured(self, kind: str) -> Any:
        try:
            return self.config_loader[kind]
        except MissingConfigError as exc:
            if is_optional(exc, kind):
                return {}
            raise


def _is_parameter(name: str) -> bool:
    from treadle.pipeline.names import is_parameter

    return is_parameter(name)
