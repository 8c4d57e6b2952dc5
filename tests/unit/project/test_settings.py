"""A project's settings.py: defaults, forms, and errors with file and key."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING

import pytest

from treadle.errors import ProjectError
from treadle.project import Settings, bootstrap_project, configured_project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    MakeProject = Callable[..., Path]


def settings_of(make_project: MakeProject, text: str) -> Settings:
    """Read the settings of a project with this settings.py."""
    bootstrap_project(make_project({"settings.py": text}))
    return configured_project().settings


def test_project_without_settings_has_defaults(make_project: MakeProject) -> None:
    """Without settings.py everything is Treadle's own."""
    bootstrap_project(make_project())
    assert configured_project().settings == Settings()
    assert Settings().HOOKS == ()
    assert Settings().SESSION_STORE_CLASS is None


def test_settings_are_read(make_project: MakeProject) -> None:
    """Every setting comes through in the record's form: tuples, dictionaries, texts, classes."""
    settings = settings_of(
        make_project,
        "from pathlib import Path\n"
        "class Hooks: ...\n"
        "class Store: save = load = list = close = None\n"
        "HOOKS = [Hooks()]\n"
        "CONF_SOURCE = Path('settings')\n"
        "SESSION_STORE_CLASS = Store\n"
        "SESSION_STORE_ARGS = {'url': 'sqlite://'}\n"
        "CONFIG_LOADER_ARGS = {'base_env': 'base'}\n"
        "DISABLE_HOOKS_FOR_PLUGINS = ['some-plugin']\n"
        "OWN_CONSTANT = 5\n",
    )
    assert type(settings.HOOKS[0]).__name__ == "Hooks"
    assert isinstance(settings.HOOKS, tuple)
    assert settings.CONF_SOURCE == "settings"
    assert settings.SESSION_STORE_CLASS is not None
    assert settings.SESSION_STORE_CLASS.__name__ == "Store"
    assert settings.SESSION_STORE_ARGS == {"url": "sqlite://"}
    assert settings.CONFIG_LOADER_ARGS == {"base_env": "base"}
    assert settings.DISABLE_HOOKS_FOR_PLUGINS == ("some-plugin",)
    assert settings.file is not None
    assert settings.file.endswith("settings.py")


@pytest.mark.parametrize(
    ("text", "key", "match"),
    [
        ("CONF_SOURCE = 5", "CONF_SOURCE", "as a string or a Path"),
        ("DATASET_VALIDATION = 'off'", "DATASET_VALIDATION", "True or False"),
        ("RUNNER = 5", "RUNNER", 'such as "auto"'),
        ("VALUE_CACHE_SIZE = 'big'", "VALUE_CACHE_SIZE", 'such as "10GB"'),
        ("RECORD_LOGS = 'no'", "RECORD_LOGS", "True or False"),
        ("class H: ...\nHOOKS = (H,)", "HOOKS", r"H\(\) with parentheses"),
        ("HOOKS = (object())", "HOOKS", "with a comma"),
        ("CONTEXT_CLASS = 'pkg.Context'", "CONTEXT_CLASS", "a class"),
        ("SESSION_STORE_ARGS = ['url']", "SESSION_STORE_ARGS", "a dictionary"),
        ("CONFIG_LOADER_ARGS = {1: 2}", "CONFIG_LOADER_ARGS", r"the key 1 \(int\); its keys must be strings"),
        ("DISABLE_HOOKS_FOR_PLUGINS = 'plugin'", "DISABLE_HOOKS_FOR_PLUGINS", "with a comma"),
        ("DISABLE_HOOKS_FOR_PLUGINS = (1,)", "DISABLE_HOOKS_FOR_PLUGINS", "names \\(strings\\)"),
    ],
)
def test_wrong_settings_are_named(make_project: MakeProject, text: str, key: str, match: str) -> None:
    """A setting of the wrong kind is an error with the file and the name."""
    with pytest.raises(ProjectError, match=match) as caught:
        settings_of(make_project, text)
    assert caught.value.key == key
    assert caught.value.file is not None
    assert caught.value.file.endswith("settings.py")


@pytest.mark.parametrize("password", ["hunter2secret", "hunter2" * 20])
def test_the_password_of_a_wrong_setting_is_not_shown(make_project: MakeProject, password: str) -> None:
    """The URL of a store where its arguments belong is shown without its password, also where it is too long to be shown."""
    with pytest.raises(ProjectError, match="must be a dictionary") as caught:
        settings_of(make_project, f"SESSION_STORE_ARGS = 'postgresql://me:{password}@host/db'\n")
    assert "postgresql://me:***@host/db" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("value", ["{1: 'x', 'password': 'hunter2'}", "[('password', 'hunter2')]"])
def test_arguments_of_the_wrong_kind_are_not_shown(make_project: MakeProject, value: str) -> None:
    """They may have passwords in any form."""
    with pytest.raises(ProjectError, match="SESSION_STORE_ARGS") as caught:
        settings_of(make_project, f"SESSION_STORE_ARGS = {value}\n")
    assert "hunter2" not in str(caught.value)


def test_settings_that_fail_are_named_with_their_line(make_project: MakeProject) -> None:
    """An exception in settings.py is the cause of an error that names the module; a syntax error's line is told."""
    with pytest.raises(ProjectError, match=r"loomtest\.settings .*ZeroDivisionError") as caught:
        settings_of(make_project, "X = 1 / 0")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert caught.value.file is not None
    assert caught.value.file.endswith("settings.py")
    with pytest.raises(ProjectError, match="line 2"):
        settings_of(make_project, "X = 1\ndef broken(:\n")


def test_near_misses_are_told(make_project: MakeProject, caplog: pytest.LogCaptureFixture) -> None:
    """A name that is almost a setting is logged, because it would be passed over in silence."""
    settings_of(make_project, "HOOK = ()\nDATA = 1\n")
    assert [record.getMessage().partition("sets ")[2] for record in caplog.records] == [
        "HOOK, which is not a setting. Did you mean 'HOOKS'?"
    ]


def test_settings_can_be_copied():
    """The defaults, too: an application may copy what holds them."""
    assert copy.deepcopy(Settings()) == pickle.loads(pickle.dumps(Settings())) == Settings()
