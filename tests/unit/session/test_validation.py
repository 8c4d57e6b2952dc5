"""Validators of a project's datasets: in a session, in the decisions about unchanged nodes, and in `check`."""

from __future__ import annotations

import pytest

from treadle import NodeError, Session, bootstrap_project
from treadle.session.checking import check_session

CHECKS = """
LIMIT = 10


def is_small(number):
    return number < LIMIT
"""
CATALOG = """
raw: {type: text.TextDataset, filepath: data/raw.txt}
n: {type: MemoryDataset, validator: PACKAGE.checks.is_small}
scaled: {type: json.JSONDataset, filepath: data/scaled.json, validator: {class: PACKAGE.checks.is_small, on: save}}
"""


@pytest.fixture
def project(make_project):
    """A project two of whose datasets have a validator, and a function that changes one of its files."""
    root = make_project()
    (package,) = [path.name for path in (root / "src").iterdir() if path.is_dir()]

    def write(file, text):
        (root / file.replace("PACKAGE", package)).write_text(text.replace("PACKAGE", package))
        bootstrap_project(root)

    write("src/PACKAGE/checks.py", CHECKS)
    write("conf/base/catalog.yml", CATALOG)
    return write


def states():
    return [(each.expected.name, [cause for cause in each.causes if "validator" in cause]) for each in Session.create().status()]


def test_a_changed_validator_runs_the_nodes_whose_data_it_checks(project):
    """Its code, what its code uses, and its declaration count; for the node that loads or saves the dataset."""
    with Session.create() as session:
        assert session.run()["scaled"] == 8
    assert states() == [("UP_TO_DATE", []), ("UP_TO_DATE", [])]
    project("src/PACKAGE/checks.py", CHECKS.replace("10", "9"))
    changed = ["validator of n changed"]
    assert states() == [("RUNS", changed), ("RUNS", [*changed, "validator of scaled changed"])]
    project("src/PACKAGE/checks.py", CHECKS)
    assert states() == [("UP_TO_DATE", []), ("UP_TO_DATE", [])]
    project("conf/base/catalog.yml", CATALOG.replace("on: save", "on: load"))
    assert states() == [("RUNS", []), ("RUNS", ["validator of scaled is no longer used"])]  # the first makes a value in memory
    project("conf/base/catalog.yml", CATALOG.replace("is_small, on", "is_smal, on"))
    (_, causes) = states()[1]
    assert "validator of scaled cannot be imported" in causes[0]


def test_the_setting(project):
    """`DATASET_VALIDATION = False` switches validators off, and the error names node and dataset while they are on."""
    project("data/raw.txt", "a text of some length")
    with (
        Session.create() as session,
        pytest.raises(NodeError, match=r"Node 'count' could not save 'n': .*Dataset 'n' was refused"),
    ):
        session.run()
    project("src/PACKAGE/settings.py", "DATASET_VALIDATION = False\n")
    with Session.create() as session:
        assert session.run()["scaled"] == 42


def test_the_setting_and_the_variable(project, monkeypatch):
    """The environment variable has precedence."""
    project("data/raw.txt", "a text of some length")
    project("src/PACKAGE/settings.py", "DATASET_VALIDATION = False\n")
    monkeypatch.setenv("TREADLE_DATASET_VALIDATION", "on")
    with Session.create() as session, pytest.raises(NodeError, match="was refused"):
        session.run()


def test_check_finds_wrong_validators(project):
    """Of values in memory and of files: they are imported in a worker, as a run would."""
    project("conf/base/catalog.yml", CATALOG.replace("is_small", "is_smal"))
    report = check_session(Session.create(save_on_close=False), start_method="fork")
    assert [(problem.dataset, problem.nodes) for problem in report.problems] == [
        ("n", ("count", "scale")),
        ("scaled", ("scale",)),
    ]
    assert all("has no 'is_smal'. Did you mean 'is_small'" in problem.message for problem in report.problems)
    assert all("catalog.yml, line" in problem.message for problem in report.problems)
