"""The comparison of two results of the benchmarks."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "compare.py"


def result(**seconds):
    """A result with these seconds by engine, each with four repeats."""
    rows = [
        {"workload": "6 nodes", "engine": engine.replace("_", " "), "method": "fork", "seconds": [each] * 4, "median": each}
        for engine, each in seconds.items()
    ]
    return {"measurements": rows}


@pytest.fixture(scope="module")
def compare():
    spec = importlib.util.spec_from_file_location("compared_benchmarks", SCRIPT)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.compare


def test_a_slower_machine_makes_no_row_worse(compare):
    """Treadle takes twice as long, and so does joblib."""
    (row,), missing = compare(result(treadle_parallel=1.0, joblib=3.0), result(treadle_parallel=2.0, joblib=6.0))
    assert (row.ratio, row.is_worse(0.05), missing) == (1.0, False, [])


def test_a_row_is_worse_beyond_the_tolerance(compare):
    """5 % slower than before, relative to the other engines."""
    before = result(treadle_parallel=1.0, joblib=3.0)
    assert compare(before, result(treadle_parallel=1.06, joblib=3.0))[0][0].is_worse(0.05)
    assert not compare(before, result(treadle_parallel=1.04, joblib=3.0))[0][0].is_worse(0.05)


def test_noise_makes_no_row_worse(compare):
    """The repeats differ by more than the two medians do."""
    after = result(treadle_parallel=1.1)
    after["measurements"][0]["seconds"] = [0.9, 1.0, 1.2, 1.3]
    (row,), _missing = compare(result(treadle_parallel=1.0), after)
    assert row.ratio == pytest.approx(1.1)
    assert not row.is_worse(0.05)


def test_the_command_names_what_got_worse(tmp_path):
    """It prints the rows and ends with code 1 if one is worse or missing."""
    files = []
    for name, content in (("a", result(treadle_parallel=1.0, treadle_dask=1.0)), ("b", result(treadle_parallel=1.5))):
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(json.dumps(content))
    ended = subprocess.run([sys.executable, SCRIPT, *files], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "1.50 ×" in ended.stdout
    assert "6 nodes, treadle parallel, fork  worse" in ended.stdout
    assert "missing: 6 nodes, treadle dask, fork" in ended.stdout
    assert subprocess.run([sys.executable, SCRIPT, files[0], files[0]], capture_output=True, check=False).returncode == 0
