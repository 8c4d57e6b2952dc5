"""Nodes that are up to date are skipped, under every runner: code, params, contents and outputs decide, and nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import sys
from contextlib import closing

import pytest

from treadle.events import Outcome
from treadle.observe.store import SQLStore

pytestmark = pytest.mark.timeout(600)  # each test starts many processes, one after the other

NODES = """
from pathlib import Path

from mill.helpers import SCALE, scaled


def load(source):
    return [int(line) for line in source.split()]


def clean(numbers, limit):
    return [number for number in numbers if number <= limit]


def scale(numbers):
    return [scaled(number) for number in numbers]


def total(numbers):
    return {"total": sum(numbers)}


def note(total):
    return f"total {total['total']}"
"""
HELPERS = '''
SCALE = 3


def scaled(number):
    """Scale a number."""
    return number * SCALE
'''
PIPELINES = """
from treadle import Pipeline, node

from mill.nodes import clean, load, note, scale, total


def register_pipelines():
    pipeline = Pipeline(
        [
            node(load, "source", "numbers", name="load"),
            node(clean, ["numbers", "params:limit"], "kept", name="clean"),
            node(scale, "kept", "scaled", name="scale"),
            node(total, "scaled", "sums", name="total"),
            node(note, "sums", "page", name="note"),
        ]
    )
    return {"__default__": pipeline}
"""
CATALOG = """
source: {type: text.TextDataset, filepath: data/source.txt}
numbers: {type: json.JSONDataset, filepath: data/numbers.json}
scaled: {type: json.JSONDataset, filepath: data/scaled.json}
sums: {type: json.JSONDataset, filepath: data/sums.json}
page: {type: text.TextDataset, filepath: data/page.txt}
"""
FILES = {
    "pyproject.toml": '[tool.treadle]\npackage_name = "mill"\nproject_name = "Mill"\n',
    "src/mill/__init__.py": "",
    "src/mill/settings.py": "",
    "src/mill/nodes.py": NODES,
    "src/mill/helpers.py": HELPERS,
    "src/mill/pipeline_registry.py": PIPELINES,
    "conf/base/catalog.yml": CATALOG,
    "conf/base/parameters.yml": "limit: 5\nunused: 1\n",
    "conf/local/.gitkeep": "",
    "data/source.txt": "1\n2\n9\n",
}
UNNEEDED = {
    *("encodings.utf_8_sig", "importlib.metadata", "numbers", "random", "tempfile"),
    *(["subprocess"] if sys.version_info >= (3, 11) else []),  # earlier, platform imports it
    *("cloudpickle", "fsspec", "jinja2", "loky", "omegaconf", "psutil", "rich", "sqlalchemy"),
    *("treadle.execution.attempt", "treadle.execution.executors", "treadle.execution.packing", "treadle.execution.scheduling"),
    *("treadle.execution.loop.loop", "treadle.execution.processes.memory", "treadle.hooks.blame", "treadle.io.appending"),
    *(["urllib.parse"] if sys.version_info >= (3, 13) else []),  # earlier, pathlib imports it
    *("treadle.io.remote_contents", "treadle.io.temporary", "treadle.session.missing", "treadle.session.unknown_params"),
}
"""Modules that take time to import."""
ALL = ("load", "clean", "scale", "total", "note")


@pytest.fixture
def mill(tmp_path):
    """A project of five nodes: four files, and `kept` in memory between `clean` and `scale`."""
    root = tmp_path / "mill"
    for name, text in FILES.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.fixture
def runs(treadle, mill):
    """`runs(*flags)`: run the project, and return the nodes that ran, in the order of the pipeline."""

    def run(*flags, way="sequential", code=0, **environment):
        launched = treadle(mill, "run", *_flags(way), *flags, **environment)
        assert launched.wait() == code, launched.output
        newest = _newest(mill)
        return tuple(node.node for node in newest.runs[-1].nodes if node.outcome is Outcome.SUCCEEDED)

    return run


def _newest(root):
    with closing(SQLStore(project_path=root)) as store:
        return store.load(store.list(1)[0].session_id)


def _flags(way):
    if way in ("fork", "spawn"):
        return ("--runner=parallel", f"--runner-params=max_workers=2,start_method={way}")
    return (f"--runner={way}",)


def change(root, name, old, new):
    file = root / name
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    # Python takes compiled code as current if the file has the same size and the same second of modification.
    shutil.rmtree(file.parent / "__pycache__", ignore_errors=True)


def test_files_are_read_once_to_decide(mill, runs):
    """After a run that skipped them, the contents of files are known, and later decisions do not read them again."""
    runs()
    os.utime(mill / "data/page.txt", (1, 1))  # long ago
    assert runs("--skip-unchanged") == ()
    with closing(SQLStore(project_path=mill)) as store:
        first = store.last_successes("mill", None)["note"].outputs
    assert runs("--skip-unchanged") == ()
    with closing(SQLStore(project_path=mill)) as store:
        assert store.last_successes("mill", None)["note"].outputs[0].mtime_ns == 1_000_000_000 == first[0].mtime_ns


def test_a_command_with_nothing_to_do_is_cheap(launch, mill, runs):
    """It imports no executor, loop or scheduler, and nothing that only other flags, a problem or a node that runs needs."""
    runs()
    script = f"""
