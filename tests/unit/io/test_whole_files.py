"""Files are whole or as they were before, whatever happens to the process that saves them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from treadle.io.datasets.text import TextDataset
from treadle.io.temporary import remove_leftovers

DATASETS = """
import os, signal, sys
from treadle.io.datasets.cached import CachedDataset
from treadle.io.datasets.incremental import IncrementalDataset
from treadle.io.datasets.partitioned import PartitionedDataset
from treadle.io.datasets.text import TextDataset

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

class Killed(TextDataset):
    def write(self, file, data):
        super().write(file, data)
        if data == "kill":
            file.flush()
            kill()

path = sys.argv[1]
"""

KILLS = {
    "one": "Killed(path).save('kill')",
    "cached": "CachedDataset(Killed(path)).save('kill')",
    "appended": (
        "with Killed(path, save_args={'mode': 'a'}).appending() as save:\n    for text in ('more', 'kill'):\n        save(text)"
    ),
    "versioned": "Killed(path, version=(None, 'v2')).save('kill')",
    "partitions": "PartitionedDataset(path, Killed).save({'a': 'new', 'c/d': 'new', 'e': 'kill'})",
    "overwritten": "PartitionedDataset(path, Killed, overwrite=True).save({'c': 'new', 'd': kill})",
    "incremental": "IncrementalDataset(path, Killed).save({'a': 'new', 'e': 'kill'})",
}

FULL_DISK = """
import json, resource, signal
from pathlib import Path
import pandas as pd
from treadle.io import Catalog

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
noise = "".join(chr(33 + i * i % 89 * (i % 7) % 89) for i in range(100_000))
frame = pd.DataFrame({"a": range(100_000), "b": [str(i * i % 7919) for i in range(100_000)]})
small = pd.DataFrame({"a": [1]})
text = {"type": "text.TextDataset"}
kinds = {
    "x.txt": (text, "old", noise),
    "x.json": ({"type": "json.JSONDataset"}, [1], [noise]),
    "x.yml": ({"type": "yaml.YAMLDataset"}, [1], [noise]),
    "x.pkl": ({"type": "pickle.PickleDataset"}, [1], [noise]),
    "x.csv": ({"type": "pandas.CSVDataset"}, small, frame),
    "x.csv.gz": ({"type": "pandas.CSVDataset"}, small, frame),
    "x.parquet": ({"type": "pandas.ParquetDataset"}, small, frame),
    "x.xlsx": ({"type": "pandas.ExcelDataset"}, small, frame[:9000]),
    "append.txt": ({**text, "save_args": {"mode": "a"}}, "old", noise),
    "versioned.txt": ({**text, "versioned": True}, "old", noise),
    "parts": ({"type": "partitions.PartitionedDataset", "dataset": "text.TextDataset"}, {"a": "1"}, {"a": "2", "b": noise}),
}
entries = {name: {**entry, "path" if name == "parts" else "filepath": name} for name, (entry, _, _) in kinds.items()}
contents = lambda: {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}
raised = {}
for name, (_, old, new) in kinds.items():
    Catalog.from_config(entries, save_version="v1").save(name, old)
before = contents()
for name, (_, old, new) in kinds.items():
    try:
        Catalog.from_config(entries, save_version="v2").save(name, new)
    except Exception as exc:
        raised[name] = "too large" in str(exc)
print(json.dumps({"raised": raised, "unchanged": contents() == before}))
"""

RACE = """
import sys
from treadle.io.datasets.partitioned import PartitionedDataset
letter = sys.argv[2]
sys.stdin.readline()
names = ("a", "b/c", "d" + letter)
for _ in range(50):
    PartitionedDataset(sys.argv[1], "text.TextDataset", overwrite=True).save({name: letter * 1000 for name in names})
"""


def run(code, *arguments, **more):
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], check=False, capture_output=True, text=True, **more)


def files_in(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("kind", KILLS)
def test_a_process_that_is_killed_while_it_saves(tmp_path, kind):
    """What was there before stays, and the next run removes what else is left."""
    path = tmp_path / "x"
    if kind == "versioned":
        TextDataset(path, version=(None, "v1")).save("old")
    elif kind in ("partitions", "overwritten", "incremental"):
        for name in "ab":
            TextDataset(path / name).save("old")
    else:
        path.write_text("old")
    before = files_in(tmp_path)
    killed = run(f"{DATASETS}{KILLS[kind]}", path)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert files_in(tmp_path) != before
    assert remove_leftovers([str(path)])
    assert files_in(tmp_path) == before


def test_a_full_disk(tmp_path):
    """The error of each dataset is raised, its file stays as it was, and nothing else is left."""
    done = run(FULL_DISK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert all(found["raised"].values()), found
    assert len(found["raised"]) == 11
    assert found["unchanged"]


def test_folders_that_two_processes_save_at_once(tmp_path):
    """One of the two remains, whole."""
    processes = [
        subprocess.Popen([sys.executable, "-c", RACE, str(tmp_path), letter], stdin=subprocess.PIPE, text=True) for letter in "xy"
    ]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.stdin.close()
        assert process.wait(60) == 0
    found = files_in(tmp_path)
    (letter,) = set("".join(found.values()))
    assert found == dict.fromkeys(("a", "b/c", f"d{letter}"), letter * 1000)
