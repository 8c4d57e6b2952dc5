"""The configuration loader on real files: kinds, environments, interpolation, errors."""

from __future__ import annotations

import datetime as dt
import pickle
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from treadle.config import ConfigLoader
from treadle.errors import ConfigError, MissingConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def write(root: Path, files: Mapping[str, str]) -> Path:
    """Write configuration files under `conf`, with a base environment in any case."""
    conf = root / "conf"
    (conf / "base").mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        file = conf / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return conf


def test_files_are_found_by_pattern(tmp_path: Path) -> None:
    """A kind's files lie beside, in a folder of its name, or deeper; hidden and foreign files are passed over."""
    conf = write(
        tmp_path,
        {
            "base/parameters.yml": "a: 1",
            "base/parameters_model.yaml": "b: 2",
            "base/parameters/deep/er.json": '{"c": 3}',
            "base/team/parameters_x.yml": "d: 4",
            "base/.ipynb_checkpoints/parameters.yml": "a: 9",
            "base/parameters.yml.bak": "a: 9",
            "base/other.yml": "z: 9",
        },
    )
    assert ConfigLoader(conf)["parameters"] == {"a": 1, "b": 2, "c": 3, "d": 4}


def test_only_execution_yml_of_an_environment_holds_policies(tmp_path: Path) -> None:
    """Other files of that name are what their folder says: parameters, catalog entries, or the project's own."""
    own = ("parameters/execution.yml", "catalog/execution_reports.yml", "execution_notes.yml", "execution/x.yml")
    conf = write(tmp_path, {**{f"base/{name}": "a: {b: 1}" for name in own}, "base/execution.yml": "defaults: {retries: 1}"})
    loader = ConfigLoader(conf)
    assert loader["execution"] == {"defaults": {"retries": 1}}
    assert loader["parameters"] == loader["catalog"] == {"a": {"b": 1}}


@pytest.mark.parametrize("ending", ["yaml", "json"])
def test_policies_may_have_the_endings_of_other_kinds(tmp_path: Path, ending: str) -> None:
    """Policies in a file that is not read would be lost silently."""
    conf = write(tmp_path, {f"base/execution.{ending}": '{"defaults": {"retries": 1}}'})
    assert ConfigLoader(conf)["execution"] == {"defaults": {"retries": 1}}


def test_environment_lies_over_base(tmp_path: Path) -> None:
    """By default a top-level key of the environment replaces the base's whole; soft merging keeps what it does not name."""
    conf = write(tmp_path, {"base/parameters.yml": "m: {a: 1, b: 2}\nk: 1", "prod/parameters.yml": "m: {a: 5}"})
    assert ConfigLoader(conf, env="prod")["parameters"] == {"m": {"a": 5}, "k": 1}
    soft = ConfigLoader(conf, env="prod", merge_strategy={"parameters": "soft"})
    assert soft["parameters"] == {"m": {"a": 5, "b": 2}, "k": 1}


def test_default_environment_may_be_absent_and_is_used_where_it_exists(tmp_path: Path) -> None:
    """`local` is read if its folder is there; a project without it still has its configuration."""
    conf = write(tmp_path, {"base/parameters.yml": "a: 1"})
    assert ConfigLoader(conf)["parameters"] == {"a": 1}
    write(tmp_path, {"local/parameters.yml": "a: 2"})
    assert ConfigLoader(conf)["parameters"] == {"a": 2}


def test_unknown_environment_suggests_close_names(tmp_path: Path) -> None:
    """An environment that was named and does not exist is an error with close matches."""
    conf = write(tmp_path, {"base/parameters.yml": "a: 1", "staging/parameters.yml": "a: 2"})
    with pytest.raises(ConfigError, match="Did you mean 'staging'") as caught:
        ConfigLoader(conf, env="stagin")["parameters"]
    assert caught.value.key == "stagin"


def test_missing_source_and_base_are_named(tmp_path: Path) -> None:
    """A missing configuration folder, or one without its base environment, is an error with the path."""
    with pytest.raises(MissingConfigError) as caught:
        ConfigLoader(tmp_path / "nowhere")["parameters"]
    assert caught.value.file == str(tmp_path / "nowhere")
    (tmp_path / "conf").mkdir()
    with pytest.raises(MissingConfigError) as caught:
        ConfigLoader(tmp_path / "conf")["parameters"]
    assert caught.value.file == str(tmp_path / "conf" / "base")


