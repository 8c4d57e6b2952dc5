"""Annotations of GitHub Actions."""

from __future__ import annotations

import re

import pytest

from treadle.cli.annotations import annotate
from treadle.cli.failure import show
from treadle.cli.main import main
from treadle.errors import ConfigError, NodeError, PipelineError, ProjectError
from treadle.events import Failure

REGISTRY = """
from treadle import Pipeline, node


def use(value):
    return value


def register_pipelines():
    return {"broken": 5, "__default__": Pipeline([node(len, "raw", "n"), node(use, "gone", "used")])}
"""


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """The folder of a job's repository, in which the test stands."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def traceback(*files):
    frames = "".join(f'  File "{file}", line {line}, in f\n    call()\n' for line, file in enumerate(files, 1))
    return f"Traceback (most recent call last):\n{frames}ValueError: bad\n"


def test_a_failed_node_is_annotated_at_the_users_line(repository, capsys):
    """At the innermost frame in the repository, not in an installed package; every failed node has its own."""
    files = (repository / "src/a,b.py", repository / "src/deep.py", repository / ".venv/lib/site-packages/x.py", "/usr/lib/y.py")
    other = NodeError("Node 'plot' failed.", node="plot", failure=Failure("E", "bad", traceback("/usr/lib/y.py")))
    error = NodeError("Node 'fit' failed: 100%.", node="fit", failure=Failure("E", "bad", traceback(*files)), others=(other,))
    show(error)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("::")]
    assert lines == ["::error file=src/deep.py,line=2::Node 'fit' failed: 100%25.", "::error::Node 'plot' failed."]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ConfigError("Bad\r\nyaml.", file="conf/a:b,c.yml", line=3), "::error file=conf/a%3Ab%2Cc.yml,line=3::Bad%0D%0Ayaml."),
        (ProjectError("Wrong.", file="pyproject.toml"), "::error file=pyproject.toml::Wrong."),
        (ProjectError("Wrong.", file="/etc/pyproject.toml"), "::error::Wrong."),
        (PipelineError("conf/a.yml, line 7: no type."), "::error file=conf/a.yml,line=7::conf/a.yml, line 7: no type."),
        (PipelineError("A \x1b[2J circle."), "::error::A \\x1b[2J circle."),
    ],
)  # fmt: skip
def test_other_errors_are_annotated_where_they_are(repository, capsys, error, line):
    """At the file that the error names, or that its message begins with; special characters are escaped."""
    show(error)
    assert capsys.readouterr().err.splitlines()[-1] == line


def test_there_are_none_elsewhere(repository, capsys, monkeypatch):
    """Outside of GitHub Actions nothing is printed."""
    monkeypatch.delenv("GITHUB_ACTIONS")
    annotate("bad")
    assert capsys.readouterr() == ("", "")


def test_the_problems_of_a_check(make_project, capsys, monkeypatch):
    """Each problem has an annotation on standard error, so that JSON on standard output stays valid."""
    root = make_project(pipeline_registry=REGISTRY)
    (root / "conf/base").mkdir(parents=True)
    (root / "conf/base/catalog.yml").write_text("\nraw: {type: text.TextDatase, filepath: x}\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(root))
    assert main(["check", "--json"]) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith("{")
    in_catalog, in_code = [line for line in printed.err.splitlines() if line.startswith("::error")]
    assert in_catalog.startswith("::error file=conf/base/catalog.yml,line=2::")
    assert re.match(r"::error file=src/\w+/pipeline_registry\.py,line=5::Dataset 'gone' is made by no node", in_code)
