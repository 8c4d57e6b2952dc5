"""Every command against every file that a user writes, broken: those that need the file say so, the others do their work."""

from __future__ import annotations

import re

import pytest

from treadle.cli.main import main

FILES = {
    "src/PACKAGE/pipeline_registry.py": (
        "from treadle import Pipeline, node\n"
        "def register_pipelines():\n"
        "    return {'__default__': Pipeline([node(len, 'words', 'number', name='count'), node(str, 'params:some', 'said')])}\n"
    ),
    "conf/base/catalog.yml": "words: {type: text.TextDataset, filepath: words.txt}\n",
    "conf/base/parameters.yml": "some: ${globals:some}\n",
    "conf/base/globals.yml": "some: 1\n",
    "words.txt": "hello",
}
COMMANDS = (
    "run",
    "check --start-method fork",
    "registry list",
    "registry describe",
    "catalog list",
    "catalog describe",
    "catalog resolve words",
    "pipeline create other",
    "pipeline delete other --yes",
    "sessions list",
    "sessions show 1999",
    "sessions diff 1999 2000",
    "sessions what-if 1999",
    "sessions rerun 1999",
    "package",
    "ipython --env nowhere",
    "jupyter setup --env nowhere",
    "info",
)
ALL = set(COMMANDS)
CONFIGURED = {each for each in COMMANDS if each.split()[0] in {"run", "check", "catalog"}}
SESSIONS = {each for each in COMMANDS if each.startswith("sessions")}
BROKEN = {
    "pyproject.toml": ("[tool.treadle\n", ALL),
    "src/PACKAGE/settings.py": ("HOOKS = (\n", ALL - {"registry list", "registry describe", "info"}),
    "src/PACKAGE/pipeline_registry.py": (
        "def register_pipelines(:\n",
        {"run", "check --start-method fork", "registry list", "registry describe", "catalog describe", "pipeline create other"},
    ),
    "src/PACKAGE/cli.py": ("def cli(:\n", ALL),
    "conf/base/catalog.yml": ("words: ]\n", CONFIGURED),
    "conf/base/parameters.yml": ("some: ]\n", CONFIGURED),
    "conf/base/globals.yml": ("some: ]\n", CONFIGURED),
    "conf/local/credentials.yml": ("key: ]\n", CONFIGURED),
    "conf/logging.yml": ("root: ]\n", {"run"}),
    ".treadle/sessions.db": ("no database " * 1000, SESSIONS),  # a run goes on without its record
}


@pytest.mark.parametrize("file", BROKEN)
def test_a_broken_file(make_project, monkeypatch, capsys, file):
    """The commands that need it end with code 2 (`check`: 1, a problem), and name it in one paragraph; no other mentions it."""
    root = make_project()
    package = next(each.name for each in (root / "src").iterdir())
    content, needed_by = BROKEN[file]
    for name, text in {**FILES, file: content}.items():
        path = root / name.replace("PACKAGE", package)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(root)
    name = file.rpartition("/")[2]
    told = set()
    for words in COMMANDS:
        code = main(words.split())
        captured = capsys.readouterr()
        said = captured.err.partition("Error: ")[2]
        if words.startswith("check") and code == 1:
            assert captured.err == ""
            said = captured.out.split("\n")[1]
        elif said:
            assert code == 2, words
            assert not re.search(r"\n\s*\S", said.strip()), said
        assert "Traceback" not in captured.out + captured.err
        if name in said:
            told.add(words)
    assert told == needed_by