def test_flat_configuration(tmp_path: Path) -> None:
    """An empty base environment reads the top of the source, without the folder of the environment above it."""
    conf = write(tmp_path, {"parameters.yml": "a: 1\nb: 1", "prod/parameters.yml": "a: 2"})
    assert ConfigLoader(conf, base_env="", env="prod")["parameters"] == {"a": 2, "b": 1}


def test_missing_kinds(tmp_path: Path) -> None:
    """Without files, catalog, credentials and globals are empty, and parameters are those of the session."""
    loader = ConfigLoader(write(tmp_path, {}), runtime_params={"a": {"b": 1}})
    assert (loader["catalog"], loader["credentials"], loader["globals"]) == ({}, {}, {})
    assert loader["parameters"] == {"a": {"b": 1}}


def test_own_kinds(tmp_path: Path) -> None:
    """A project's own kind is read by its patterns; without files it is an error, and `get` gives the default."""
    conf = write(tmp_path, {"base/spark/main.yml": "a: 1"})
    loader = ConfigLoader(conf, config_patterns={"spark": ["spark*/**"], "dask": ["dask*"]})
    assert loader["spark"] == {"a": 1}
    with pytest.raises(MissingConfigError, match=r"dask\*"):
        loader["dask"]
    assert loader.get("dask", 7) == 7
    assert loader.get("nothing") is None
    assert "spark" in loader
    assert "nothing" not in loader
    assert set(loader) == {"catalog", "parameters", "credentials", "globals", "execution", "spark", "dask"}
    with pytest.raises(ConfigError, match="Did you mean 'catalog'"):
        loader["catalgo"]


def test_results_are_copies(tmp_path: Path) -> None:
    """Changing what a loader gave does not change what it gives next, nor the parameters it was made with."""
    given = {"r": {"x": [1]}}
    loader = ConfigLoader(write(tmp_path, {"base/parameters.yml": "m: {a: [1]}"}), runtime_params=given)
    first = loader["parameters"]
    first["m"]["a"].append(2)
    first["r"]["y"] = 1
    assert loader["parameters"] == {"m": {"a": [1]}, "r": {"x": [1]}}
    given["r"]["z"] = [2]
    assert ConfigLoader(loader.conf_source, runtime_params=loader.runtime_params)["parameters"]["r"] == {"x": [1]}


def test_templates_are_left_out(tmp_path: Path) -> None:
    """Keys that begin with an underscore serve interpolation and aliases, and are not part of the catalog."""
    text = "_csv: &csv {type: pandas.CSVDataset}\n_root: data/raw\na:\n  <<: *csv\n  filepath: ${_root}/a.csv\n"
    assert ConfigLoader(write(tmp_path, {"base/catalog.yml": text}))["catalog"] == {
        "a": {"type": "pandas.CSVDataset", "filepath": "data/raw/a.csv"}
    }


def test_environment_overrides_what_the_base_interpolates(tmp_path: Path) -> None:
    """Interpolation comes after merging, so an environment's template is used by the base's entries."""
    conf = write(tmp_path, {"base/catalog.yml": "_root: data\na: {filepath: '${_root}/a'}", "prod/catalog.yml": "_root: s3://x"})
    assert ConfigLoader(conf, env="prod")["catalog"] == {"a": {"filepath": "s3://x/a"}}


@pytest.mark.parametrize(
    "files",
    [
        {"base/parameters.yml": "model: {a: 1, b: two}"},
        {"base/parameters.yml": "model: {a: 1}", "local/parameters.yml": "model: {a: 3, b: two}"},
        {"base/parameters.yml": "k: 1", "local/parameters.yml": "model: {a: 3, b: two}"},
        {"base/parameters.yml": "defaults: {a: 1, b: two}\nmodel: ${defaults}"},
        {"base/parameters.yml": "model: {a: 1, b: '${word}'}\nword: two"},
        {"base/globals.yml": "m: {a: 1, b: two}", "base/parameters.yml": "model: ${globals:m}"},
    ],
)
def test_runtime_params_keep_their_neighbours(tmp_path: Path, files: dict[str, str]) -> None:
    """`model.a` given at run time keeps `model.b`, whatever files exist and whether or not they interpolate (failure 15)."""
    loader = ConfigLoader(write(tmp_path, files), runtime_params={"model": {"a": 5}})
    assert loader["parameters"]["model"] == {"a": 5, "b": "two"}


