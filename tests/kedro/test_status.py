"""`kedro treadle …`: which nodes of a Kedro project are up to date, and the values of nodes with `cache: store`."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("kedro", reason="the Kedro runner's tests need Kedro")
pytest.importorskip("kedro_datasets", reason="the projects use kedro-datasets")

COMMANDS = """
import json
from pathlib import Path

from click.testing import CliRunner
from kedro.framework.cli.cli import KedroCLI
from kedro.framework.startup import bootstrap_project

bootstrap_project(Path.cwd())
commands = KedroCLI(Path.cwd())
done = [CliRunner().invoke(commands, ["treadle", *words.split()]) for words in {words}]
Path("done.json").write_text(json.dumps([[each.exit_code, each.output] for each in done]))
"""


def test_the_commands(lane):
    """They decide as a run does, say why, and change what the next run does; none of them runs anything."""
    with (lane.root / "pyproject.toml").open("a") as file:
        file.write('\n[tool.treadle]\npackage_name = "lane"\n')
    stored = "nodes: {model_params: {cache: store}, measure: {cache: store}}\n"
    (lane.root / "conf/base/execution.yml").write_text(stored, encoding="utf-8")
    lane.treadle("fork")
    saved = {file: file.stat().st_mtime_ns for file in (lane.root / "data").rglob("*")}
    words = (
        "status --json",
        "status --params=factor=3 --json",
        "explain join --json",
        "invalidate make_left --downstream --json",
        "status --to-nodes=join --json",
        "accept make_left join --json",
        "status --json",
        "cache list --json",
        "explain nope",
        "status --pipelines=nope",
    )
    lane.script(COMMANDS.format(words=json.dumps(words)))
    *answers, no_node, no_pipeline = json.loads((lane.root / "done.json").read_text())
    assert [code for code, _ in answers] == [0] * len(answers), answers
    first, with_param, join, invalidated, part, accepted, last, values = (_json(output) for _, output in answers)
    names = ["make_left", "make_right", "join", "model_params", "measure"]
    assert {each["node"]: each["state"] for each in first} == dict.fromkeys(names, "up_to_date")
    assert {each["node"]: each["causes"][:1] for each in with_param if each["state"] == "runs"} == {
        "make_left": ["param factor: 2 → 3"],
        "make_right": ["param factor: 2 → 3"],
    }
    assert join["causes"] == []
    assert {"function lane.nodes.plus", "input left", "input right"} < join["parts"].keys()
    assert sorted(invalidated["invalidated"]) == ["join", "make_left", "measure"]
    assert {each["node"]: each["state"] for each in part} == {"make_left": "runs", "make_right": "up_to_date", "join": "runs"}
    assert accepted == {"accepted": ["make_left", "join"]}
    assert [each["node"] for each in last if each["state"] != "up_to_date"] == ["measure"]
    assert {each["dataset"] for each in values} == {"model", "metrics"}
    assert no_node[0] == no_pipeline[0] == 2
    assert "There is no node 'nope'" in no_node[1]
    assert "There is no pipeline 'nope'" in no_pipeline[1]
    assert {file: file.stat().st_mtime_ns for file in (lane.root / "data").rglob("*")} == saved


def _json(output):
    return json.loads(output[min(at for at in map(output.find, "[{") if at >= 0) :])
