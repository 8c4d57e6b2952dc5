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
    "clean": "d7430388633c660e3342eeff9e69bdc6",
    "price": "bc282a7cf492eb1934f3367fee78b154",
    "fit": "24cdf54c0725f97414f16c0b10a0893b",
    "report": "b0842e69ade8d458f83fd1804903929e",
    "scale": "621720d7acfc00a56c7a81bab09a30d9",
    "add": "9af5bdb9354b5925fdc92e13731b0646",
    "pick": "d0ecfe8cf89cec25ce35e00bb77f0f5c",
    "shout": "abcf9b8f0c7810257c320c46cb845dd4",
    "many": "7f07b1c08fcc6f91b60eb2f69274f050",
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
