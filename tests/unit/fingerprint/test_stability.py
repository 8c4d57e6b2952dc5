"""Equal code and values have equal digests in every process: whatever the path, the hash seed and the version of Python are."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location("edited_project", Path(__file__).with_name("edited_project.py"))
PROJECT = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(PROJECT)

MORE = '''\
import enum
import pathlib
import re

HERE = pathlib.Path(__file__).parent
DATA = str(HERE.parents[1]) + "/data"
NAMES = {"b", "a", ("c", 1)} | {f"name{number}" for number in range(50)}
PATTERN = re.compile("é+")


class Color(enum.Enum):
    RED = "rot"


def many(table, /, *rest, key="ä", **options):
    """Everything that syntax trees have."""
    if (size := len(table)) > 2 and not rest:
        raise ValueError(f"{size!r:>{10}} {key=} {{}} {HERE}" f"{DATA}" "end") from None
    with open(DATA) as one, open(str(HERE)) as two:
        lines = [line for line in one if line for part in two]
    try:
        value = {**options, "a": -1.5e10, "b": 1j, **{str(each): each for each in NAMES}}
    except (KeyError, ValueError) as exc:
        del exc
    else:
        value = {"x": ...}
    finally:
        pass
    match value:
        case {"a": [1, *others], **more} if others:
            return more
        case Color.RED | None | "text":
            return PATTERN.sub("", b"\\xff".decode("latin-1"))
        case _:
            x: int = yield lines[1:2, ..., ::3]
    async def inner(a, b=lambda c: c):
        async for each in a:
            await each
        return a @ b
    global TOTAL
    TOTAL = x if not value else (yield from inner)
    while True:
        assert TOTAL, "none"
        continue
'''

SCRIPT = """
import json, sys
from treadle.fingerprint import Fingerprinter
import shop.many, shop.pipeline_registry
nodes = shop.pipeline_registry.register_pipelines()["__default__"].nodes
fingerprinter = Fingerprinter("shop")
found = {node.name: fingerprinter.of(node.func) for node in nodes}
found["many"] = fingerprinter.of(shop.many.many)
print(json.dumps({name: [each.digest, dict(each.parts), each.unknown] for name, each in found.items()}))
"""

GOLDEN = {
    "clean": "6b85467d6164b5c28bb62694e9414379",
    "price": "e1bc1f9428c55183c2a5f1c179f88426",
    "fit": "e113d8ad53b39f0c189007588542c94b",
    "report": "78ef0ef45f9aa9004dbe9092262dde49",
    "scale": "a9b2406d026f7db15b7138a6fcaa5aa0",
    "add": "0190ab3c285a1ed5a7d94b4dd939ca0a",
    "pick": "90d018d41807b56c82a1cbf47d857e51",
    "shout": "0ba363599c9fa6296125d13833f2d18f",
    "many": "f835721865195b280d07f3d3969f1c3a",
}


def fingerprints(checkout, seed):
    folder = checkout.folder
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def checked_out(checkout_class):
    """`checked_out(folder)`: a checkout of the project, with one more module."""
    return lambda folder: checkout_class(folder, {**PROJECT.FILES, "src/shop/many.py": MORE})


def test_neither_path_nor_hash_seed_counts(tmp_path, checked_out):
    """Two processes with other hash seeds, in two checkouts at other paths, compute the same."""
    one = fingerprints(checked_out(tmp_path / "one"), "1")
    other = fingerprints(checked_out(tmp_path / "other" / "deeper"), "2")
    assert one == other
    assert one["many"][1]["global shop.many.HERE"] == "Path('<project>/src/shop')"
    assert one["many"][1]["global shop.many.DATA"] == "'<project>/data'"


def test_the_version_of_python_does_not_count(tmp_path, checked_out):
    """The digests are these under every version of Python and of Treadle: with others, every node of every project runs again."""
    found = fingerprints(checked_out(tmp_path), "0")
    assert {name: each[0] for name, each in found.items()} == GOLDEN