import sys

before = set(sys.modules)  # coverage, where it measures, has imported some of them already
from treadle.cli.main import main

assert main(["run", "--skip-unchanged"]) == 0
print("NOT NEEDED", sorted({UNNEEDED!r} & (set(sys.modules) - before)))
"""
    launched = launch(script, mill)
    assert launched.wait() == 0, launched.output
    assert "5 up to date" in launched.output
    assert "NOT NEEDED []" in launched.output


@pytest.mark.parametrize("way", ["sequential", "spawn"])
def test_only_what_changed_runs(mill, runs, way):
    """Nothing runs after a run; then what a changed helper, param or file touches, under every runner (failure 19)."""
    assert runs(way=way) == ALL
    assert runs("--skip-unchanged", way=way) == ()
    with closing(SQLStore(project_path=mill)) as store:
        assert [(each.succeeded, each.reused) for each in store.list(2)] == [(0, 5), (5, 0)]
    assert _newest(mill).outcome is Outcome.SUCCEEDED
    assert {node.outcome for node in _newest(mill).runs[-1].nodes} == {Outcome.REUSED}
    change(mill, "src/mill/helpers.py", "number * SCALE", "SCALE * number + 0")
    # `scale` needs a value that `clean` keeps in memory. What it saves is as before, so nothing after it runs.
    assert runs("--skip-unchanged", way=way) == ("clean", "scale")
    assert runs("--skip-unchanged", "--params=limit=9", way=way) == ("clean", "scale", "total", "note")
    assert (mill / "data/page.txt").read_text() == "total 36"
    assert runs("--skip-unchanged", way=way) == ("clean", "scale", "total", "note")
    (mill / "data/source.txt").write_text("1\n2\n8\n")  # of the same size; and the new number is filtered out
    assert runs("--skip-unchanged", way=way) == ("load", "clean", "scale")
    assert runs("--skip-unchanged", way=way) == ()


DISTURBING = """
import os
from pathlib import Path

from treadle import hook_impl


class Disturbing:
    @hook_impl
    def before_dataset_loaded(self, dataset_name):
        if dataset_name == "numbers" and "OTHER_NUMBERS" in os.environ:
            Path("data/numbers.json").write_text(os.environ["OTHER_NUMBERS"])


