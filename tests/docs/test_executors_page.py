"""The page on executors names what exists: capabilities, messages, and the code of its example."""

from __future__ import annotations

import re
from pathlib import Path

from treadle.execution.executors.protocol import Capabilities

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "executors.md").read_text()


def test_each_capability_is_explained():
    """The table of capabilities has each flag, and no other."""
    table = PAGE.partition("| flag | meaning |")[2].partition("\n\n")[0]
    flags = set(Capabilities._fields) - {"label"}
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == flags


def test_the_example_is_the_test_backend():
    """The snippets of the example are the backend's own lines, which pass the contract, and its file has at most 100 of them."""
    backend = (ROOT / "tests" / "integration" / "subprocess_pool.py").read_text()
    lines = [line for line in backend.splitlines() if line.strip()]
    assert len(lines) <= 100
    shown = "".join(re.findall(r"```text\n(serve.*?|class SubprocessRunner.*?)```", PAGE, re.DOTALL))
    for line in filter(str.strip, shown.splitlines()):
        words = line.strip().replace("Connection(descriptor), number", "Connection(int(sys.argv[2])), int(sys.argv[1])")
        assert words in backend, line
