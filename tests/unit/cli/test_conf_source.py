"""Commands on configuration in folders and archives that are not as usual: `logging.yml`, nothing where the base should be."""

from __future__ import annotations

import logging
import tarfile
import zipfile

import pytest

from treadle.cli.main import main

REGISTRY = """
import logging

from treadle import Pipeline, node


def count(text, least):
    logging.getLogger("shop.nodes").debug("counted")
    return len(text) + least


def register_pipelines():
    return {"__default__": Pipeline([node(count, ["words", "params:least"], "number", name="count")])}
"""
CATALOG = """
words: {type: text.TextDataset, filepath: data/words.txt}
number: {type: json.JSONDataset, filepath: data/number.json}
"""
LOGGING = """
handlers: {file: {class: logging.FileHandler, filename: run.log}}
loggers: {shop.nodes: {level: DEBUG, handlers: [file]}}
"""


@pytest.fixture
def project(make_project):
    """A project with a log file of its own."""
    root = make_project(pipeline_registry=REGISTRY)
    for name, text in {
        "conf/logging.yml": LOGGING,
        "conf/base/catalog.yml": CATALOG,
        "conf/base/parameters.yml": "least: 1\n",
        "conf/prod/eu/parameters.yml": "least: 5\n",
        "data/words.txt": "hello",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    yield root
    for handler in list(logging.getLogger("shop.nodes").handlers):
        logging.getLogger("shop.nodes").removeHandler(handler)
        handler.close()


def pack(root, name, top):
    """Move the project's configuration into an archive."""
    files = sorted(file for file in (root / "conf").rglob("*") if file.is_file())
    if name.endswith("zip"):
        with zipfile.ZipFile(root / name, "w") as archive:
            for file in files:
                archive.write(file, top + file.relative_to(root / "conf").as_posix())
    else:
        with tarfile.open(root / name, "w:gz") as archive:
            for file in files:
                archive.add(file, top + file.relative_to(root / "conf").as_posix())
    (root / "conf").rename(root / "unpacked")


@pytest.mark.parametrize("top", ["", "conf/"])
@pytest.mark.parametrize("name", ["conf.zip", "conf.tar.gz"])
def test_an_archive_with_a_logging_file(project, name, top):
    """What is packed runs as the folder did, and its `logging.yml` holds."""
    pack(project, name, top)
    assert main(["run", "--conf-source", name]) == 0
    assert (project / "data/number.json").read_text() == "6\n"
    assert "counted" in (project / "run.log").read_text()


def test_a_nested_environment(project):
    """`--env prod/eu` is the folder of that name, for a run and for looking."""
    assert main(["run", "--env", "prod/eu"]) == 0
    assert (project / "data/number.json").read_text() == "10\n"
    assert main(["catalog", "list", "--env", "prod/eu"]) == 0


COMMANDS = ("run", "catalog list", "catalog describe", "catalog resolve words", "check")


@pytest.mark.parametrize("words", COMMANDS)
def test_a_missing_base_is_named(project, capsys, words):
    """A configuration without its base environment is an error of every command, never an empty configuration."""
    (project / "conf/base").rename(project / "conf/bsae")
    assert main(words.split()) in (1, 2)
    out, err = capsys.readouterr()
    assert f"There is no base environment 'base' in {project / 'conf'}." in out + err
    assert main([*words.split(), "--conf-source", "data"]) in (1, 2)
    out, err = capsys.readouterr()
    assert f"There is no base environment 'base' in {project / 'data'}." in out + err
    assert "words" not in out


@pytest.mark.parametrize("words", COMMANDS)
def test_an_archive_that_was_cut_off(project, capsys, words):
    """An incomplete archive is an error with exit code 2, no interrupt."""
    pack(project, "conf.tar.gz", "")
    whole = (project / "conf.tar.gz").read_bytes()
    (project / "conf.tar.gz").write_bytes(whole[: len(whole) // 2])
    assert main([*words.split(), "--conf-source", "conf.tar.gz"]) == 2
    err = capsys.readouterr().err
    assert f"The archive {project / 'conf.tar.gz'} is damaged or incomplete" in err
    assert "Interrupted" not in err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("handlers: {x: {(): subprocess.Popen, args: [touch, called]}}", "handlers.x.() names 'subprocess.Popen'"),
        ("handlers: {x: {class: subprocess.Popen, args: [touch, called]}}", "handlers.x.class names 'subprocess.Popen'"),
        ("formatters: {x: {(): 'ext://os.mkdir', path: called}}", "formatters.x.() names 'os.mkdir'"),
        ("formatters: {x: {(): logging.os.mkdir, path: called}}", "formatters.x.() names 'logging.os.mkdir'"),
        ("filters: {x: {(): 'cfg://it', path: called}}\nit: os.mkdir", "filters.x.() is 'cfg://it'"),
        ("handlers: {x: {class: logging.StreamHandler, '.': {emit: 'ext://os.mkdir'}}}", "handlers.x...emit names 'os.mkdir'"),
    ],
)
def test_a_logging_file_that_would_call_anything(project, monkeypatch, capsys, text, said):
    """What a logging file names is called only if it is of the logging kind, whichever way it is named."""
    monkeypatch.chdir(project)
    (project / "conf/logging.yml").write_text(text)
    assert main(["run"]) == 2
    assert said in capsys.readouterr().err
    assert not (project / "called").exists()


def test_a_logging_file_that_calls_what_the_settings_allow(project):
    """LOGGING_FACTORIES of the settings allows a function by its name."""
    package = next((project / "src").iterdir())
    (package / "logs.py").write_text("import logging\n\n\ndef make(file):\n    return logging.FileHandler(file)\n")
    (package / "settings.py").write_text(f"LOGGING_FACTORIES = ['{package.name}.logs.make']\n")
    file = project / "own.log"
    conf = LOGGING.replace("class: logging.FileHandler, filename: run.log", f"(): {package.name}.logs.make, file: {file}")
    (project / "conf/logging.yml").write_text(conf)
    assert main(["run"]) == 0
    assert "counted" in file.read_text()


def test_a_catalog_type_is_checked_before_it_is_called(project, monkeypatch, capsys):
    """A class that is no dataset is refused without being called, at any depth of an entry."""
    monkeypatch.chdir(project)
    call = "type: subprocess.Popen, args: [touch, called]"
    for entry in (
        f"{{{call}}}",
        f"{{type: CachedDataset, dataset: {{{call}}}}}",
        "{type: text.TextDataset, filepath: 'x://y', fs_args: {filesystem: subprocess.Popen, args: [touch, called]}}",
    ):
        (project / "conf/base/catalog.yml").write_text(f"words: {entry}\nnumber: {{type: MemoryDataset}}\n")
        assert main(["run"]) in (1, 2)
        assert "subprocess.Popen" in capsys.readouterr().err
        assert not (project / "called").exists()