HOOKS = (Disturbing(),)
"""


@pytest.mark.parametrize("way", ["sequential", "spawn"])
def test_a_node_that_loaded_what_another_run_saved_runs_again(mill, runs, way):
    """The file has the right content before the next run, but the node has seen another one."""
    (mill / "src/mill/settings.py").write_text(DISTURBING)
    numbers = mill / "data/numbers.json"
    runs()
    saved = numbers.read_bytes()
    assert runs(way=way, OTHER_NUMBERS="[3, 4]") == ALL
    assert json.loads(numbers.read_text()) == [3, 4]
    numbers.write_bytes(saved)
    assert runs("--skip-unchanged", way=way) == ("clean", "scale", "total", "note")
    assert runs("--skip-unchanged", way=way) == ()


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_code_that_is_edited_during_a_run_is_not_recorded_as_what_ran(mill, runs, treadle, method):
    """A worker that replaces another one imports the edited files; its nodes run again, also if the edit is undone."""
    runs()
    change(mill, "src/mill/nodes.py", "return [int(", "edit()\n    return [int(")
    nodes, helpers = mill / "src/mill/nodes.py", mill / "src/mill/helpers.py"
    nodes.write_text(
        f"{nodes.read_text()}\n\ndef edit():\n    helpers = Path('src/mill/helpers.py')\n"
        "    helpers.write_text(helpers.read_text().replace('SCALE = 3', 'SCALE = 40'))\n"
    )
    unedited = helpers.read_text()
    params = f"--runner-params=start_method={method},max_workers=1,max_nodes_per_worker=1"
    launched = treadle(mill, "run", "--runner=parallel", params)
    assert launched.wait() == 0, launched.output
    assert "was started after the project's code had been edited" in launched.output
    assert "SCALE = 40" in helpers.read_text()
    helpers.write_text(unedited)
    shutil.rmtree(helpers.parent / "__pycache__", ignore_errors=True)
    assert runs("--skip-unchanged")[:2] == ("clean", "scale")
    assert (mill / "data/page.txt").read_text() == "total 9"


def test_a_node_that_is_renamed_is_another_node(mill, runs):
    """A tag is not a part of what a node depends on; its name is what its last success is found by."""
    assert runs() == ALL
    change(mill, "src/mill/pipeline_registry.py", 'name="note"', 'name="note", tags="x"')
    assert runs("--skip-unchanged") == ()
    change(mill, "src/mill/pipeline_registry.py", 'name="note"', 'name="remark"')
    assert runs("--skip-unchanged") == ("remark",)


def test_edits_of_configuration_and_data(mill, runs):
    """One project, changed step by step; each step lists the nodes that run."""
    runs()
    catalog, params, data = mill / "conf/base/catalog.yml", mill / "conf/base/parameters.yml", mill / "data"
    params.write_text("limit: 5\nunused: 2\n")
    assert runs("--skip-unchanged") == (), "a param that no node uses"
    catalog.write_text(CATALOG.replace("data/sums.json}", "data/sums.json, metadata: {owner: me}}"))
    assert runs("--skip-unchanged") == (), "metadata"
    catalog.write_text(CATALOG.replace("data/sums.json}", "data/sums.json, save_args: {indent: 1}}"))
    assert runs("--skip-unchanged") == ("clean", "scale", "total", "note")[2:], "how a dataset is saved"
    os.utime(data / "source.txt", (1, 1))
    assert runs("--skip-unchanged") == (), "a touched file"
    (data / "page.txt").unlink()
    assert runs("--skip-unchanged") == ("note",), "a missing output"
    (data / "numbers.json").write_text("[1, 2]")
    assert runs("--skip-unchanged") == ("load",), "an output that was changed is made again, as it was"
    assert runs("--skip-unchanged", "--force") == ALL
    (mill / "conf/base/execution.yml").write_text("nodes: {load: {cache: never}, note: {version: 2}}")
    assert runs("--skip-unchanged") == ("load", "note"), "policies"
    assert runs("--skip-unchanged") == ("load",)
    assert runs("--skip-unchanged", "--env=local") == ("load",), "the default environment, by its name"
    (mill / "conf/prod").mkdir()
    assert runs("--skip-unchanged", "--env=prod") == ALL, "each environment has its own last successes"


@pytest.mark.parametrize("way", ["sequential", "spawn"])
def test_a_value_that_is_made_anew_counts_as_changed(mill, runs, treadle, way):
    """`clean` keeps its output in memory; if it runs although nothing has changed, the node after it runs as well."""
    runs(way=way)
    policies = mill / "conf/base/execution.yml"
    policies.write_text("nodes: {clean: {cache: never}}")
    assert runs("--skip-unchanged", way=way) == ("clean", "scale")
    assert runs("--skip-unchanged", way=way) == ("clean", "scale"), "it may make another value each time"
    policies.write_text("nodes: {clean: {max_age: 0.001}}")
    assert runs("--skip-unchanged", way=way) == ("clean", "scale")
    policies.unlink()
    assert runs("--skip-unchanged", way=way) == ()
    assert treadle(mill, "invalidate", "clean").wait() == 0
    change(mill, "src/mill/helpers.py", "return number * SCALE", "raise ValueError(number)")
    assert runs("--skip-unchanged", way=way, code=1) == ("clean",)
    change(mill, "src/mill/helpers.py", "raise ValueError(number)", "return number * SCALE")
    assert runs("--skip-unchanged", way=way) == ("clean", "scale"), "the new value has not been used yet"
    assert runs("--skip-unchanged", way=way) == ()
    change(mill, "src/mill/helpers.py", "SCALE = 3", "SCALE = 4")
    assert runs("--skip-unchanged", way=way) == ("clean", "scale", "total", "note")
    assert runs("--skip-unchanged", way=way) == (), "a value that was only needed again is as before"


def test_what_cannot_be_compared_counts_for_the_nodes_after_it(mill, runs):
    """A node that always runs, because of a secret or of its code, may make another value in memory each time."""
    runs()
    change(mill, "src/mill/nodes.py", "def clean(", "import itertools\n\nCOUNT = itertools.count()\n\n\ndef clean(")
    change(mill, "src/mill/nodes.py", "number <= limit]", "number <= limit or not next(COUNT)]")
    for _ in range(2):
        assert runs("--skip-unchanged")[:2] == ("clean", "scale")


@pytest.mark.parametrize("entry", ["", "numbers: {type: mill.table.Table, place: data/table.json}\n"], ids=["memory", "table"])
def test_a_resumed_run_takes_a_change_over_data_that_cannot_be_verified(mill, runs, treadle, entry):
    """`load` reads a table, and makes a value in memory or another table; `clean` makes a value, `scale` saves a file."""
    (mill / "src/mill/table.py").write_text(
        "import json\nfrom pathlib import Path\n\nfrom treadle.io import Dataset\n\n\nclass Table(Dataset):\n"
        "    def __init__(self, place):\n        self.place = Path(place)\n\n"
        "    def load(self):\n        return json.loads(self.place.read_text())\n\n"
        "    def save(self, data):\n        self.place.write_text(json.dumps(data))\n"
    )
    (mill / "data/source.json").write_text('"1\\n2"')
    (mill / "conf/base/catalog.yml").write_text(
        f"source: {{type: mill.table.Table, place: data/source.json}}\n{entry}{CATALOG.partition('json}')[2]}"
    )
    change(mill, "src/mill/nodes.py", "def note(total):", "def note(total):\n    raise ValueError(total)")
    assert runs(code=1) == ("load", "clean", "scale", "total")
    change(mill, "src/mill/nodes.py", "    raise ValueError(total)\n", "")
    change(mill, "src/mill/nodes.py", "int(line)", "int(line) + 1")
    assert runs("--resume") == ("load", "clean", "scale", "total", "note")
    assert (mill / "data/page.txt").read_text() == "total 15"


def test_a_class_of_a_pickled_object_counts_for_the_nodes_that_load_it(mill, runs):
    """The pickle's bytes stay the same when a method changes; the node that calls the method runs again."""
    package = mill / "src/mill"
    (package / "model.py").write_text("class Model:\n    def predict(self):\n        return 'one'\n")
    (package / "steps.py").write_text(
        "from mill.model import Model\n\n\ndef fit():\n    return Model()\n\n\ndef use(model):\n    return model.predict()\n"
    )
    (package / "pipeline_registry.py").write_text(
        "from treadle import Pipeline, node\nfrom mill.steps import fit, use\n\n\ndef register_pipelines():\n"
        "    return {'__default__': Pipeline([node(fit, None, 'model', name='fit'), node(use, 'model', 'page', name='use')])}\n"
    )
    (mill / "conf/base/catalog.yml").write_text(
        f"{CATALOG}\nmodel: {{type: pickle.PickleDataset, filepath: data/model.pickle}}\n"
    )
    assert runs() == ("fit", "use")
    assert runs("--skip-unchanged") == ()
    change(mill, "src/mill/model.py", "'one'", "'two'")
    assert runs("--skip-unchanged") == ("fit", "use")
    assert (mill / "data/page.txt").read_text() == "two"
    # A run of the second node alone sees the change as well.
    assert runs("--skip-unchanged", "--nodes=use") == ()
    change(mill, "src/mill/model.py", "'two'", "'three'")
    assert runs("--skip-unchanged", "--nodes=use") == ("use",)


