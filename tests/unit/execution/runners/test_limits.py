"""Resource limits: control groups of both versions, and their precedence."""

from __future__ import annotations

import psutil
import pytest

from treadle import Catalog, NodePolicy, Pipeline, node
from treadle.execution.processes.memory import cgroup_limits, usable_memory
from treadle.execution.runners.limits import run_limits
from treadle.planning import compile_plan
from treadle.planning.policies import read_policies


def groups(tmp_path, own, files):
    """Lay out a tree of control groups; return the limits that are found in it."""
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return cgroup_limits(tmp_path / "cgroup", tmp_path / "own")


@pytest.mark.parametrize(
    ("own", "files", "limits"),
    [
        ("0::/job/step\n", {"job/step/memory.max": "max\n", "job/memory.max": "1000\n", "memory.max": "2000\n"}, [1000, 2000]),
        ("0::/not/visible/here\n", {"memory.max": "1000\n"}, [1000]),
        ("0::/\n", {"memory.max": "max\n"}, []),
        ("4:cpu,memory:/job\n1:name=systemd:/x\n", {"memory/job/memory.limit_in_bytes": "500\n"}, [500]),
        ("4:cpu:/job\n", {"memory/job/memory.limit_in_bytes": "500\n"}, []),
        ("0::/../../outside\n", {}, []),
    ],
)
def test_control_groups(tmp_path, own, files, limits):
    """The limits of the process's group and of its ancestors are found, in a container too."""
    assert groups(tmp_path, own, files) == limits


def test_no_control_groups(tmp_path):
    """Without control groups, the limit is the machine's memory."""
    assert cgroup_limits(tmp_path, tmp_path / "nothing") == []
    assert 0 < usable_memory() <= psutil.virtual_memory().total


def test_precedence():
    """A runner's limit overrides the configuration; memory has a default; without needs no limit is determined."""
    policy = NodePolicy(resources={"gpu": 1, "memory": "1kB", "licence": 1})
    rules = read_policies({"resources": {"gpu": 1, "licence": 1}})
    plan = compile_plan(Pipeline([node(len, "x", "a", policy=policy)]), Catalog({"x": "abc"}), rules)
    assert run_limits(plan, {"gpu": 4}) == {"gpu": 4, "licence": 1, "memory": usable_memory()}
    assert run_limits(plan, {"memory": 1000})["memory"] == 1000
    assert run_limits(compile_plan(Pipeline([node(len, "x", "a")]), Catalog({"x": "abc"}), rules), {"gpu": 4}) == {}