def test_interpolations_see_runtime_params(tmp_path: Path) -> None:
    """A parameter that refers to another sees the value given at run time, also inside a list."""
    conf = write(
        tmp_path, {"base/parameters.yml": "model: {a: 1}\ncols: [x]\nsize: ${model.a}\nfirst: ${cols[0]}\ndeep: {c: '${cols}'}"}
    )
    loader = ConfigLoader(conf, runtime_params={"model": {"a": 5}, "cols": ["y", {"z": 1}]})
    parameters = loader["parameters"]
    assert (parameters["size"], parameters["first"]) == (5, "y")
    assert parameters["deep"]["c"] == ["y", {"z": 1}]


def test_runtime_params_are_data(tmp_path: Path) -> None:
    """Objects come through as they are, and a text that looks like an interpolation or a mark stays what it is."""
    day = dt.date(2013, 1, 1)
    given = {"day": day, "raw": "${globals:secret}", "esc": "a\\${b}", "mark": "???", "items": [day, ("t",)], "none": None}
    conf = write(tmp_path, {"base/parameters.yml": "text: 'on ${day}: ${raw}'\ncopy: ${items}\nm: ${mark}"})
    parameters = ConfigLoader(conf, runtime_params=given)["parameters"]
    assert {key: parameters[key] for key in given} == given
    assert parameters["day"] is day
    assert parameters["text"] == "on 2013-01-01: ${globals:secret}"
    assert parameters["copy"] == [day, ("t",)]
    assert parameters["m"] == "???"


def test_resolvers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """globals, runtime_params and custom resolvers work nested, with defaults, with structures, in text and escaped."""
    monkeypatch.setenv("TREADLE_TEST_SECRET", "s3")
    conf = write(
        tmp_path,
        {
            "base/globals.yml": "root: data\nsub: ${root}/x\nby: {dev: 1, prod: 2}",
            "prod/globals.yml": "root: s3",
            "base/parameters.yml": (
                "a: ${globals:sub}\n"
                "b: ${globals:nope,fallback}\n"
                "c: ${globals:by.${runtime_params:stage,dev}}\n"
                "d: ${runtime_params:who,null}\n"
                "e: ${twice:${a}}\n"
                "f: '\\${globals:root} ${ globals:root }'\n"
                "g: ${globals:by}\n"
                "h: ${where:}\n"
                "i: ${runtime_params:nested}\n"
            ),
            "base/credentials.yml": "db: {pw: '${oc.env:TREADLE_TEST_SECRET}', user: '${oc.env:TREADLE_TEST_NOBODY,me}'}",
        },
    )
    resolvers = {"twice": lambda value: [value, value], "where": lambda *, _parent_: min(_parent_.keys())}
    loader = ConfigLoader(conf, env="prod", runtime_params={"stage": "prod", "nested": {"k": "${x}"}}, custom_resolvers=resolvers)
    parameters = loader["parameters"]
    assert parameters["a"] == "s3/x"
    assert parameters["b"] == "fallback"
    assert parameters["c"] == 2
    assert parameters["d"] is None
    assert parameters["e"] == ["s3/x", "s3/x"]
    assert parameters["f"] == "${globals:root} s3"
    assert parameters["g"] == {"dev": 1, "prod": 2}
    assert parameters["h"] == "a"
    assert parameters["i"] == {"k": "${x}"}
    assert loader["credentials"] == {"db": {"pw": "s3", "user": "me"}}