def test_a_dataset_with_two_formats_is_one_content(mill, runs):
    """`sums@text` is saved and `sums@json` is loaded: the reader depends on the content of the file, under both names."""
    change(
        mill,
        "conf/base/catalog.yml",
        "sums: {type",
        "sums@text: {type: text.TextDataset, filepath: data/sums.json}\nsums@json: {type",
    )
    change(mill, "src/mill/nodes.py", 'return {"total": sum(numbers)}', "return '{\"total\": %d}' % sum(numbers)")
    change(mill, "src/mill/pipeline_registry.py", '"sums", name="total"', '"sums@text", name="total"')
    change(mill, "src/mill/pipeline_registry.py", '"sums", "page"', '"sums@json", "page"')
    assert runs() == ALL
    assert runs("--skip-unchanged") == ()
    change(mill, "src/mill/nodes.py", "sum(numbers)", "(0 + sum(numbers))")
    assert runs("--skip-unchanged") == ("total",)
    assert runs("--skip-unchanged", "--params=limit=1") == ("clean", "scale", "total", "note")


def test_a_forced_node_must_exist(mill, runs, launch):
    """A name in `force` that no node has is an error, with the name that was meant."""
    runs()
    script = """
    from pathlib import Path
    from treadle import Session, bootstrap_project
    bootstrap_project(Path.cwd())
    with Session.create() as session:
        print(sorted(session.run(skip_unchanged=True, force=["total"])))
    with Session.create() as session:
        session.run(skip_unchanged=True, force="totl")
    """
    launched = launch("\n".join(line[4:] for line in script.splitlines()), mill)
    assert launched.wait() == 1
    assert "['page']" in launched.output
    assert "force= names 'totl', which is not a node of this run. Did you mean 'total'?" in launched.output


