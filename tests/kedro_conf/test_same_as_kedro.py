"""Configuration folders, each read by Kedro's own loader and catalog and by ours, and compared.

`folders/<name>/conf` is the configuration, `folders/<name>/case.json` says how it is read (environment, params, arguments of the
loader, datasets to ask for). What is not the same must stand in `DIFFERENCES`, with the reason; docs/kedro.md lists these.
"""

from __future__ import annotations

import json
import math
import os
import tarfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("kedro", reason="the loader to compare with")
pytest.importorskip("kedro_datasets", reason="the datasets to compare with")

from kedro.config import MissingConfigException, OmegaConfigLoader
from kedro.io import DataCatalog

from treadle import Catalog
from treadle.config import ConfigLoader
from treadle.errors import TreadleError

FOLDERS = Path(__file__).parent / "folders"
KINDS = ("catalog", "parameters", "credentials", "globals")
PROJECT = "/project"
SAVE_VERSION = "2026-01-31T12.00.00.000Z"
ERROR = "an error"
UNKNOWN = "unknown"
RESOLVERS = {"add": lambda one, other: one + other, "upper": str.upper, "pair": lambda *each: list(each)}
_SHOWN = ("filepath", "load_args", "save_args", "version", "credentials")


@dataclass(frozen=True)
class Case:
    """A folder of configuration, and how it is read: the keys of its `case.json`."""

    name: str
    env: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    loader: dict[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    load_versions: dict[str, str] = field(default_factory=dict)

    @property
    def conf(self) -> Path:
        """The folder."""
        return FOLDERS / self.name / "conf"

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of configuration to read: the usual ones and the case's own."""
        return (*KINDS, *self.loader.get("config_patterns", ()))


def find_cases() -> list[Case]:
    """Read all cases."""
    cases = []
    for folder in sorted(FOLDERS.iterdir()):
        settings = folder / "case.json"
        given = json.loads(settings.read_text()) if settings.is_file() else {}
        cases.append(Case(folder.name, **{**given, "names": tuple(given.get("names", ()))}))
    return cases


def read_with_kedro(case: Case, conf: Path) -> dict[str, Any]:
    """Read a folder or an archive as a Kedro project does."""
    arguments = {"base_env": "base", "default_run_env": "local", "custom_resolvers": RESOLVERS, **case.loader}
    try:
        loader = OmegaConfigLoader(str(conf), env=case.env, runtime_params=dict(case.params), **arguments)
    except Exception:  # noqa: BLE001 - Kedro and OmegaConf raise what they like
        return dict.fromkeys((*case.kinds, *case.names), ERROR)

    def load(kind: str) -> Any:
        try:
            return loader[kind]
        except MissingConfigException:
            environment = case.conf / (case.env or arguments["default_run_env"])
            return {} if environment.is_dir() else ERROR
        except Exception:  # noqa: BLE001 - likewise
            return ERROR

    reading = {kind: load(kind) for kind in case.kinds}
    if not case.names:
        return reading
    try:
        catalog = DataCatalog.from_config(reading["catalog"], reading["credentials"], dict(case.load_versions), SAVE_VERSION)
    except Exception:  # noqa: BLE001 - likewise
        return {**reading, **dict.fromkeys(case.names, ERROR)}
    return {**reading, **{name: _kedro_dataset(catalog, name) for name in case.names}}


def read_with_treadle(case: Case, conf: Path) -> dict[str, Any]:
    """Read a folder or an archive as a project of Treadle's does."""
    loader = ConfigLoader(conf, env=case.env, runtime_params=case.params, custom_resolvers=RESOLVERS, **case.loader)

    def load(kind: str) -> Any:
        try:
            return loader[kind]
        except TreadleError:
            return ERROR

    reading = {kind: load(kind) for kind in case.kinds}
    if not case.names:
        return reading
    if ERROR in (reading["catalog"], reading["credentials"]):
        return {**reading, **dict.fromkeys(case.names, ERROR)}
    try:
        catalog = Catalog.from_config(
            reading["catalog"],
            reading["credentials"],
            project_path=PROJECT,
            load_versions=case.load_versions,
            save_version=SAVE_VERSION,
        )
    except TreadleError:
        return {**reading, **dict.fromkeys(case.names, ERROR)}
    return {**reading, **{name: _treadle_dataset(catalog, name) for name in case.names}}


def _kedro_dataset(catalog: Any, name: str) -> Any:
    try:
        dataset = catalog.get(name)
    except Exception:  # noqa: BLE001 - likewise
        return ERROR
    return UNKNOWN if dataset is None else _shown(type(dataset).__name__, getattr(dataset, "_init_args", {}))


def _treadle_dataset(catalog: Any, name: str) -> Any:
    if name not in catalog:
        return UNKNOWN
    try:
        dataset = catalog[name]
    except TreadleError:
        return ERROR
    recipe = catalog.recipe(name)
    given = {**recipe.config, "filepath": getattr(dataset, "filepath", None), "version": getattr(dataset, "_version", None)}
    wanted = recipe.config.get("credentials")
    return _shown(type(dataset).__name__, {**given, "credentials": recipe.credentials.get(wanted)})


def _shown(kind: str, given: Any) -> dict[str, Any]:
    """Say what a dataset is and what it was made with, paths made absolute as a session of either makes them."""
    facts = {"class": kind, **{key: given[key] for key in _SHOWN if given.get(key) is not None}}
    if "filepath" in facts and "://" not in facts["filepath"]:
        facts["filepath"] = os.path.join(PROJECT, facts["filepath"])  # noqa: PTH118 - a text, compared with a text
    if "version" in facts:
        facts["version"] = tuple(facts["version"])
    return facts


OVER_ENVIRONMENTS = (
    "interpolations are resolved after environments are merged, so that an environment can override a value that the base "
    "refers to"
)
GLOBALS = "globals may use runtime_params, and keys that begin with an underscore"
TEMPLATES = "keys of parameters that begin with an underscore are templates, as in the catalog"
DIFFERENCES: dict[tuple[str, str], tuple[str, Any]] = {
    ("credentials_by_placeholder", "mine_s"): (
        "a placeholder of a pattern may choose the credentials",
        {"class": "TextDataset", "filepath": "/project/data/mine.txt", "credentials": {"token": 1}},
    ),
    ("factories_by_case", "orders_csv"): ("patterns tell upper from lower case; Kedro's parser does not", UNKNOWN),
    ("globals", "globals"): (
        GLOBALS,
        {"folder": "/mnt/data", "sizes": [10, {"w": 20}], "years": {"2020": "x"}, "nested": {"a": {"b": 1}}, "_hidden": 1},
    ),
    ("globals_underscore", "globals"): (GLOBALS, {"_hidden": 1}),
    ("globals_underscore", "parameters"): (GLOBALS, {"a": 1}),
    ("interpolation_from_environment", "parameters"): (OVER_ENVIRONMENTS, {"a": 1, "b": 1}),
    ("interpolation_over_environments", "catalog"): (
        OVER_ENVIRONMENTS,
        {"t": {"type": "text.TextDataset", "filepath": "/mnt/t.txt"}},
    ),
    ("interpolation_over_environments", "t"): (OVER_ENVIRONMENTS, {"class": "TextDataset", "filepath": "/mnt/t.txt"}),
    ("integer_as_name", "catalog"): (
        "a name that is not a string is an error, which says how to write it",
        {2020: {"type": "MemoryDataset"}},
    ),
    ("runtime_params_in_globals", "catalog"): (GLOBALS, {}),
    ("runtime_params_in_globals", "credentials"): (GLOBALS, {}),
    ("runtime_params_in_globals", "globals"): (GLOBALS, {"a": 1}),
    ("runtime_params_in_globals", "parameters"): (GLOBALS, {"b": 1}),
    ("runtime_params_over_environment", "parameters"): (
        "params of a run override the files at every depth, even if an environment has its own file",
        {"model": {"a": 5, "b": 2}, "other": 1},
    ),
    ("templates_in_parameters", "parameters"): (TEMPLATES, {"m": {"a": 1}}),
    ("yaml_base_60", "parameters"): ("numbers of base 60 are strings: 12:30 is a time", {"time": "12:30", "long": "1:30:00"}),
    ("yaml_null_key", "parameters"): ("null may be a key, like any other YAML value", {"a": {None: "x"}}),
}
CASES = find_cases()


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    """The variable that credentials name."""
    monkeypatch.setenv("KEDRO_CONF_USER", "ada")


@pytest.mark.filterwarnings("ignore")  # Kedro's own
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_same_as_kedro(case):
    """Every kind of configuration and every dataset is what Kedro makes of it, or a listed difference."""
    kedro, ours = read_with_kedro(case, case.conf), read_with_treadle(case, case.conf)
    assert kedro.keys() == ours.keys()
    differing = {what for what in ours if not same(kedro[what], ours[what])}
    assert differing == {what for name, what in DIFFERENCES if name == case.name}, {
        what: (kedro[what], ours[what]) for what in differing
    }
    for what in differing:
        assert same(ours[what], DIFFERENCES[case.name, what][1])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("ending", ["zip", "tar.gz"])
@pytest.mark.parametrize("case", [case for case in CASES if "base_env" not in case.loader], ids=lambda case: case.name)
def test_the_same_from_an_archive(case, ending, tmp_path):
    """An archive with one folder around everything, as Kedro wants it, is read like the folder, and like Kedro reads it."""
    archive = pack(case.conf, tmp_path / f"conf.{ending}")
    ours = read_with_treadle(case, archive)
    assert same(ours, read_with_treadle(case, case.conf))
    kedro = read_with_kedro(case, archive)
    differing = {what for what in ours if not same(kedro[what], ours[what])}
    assert differing == {what for name, what in DIFFERENCES if name == case.name}, {
        what: (kedro[what], ours[what]) for what in differing
    }


def test_every_difference_is_documented():
    """The page about Kedro has each reason word by word."""
    page = (FOLDERS.parents[2] / "docs" / "kedro.md").read_text(encoding="utf-8")
    for reason in {reason for reason, _ in DIFFERENCES.values()}:
        assert " ".join(reason.split()) in " ".join(page.split()), reason


def pack(folder, archive):
    """Pack a folder of configuration, named `conf` inside, in the order in which Kedro finds it."""
    files = sorted(folder.rglob("*"))
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as packed:
            for file in [folder, *files]:
                packed.write(file, f"conf/{file.relative_to(folder).as_posix()}".removesuffix("/."))
    else:
        with tarfile.open(archive, "w:gz") as packed_tar:
            for file in [folder, *files]:
                packed_tar.add(file, f"conf/{file.relative_to(folder).as_posix()}".removesuffix("/."), recursive=False)
    return archive


def same(one, other):
    """Compare values with their types, NaN with itself, and mappings without their order."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        known = {(type(key), key): value for key, value in other.items()}
        return len(one) == len(other) and all((type(k), k) in known and same(v, known[type(k), k]) for k, v in one.items())
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other or (isinstance(one, float) and math.isnan(one) and math.isnan(other))