def test_custom_resolver_may_allow_the_environment_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A custom resolver of a name that Treadle has replaces it for this loader."""
    monkeypatch.setenv("TREADLE_TEST_X", "1")
    conf = write(tmp_path, {"base/parameters.yml": "a: ${oc.env:HOME}"})
    assert ConfigLoader(conf, custom_resolvers={"oc.env": str.lower})["parameters"] == {"a": "home"}


@pytest.mark.parametrize(
    ("text", "line", "key", "match"),
    [
        ("a: 1\nb: ${nope}\n", 2, "b", "nope"),
        ("a: 1\nb:\n  c:\n    - 1\n    - x ${a.z}\n", 5, "b.c.1", "a.z"),
        ("a: 1\n\nb: ${globals:nope}\n", 3, "b", "globals:nope,default"),
        ("a: {b: '${runtime_params:who}'}\n", 1, "a.b", "--params who="),
        ("a: 1\nb: ${oc.env:HOME}\n", 2, "b", "credentials only"),
        ("a: 1\nb: ${globls:x}\n", 2, "b", "Did you mean 'globals'"),
        ("a: 1\nb: ${globals:x\n", 2, "b", "not a valid interpolation"),
        ("a: ${b}\nb: ${a}\n", 1, "a", "[Rr]ecursive"),
        ("a: 1\nb: ${fails:}\n", 2, "b", "ZeroDivisionError"),
        ("a: 1\nb: ${circle:}\n", 2, "b", "circular"),
    ],
)
def test_interpolation_errors_name_file_line_and_key(tmp_path: Path, text: str, line: int, key: str, match: str) -> None:
    """What cannot be resolved is an error with the file, the line and the key of the value."""
    conf = write(tmp_path, {"base/parameters.yml": text, "base/parameters_more.yml": "other: 1"})
    loader: ConfigLoader = ConfigLoader(conf, custom_resolvers={"fails": lambda: 1 / 0, "circle": lambda: loader["parameters"]})
    with pytest.raises(ConfigError, match=match) as caught:
        loader["parameters"]
    assert caught.value.file == str(conf / "base" / "parameters.yml")
    assert (caught.value.line, caught.value.key) == (line, key)


def test_error_names_the_environment_that_gave_the_value(tmp_path: Path) -> None:
    """Where both environments have the key, the upper one is at fault."""
    conf = write(tmp_path, {"base/parameters.yml": "a: 1", "local/parameters.yml": "x: 1\na: ${nope}"})
    with pytest.raises(ConfigError) as caught:
        ConfigLoader(conf)["parameters"]
    assert (caught.value.file, caught.value.line) == (str(conf / "local" / "parameters.yml"), 2)


@pytest.mark.parametrize("kind", ["catalog", "credentials"])
def test_entry_in_two_files_of_one_environment_is_an_error(tmp_path: Path, kind: str) -> None:
    """A catalog or credentials entry given by two files of one environment names both files and lines."""
    conf = write(tmp_path, {f"base/{kind}.yml": "x: {a: 1}", f"base/{kind}_b.yml": "y: 1\nx: {b: 2}"})
    with pytest.raises(ConfigError, match=rf"{kind}\.yml, line 1") as caught:
        ConfigLoader(conf)[kind]
    assert (caught.value.file, caught.value.line, caught.value.key) == (str(conf / "base" / f"{kind}_b.yml"), 2, "x")


def test_parameters_may_be_spread_over_files_but_not_repeated(tmp_path: Path) -> None:
    """Two files may share a group of parameters; the same parameter in both is an error with its whole path."""
    conf = write(tmp_path, {"base/parameters.yml": "m: {a: 1}", "base/parameters_b.yml": "m:\n  b: 2"})
    assert ConfigLoader(conf)["parameters"] == {"m": {"a": 1, "b": 2}}
    write(tmp_path, {"base/parameters_c.yml": "m:\n  b: 3"})
    with pytest.raises(ConfigError) as caught:
        ConfigLoader(conf)["parameters"]
    assert (caught.value.file, caught.value.line, caught.value.key) == (str(conf / "base" / "parameters_c.yml"), 2, "m.b")


def test_template_in_two_files_is_an_error_only_where_it_is_ambiguous(tmp_path: Path) -> None:
    """Files may each have their template of one name, unless it is interpolated and they differ."""
    conf = write(tmp_path, {"base/catalog.yml": "_t: 1\na: {x: 1}", "base/catalog_b.yml": "_t: 2\nb: {x: 1}"})
    assert ConfigLoader(conf)["catalog"] == {"a": {"x": 1}, "b": {"x": 1}}
    write(tmp_path, {"base/catalog_c.yml": "c: {x: '${_t}'}"})
    with pytest.raises(ConfigError, match="_t"):
        ConfigLoader(conf)["catalog"]


def test_wrong_merge_strategy(tmp_path: Path) -> None:
    """An unknown strategy is an error that lists those there are."""
    with pytest.raises(ConfigError, match="destructive, soft"):
        ConfigLoader(tmp_path, merge_strategy={"parameters": "gentle"})


def test_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    """A file in another encoding is an error with its name."""
    conf = write(tmp_path, {})
    (conf / "base" / "parameters.yml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8") as caught:
        ConfigLoader(conf)["parameters"]
    assert caught.value.file == str(conf / "base" / "parameters.yml")


@pytest.mark.parametrize("kind", ["globals", "runtime_params"])
def test_numbers_as_keys_and_elements_of_lists(tmp_path: Path, kind: str) -> None:
    """`${globals:...}` and `${runtime_params:...}` reach keys that YAML reads as numbers or booleans, and elements of lists."""
    values = {"years": {2020: "a", "2021": "b"}, "sizes": [10, {"w": 20}], "flags": {True: "yes"}}
    text = "years: {2020: a, '2021': b}\nsizes: [10, {w: 20}]\nflags: {true: 'yes'}\n"
    names = ("years.2020", "years.2021", "sizes.0", "sizes.1.w", "'sizes[1].w'", "flags.true", "'sizes.-1.w'")
    wanted = "\n".join(f"p{number}: ${{{kind}:{name}}}" for number, name in enumerate(names))
    conf = write(tmp_path, {"base/globals.yml": text if kind == "globals" else "{}", "base/catalog.yml": wanted})
    loader = ConfigLoader(conf, runtime_params=values if kind == "runtime_params" else None)
    assert list(loader["catalog"].values()) == ["a", "b", 10, 20, 20, "yes", 20]
    write(tmp_path, {"base/catalog.yml": f"p: ${{{kind}:sizes.2,d}}\nq: ${{{kind}:years.1999,d}}\nr: ${{{kind}:sizes.x,d}}"})
    assert set(ConfigLoader(conf, runtime_params=values)["catalog"].values()) == {"d"}


def test_nested_environments(tmp_path: Path) -> None:
    """An environment may be a folder in a folder; the folder above it is not read, and close matches know of both."""
    conf = write(
        tmp_path,
        {"base/parameters.yml": "a: 1\nb: 2", "prod/eu/parameters.yml": "a: 3", "prod/us/parameters.yml": "a: 4"},
    )
    for name in ("prod/eu", "prod/eu/", "./prod/eu"):
        assert ConfigLoader(conf, env=name)["parameters"] == {"a": 3, "b": 2}
    with pytest.raises(ConfigError, match="Did you mean 'prod/eu'"):
        ConfigLoader(conf, env="prod/eux")["parameters"]
    with pytest.raises(ConfigError, match="Did you mean 'prod'"):
        ConfigLoader(conf, env="pord/eu")["parameters"]
    top = ConfigLoader(conf, base_env="", env="prod/us", config_patterns={"parameters": ["parameters*"]})
    assert top["parameters"] == {"a": 4}


@pytest.mark.parametrize("env", ["../other", "base/../../other", ".hidden", "ABSOLUTE"])
def test_environment_stays_in_its_folder(tmp_path: Path, env: str) -> None:
    """A name that leads out of the configuration, or to a hidden folder, is no environment, whatever lies there."""
    conf = write(tmp_path, {"../other/parameters.yml": "a: 1", ".hidden/parameters.yml": "a: 1"})
    env = str(tmp_path / "other") if env == "ABSOLUTE" else env
    with pytest.raises(ConfigError, match="An environment is a folder inside the configuration"):
        ConfigLoader(conf, env=env)["parameters"]


def test_loader_pickles(tmp_path: Path) -> None:
    """A loader survives pickling with what it resolved."""
    loader = ConfigLoader(write(tmp_path, {"base/parameters.yml": "a: ${runtime_params:x}"}), runtime_params={"x": 1})
    expected = loader["parameters"]
    assert pickle.loads(pickle.dumps(loader))["parameters"] == expected


def test_loaders_in_many_threads_never_mix(tmp_path: Path) -> None:
    """Loaders with parameters, globals and resolvers of one name resolve at once, each to its own values (failure 14)."""
    threads, rounds = 12, 8
    for number in range(threads):
        write(
            tmp_path / str(number),
            {
                "base/globals.yml": f"g: g{number}\nh: ${{g}}-${{runtime_params:who}}",
                "base/parameters.yml": "who: ${runtime_params:who}\nmine: ${mine:${globals:h}}\n"
                + "".join(f"k{each}: '${{globals:g}} ${{runtime_params:who}} ${{mine:{each}}}'\n" for each in range(20)),
                "base/credentials.yml": "c: {p: '${globals:g}${runtime_params:who}'}",
            },
        )
    barrier = threading.Barrier(threads)

    def work(number: int) -> list[Any]:
        wrong: list[Any] = []
        barrier.wait(30)
        for turn in range(rounds):
            who = f"w{number}.{turn}"
            loader = ConfigLoader(
                tmp_path / str(number) / "conf",
                runtime_params={"who": who},
                custom_resolvers={"mine": lambda value, who=who: f"{value}@{who}"},
            )
            parameters = loader["parameters"]
            expected = {"who": who, "mine": f"g{number}-{who}@{who}"}
            expected |= {f"k{each}": f"g{number} {who} {each}@{who}" for each in range(20)}
            if parameters != expected or loader["credentials"] != {"c": {"p": f"g{number}{who}"}}:
                wrong.append(parameters)
        return wrong

    with ThreadPoolExecutor(threads) as pool:
        assert [wrong for result in pool.map(work, range(threads)) for wrong in result] == []


def test_loader_leaves_resolvers_of_others_alone(tmp_path: Path) -> None:
    """Resolving registers none of our names for the whole process, where other libraries keep theirs."""
    from omegaconf import OmegaConf

    conf = write(tmp_path, {"base/globals.yml": "x: ours", "base/parameters.yml": "a: ${globals:x}"})
    assert ConfigLoader(conf)["parameters"] == {"a": "ours"}
    assert not OmegaConf.has_resolver("globals")
    assert not OmegaConf.has_resolver("runtime_params")


def test_files_in_linked_folders_count(tmp_path: Path) -> None:
    """A folder that several projects share is often a symbolic link, and a value that is left out would change results."""
    conf = write(tmp_path, {"base/parameters.yml": "a: 1"})
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "parameters_b.yml").write_text("b: 2", encoding="utf-8")
    (conf / "base" / "parameters").symlink_to(tmp_path / "shared")
    (conf / "prod").symlink_to(tmp_path / "prod")
    write(tmp_path, {"../prod/parameters.yml": "a: 3"})
    assert ConfigLoader(conf)["parameters"] == {"a": 1, "b": 2}
    assert ConfigLoader(conf, env="prod")["parameters"] == {"a": 3, "b": 2}


def test_a_file_that_is_a_broken_link(tmp_path: Path) -> None:
    """It is an error with its path, and not as if the environment had no such file; an editor's hidden lock is ignored."""
    conf = write(tmp_path, {"base/parameters.yml": "a: 1", "prod/other.yml": ""})
    (conf / "prod" / ".#parameters.yml").symlink_to("ada@loom.1")
    assert ConfigLoader(conf, env="prod")["parameters"] == {"a": 1}
    (conf / "prod" / "parameters.yml").symlink_to(tmp_path / "secrets" / "parameters.yml")
    with pytest.raises(
        ConfigError, match=r"prod/parameters\.yml cannot be read: it is a link to .*parameters\.yml, which does not exist"
    ):
        _ = ConfigLoader(conf, env="prod")["parameters"]


@pytest.mark.parametrize("key", ["${loom.spun", "x${loom.spun}y", "x${loom: spun}y", "!loom spun"])
def test_a_secret_that_looks_like_syntax_is_not_shown(tmp_path: Path, key: str) -> None:
    """Neither by the error nor by its causes, which a traceback shows: a password may contain any characters."""
    quote = "" if key.startswith("!") else "'"
    conf = write(tmp_path, {"base/credentials.yml": f"db: {{key: {quote}{key}{quote}}}"})
    with pytest.raises(ConfigError, match=r"credentials\.yml, line 1.*(literal \$\{|in quotes)") as caught:
        _ = ConfigLoader(conf)["credentials"]
    shown = "".join(traceback.format_exception(caught.value)).replace(str(conf), "")
    assert "spun" not in shown
    assert "!loom" not in shown