def test_a_preview_has_the_seed_of_the_run(mill, runs, treadle):
    """The seed is a part of what nodes depend on, in the run and in its dry run."""
    assert runs("--seed=5") == ALL
    same = treadle(mill, "run", "--skip-unchanged", "--dry-run", "--seed=5")
    assert same.wait() == 0, same.output
    assert "0 of 5 nodes will run" in same.output
    other = treadle(mill, "run", "--skip-unchanged", "--dry-run", "--seed=6")
    assert other.wait() == 0
    assert "seed: 5 → 6" in other.output


def test_status_and_explain(mill, runs, treadle):
    runs()
    change(mill, "src/mill/nodes.py", "sum(numbers)", "0 + sum(numbers)")
    status = treadle(mill, "status")
    assert status.wait() == 0, status.output
    assert "function mill.nodes.total changed" in status.output
    assert "1 of 5 nodes will run" in status.output
    answer = treadle(mill, "explain", "total", "--params=limit=6", "--json")
    assert answer.wait() == 0, answer.output
    facts = json.loads(answer.output)
    assert facts["state"] == "runs"
    assert "input scaled" in facts["parts"]
    explained = treadle(mill, "explain", "clean", "--params=limit=6")
    assert explained.wait() == 0
    assert "param limit: 5 → 6" in explained.output
    (mill / "data/source.txt").rename(mill / "elsewhere.txt")
    missing = treadle(mill, "status")
    assert missing.wait() == 0
    assert "input source does not exist" in missing.output
    (mill / "elsewhere.txt").rename(mill / "data/source.txt")
    wrong = treadle(mill, "explain", "totall")
    assert wrong.wait() != 0
    assert "total" in wrong.output
    dry = treadle(mill, "run", "--skip-unchanged", "--dry-run")
    assert dry.wait() == 0
    assert "1 of 5 nodes will run" in dry.output
    assert _newest(mill).outcome is Outcome.SUCCEEDED
    everything = treadle(mill, "run", "--dry-run", "--json")
    assert everything.wait() == 0
    assert [(each["state"], each["causes"]) for each in json.loads(everything.output)["nodes"]] == [("runs", [])] * 5
    accepted = treadle(mill, "accept", "total", "--json")
    assert accepted.wait() == 0
    assert json.loads(accepted.output) == {"accepted": ["total"]}
    assert runs("--skip-unchanged") == ()
    for _ in range(2):
        invalidated = treadle(mill, "invalidate", "total", "--downstream", "--json")
        assert invalidated.wait() == 0
        assert json.loads(invalidated.output) == {"invalidated": ["total", "note"]}
    assert runs("--skip-unchanged") == ("total", "note")


NOT_NEEDED_WITHOUT_WORK = {
    *("sqlalchemy", "loky", "cloudpickle", "rich", "psutil", "distributed", "asyncio"),
    "treadle.execution.executors.loky.recycling",
    "treadle.execution.loop.loop",
    "treadle.fingerprint.arrays",
    "treadle.observe.store.live",
    "treadle.pipeline.description",
    "treadle.pipeline.grouping",
    "treadle.session.value_files",
}


