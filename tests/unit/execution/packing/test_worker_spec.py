"""The spec of workers and its fingerprint."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from treadle.execution.packing.worker_spec import fingerprint, make_worker_spec, usable_cores
from treadle.execution.processes.start_method import StartMethod
from treadle.project import configure, configure_project


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A configured project whose files can be changed."""
    package = tmp_path / "fingerprinted"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "nodes.py").write_text("def f(): return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = configure._process.project, configure._process.count
    configure_project("fingerprinted")
    yield package
    configure._process.project, configure._process.count = before
    for name in [name for name in sys.modules if name.partition(".")[0] == "fingerprinted"]:
        del sys.modules[name]


def test_nothing_changed_is_the_same_fingerprint(project):
    """Without a change, the fingerprint stays the same."""
    assert fingerprint([]) == fingerprint([])
    assert fingerprint(["os", "sys"]) == fingerprint(["sys", "os", "os"])


def test_changed_code_changes_the_fingerprint(project):
    """An edited, added or removed file of the package changes the fingerprint."""
    seen = {fingerprint([])}
    (project / "nodes.py").write_text("def f(): return 2000\n")
    seen.add(fingerprint([]))
    (project / "more.py").write_text("")
    seen.add(fingerprint([]))
    (project / "nodes.py").unlink()
    seen.add(fingerprint([]))
    assert len(seen) == 4


def test_a_changed_module_of_a_node_changes_the_fingerprint(tmp_path, monkeypatch):
    """Without a project, the files of the nodes' modules are covered."""
    file = tmp_path / "loose_nodes.py"
    file.write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    __import__("loose_nodes")
    try:
        before = fingerprint(["loose_nodes"])
        file.write_text("x = 1000\n")
        assert fingerprint(["loose_nodes"]) != before
        file.unlink()
        fingerprint(["loose_nodes", "no_such_module", "__main__"])
    finally:
        del sys.modules["loose_nodes"]


def test_a_changed_environment_changes_the_fingerprint(monkeypatch):
    """A set, changed or removed variable counts, except variables that change by themselves."""
    before = fingerprint([])
    monkeypatch.setenv("COLUMNS", "123")
    assert fingerprint([]) == before
    monkeypatch.setenv("TREADLE_TEST_VARIABLE", "1")
    changed = fingerprint([])
    assert changed != before
    monkeypatch.setenv("TREADLE_TEST_VARIABLE", "2")
    assert fingerprint([]) not in (before, changed)
    monkeypatch.delenv("TREADLE_TEST_VARIABLE")
    assert fingerprint([]) == before


def test_an_undecodable_environment_is_no_problem(monkeypatch):
    """The environment may contain bytes that are not valid text."""
    monkeypatch.setitem(os.environb, b"TREADLE_TEST_BYTES", b"\xff\xfe")
    assert fingerprint([])


def test_another_path_or_directory_changes_the_fingerprint(monkeypatch, tmp_path):
    """The fingerprint covers sys.path and the working directory."""
    before = fingerprint([])
    monkeypatch.chdir(tmp_path)
    moved = fingerprint([])
    monkeypatch.syspath_prepend(str(tmp_path))
    assert len({before, moved, fingerprint([])}) == 3


def test_another_project_changes_the_fingerprint(project):
    """With another configured project, the fingerprint is different."""
    configured = fingerprint([])
    configure._process.project = None
    assert fingerprint([]) != configured


def test_a_spec_describes_this_process(project, monkeypatch):
    """It has the package, absolute paths, the environment, the directory and the pid."""
    monkeypatch.setenv("TREADLE_TEST_VARIABLE", "1")
    monkeypatch.setattr(sys, "path", ["", "relative", *sys.path])
    spec = make_worker_spec(StartMethod.SPAWN, 2, "/scratch", "print")
    assert spec.project.package_name == "fingerprinted"
    assert not spec.inherits
    assert spec.environment["TREADLE_TEST_VARIABLE"] == "1"
    assert spec.project.code_paths[:2] == (str(Path.cwd()), str(Path.cwd() / "relative"))
    assert (spec.working_directory, spec.parent_pid, spec.scratch, spec.fingerprint) == (
        str(Path.cwd()),
        os.getpid(),
        "/scratch",
        "print",
    )
    assert make_worker_spec(StartMethod.FORK, 2, "", "").inherits


def test_workers_share_the_cores():
    """The libraries of each worker get their share of the cores, at least one."""
    assert usable_cores() >= 1
    assert make_worker_spec(StartMethod.SPAWN, 1, "", "").thread_limit == usable_cores()
    assert make_worker_spec(StartMethod.SPAWN, 10_000, "", "").thread_limit == 1