@pytest.mark.parametrize("way", ["sequential", "spawn"])
def test_a_run_without_work_imports_little(mill, runs, treadle, way):
    """No driver of servers, no pool and no display, whichever runner is chosen; its record is complete all the same."""
    runs()
    launched = treadle(mill, "run", "--skip-unchanged", *_flags(way), PYTHONPROFILEIMPORTTIME="1")
    assert launched.wait() == 0, launched.output
    imported = {line.rpartition("|")[2].strip() for line in launched.output.splitlines() if line.startswith("import time:")}
    assert "treadle.session.creation" in imported
    assert imported & NOT_NEEDED_WITHOUT_WORK == set()
    record = _newest(mill)
    assert (record.outcome, record.runs[0].node_count) == (Outcome.SUCCEEDED, 5)
    assert [node.outcome for node in record.runs[0].nodes] == [Outcome.REUSED] * 5


LEAVES_A_FILE_OPEN = """
from treadle import hook_impl


class Notes:
    def __init__(self):
        self.file, self.own = open("notes.txt", "w"), self

    @hook_impl
    def after_pipeline_run(self):
        self.file.write("done")


HOOKS = (Notes(),)
"""


def test_a_file_that_a_hook_leaves_open_is_complete(mill, runs, treadle):
    """At exit the collector closes what the project has left open, although it leaves out Treadle's modules."""
    (mill / "src/mill/settings.py").write_text(LEAVES_A_FILE_OPEN)
    assert runs() == ALL
    assert (mill / "notes.txt").read_text() == "done"
    assert runs("--skip-unchanged") == ()
    assert (mill / "notes.txt").read_text() == "done"


def test_with_the_store_of_a_newer_treadle_every_node_runs(mill, runs, treadle):
    """Nothing is decided, a warning says why, and the run succeeds; an error at the end says that it is not recorded."""
    runs()
    with closing(sqlite3.connect(mill / ".treadle/sessions.db")) as connection, connection:
        connection.execute("INSERT INTO treadle_migrations VALUES (1000, 'future', 0)")
    (mill / "data/page.txt").unlink()
    started = treadle(mill, "run", "--skip-unchanged")
    assert started.wait() == 0, started.output
    assert started.output.count("No node is skipped, because") == 1, started.output
    assert re.search(r"ERROR .* The record of session .* could not be saved: .* was made by a newer Treadle", started.output)
    assert "Finished 5 of 5 nodes" in started.output
    assert (mill / "data/page.txt").exists()


def test_stored_values_are_loaded_instead_of_made_again(mill, runs, treadle):
    """`clean` keeps its output in memory, and stores it: a change after it does not run it again, under any runner."""
    (mill / "conf/base/execution.yml").write_text("nodes: {clean: {cache: store}}")
    assert runs() == ALL
    assert runs("--skip-unchanged") == ()
    for number, way in enumerate(("spawn", "sequential", "fork", "thread")):
        change(mill, "src/mill/helpers.py", f"SCALE = {number + 3}", f"SCALE = {number + 4}")
        assert runs("--skip-unchanged", way=way) == ("scale", "total", "note")
        assert (mill / "data/page.txt").read_text() == f"total {3 * (number + 4)}"
    assert runs("--skip-unchanged", "--params=limit=9", way="spawn") == ("clean", "scale", "total", "note")
    assert (mill / "data/page.txt").read_text() == "total 84"
    folder = mill / ".treadle/cache"
    assert folder.stat().st_mode & 0o777 == 0o700
    listed = treadle(mill, "cache", "list", "--json")
    assert listed.wait() == 0
    assert [each["dataset"] for each in json.loads(listed.output)] == ["kept", "kept"]
    newest = max(folder.iterdir(), key=lambda file: file.stat().st_mtime_ns)
    newest.write_bytes(newest.read_bytes() + b"x")  # not what the run wrote: it is not loaded
    change(mill, "src/mill/helpers.py", "SCALE = 7", "SCALE = 8")
    assert runs("--skip-unchanged", "--params=limit=9") == ("clean", "scale", "total", "note")
    removed = treadle(mill, "cache", "gc", "--max-size=0")
    assert removed.wait() == 0
    assert "3 values" in removed.output
    assert list(folder.iterdir()) == []
