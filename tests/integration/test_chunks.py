"""Files that are read and written in chunks, under every runner and start method."""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import pytest

from treadle import Catalog, Pipeline, node
from treadle.errors import NodeError

FRAME = pd.DataFrame({"number": range(8), "text": list("abcdefgh")})


def _catalog(folder, **arguments):
    FRAME.to_csv(folder / "in.csv", index=False)
    return Catalog.from_config(
        {
            "chunks": {"type": "pandas.CSVDataset", "filepath": str(folder / "in.csv"), "load_args": {"chunksize": 3}},
            "doubled": {
                "type": "pandas.CSVDataset",
                "filepath": str(folder / "out.csv"),
                "save_args": {"mode": "a"},
                **arguments,
            },
            "log": {"type": "text.TextDataset", "filepath": str(folder / "log.txt"), "save_args": {"mode": "a"}},
        }
    )


def _double(chunks):
    for number, chunk in enumerate(chunks):
        yield chunk.assign(number=2 * chunk["number"]), f"chunk {number}\n"


def _fail_late(chunks):
    yield from _double(chunks)
    raise ValueError("after the last chunk")


def test_a_generator_node_reads_and_writes_chunks(any_runner, tmp_path):
    """The input is never whole in memory; the output has each chunk once, under one header, and a consumer gets all of it."""
    pipeline = Pipeline(
        [
            node(_double, "chunks", ["doubled", "log"], name="double"),
            node(lambda doubled, log: (len(doubled), log), ["doubled", "log"], "seen", name="look"),
        ]
    )
    result = any_runner.run(pipeline, _catalog(tmp_path))
    assert result["seen"] == (8, "chunk 0\nchunk 1\nchunk 2\n")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "out.csv"), FRAME.assign(number=2 * FRAME["number"]))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.csv", "log.txt", "out.csv"]


def test_a_second_run_appends(any_runner, tmp_path):
    """To what the file has already; with versions, each run begins a file of its own."""
    pipeline = Pipeline([node(_double, "chunks", ["doubled", "log"], name="double")])
    for _ in range(2):
        any_runner.run(pipeline, _catalog(tmp_path))
    assert pd.read_csv(tmp_path / "out.csv")["number"].tolist() == [*range(0, 16, 2)] * 2
    (tmp_path / "out.csv").unlink()
    for _ in range(2):
        any_runner.run(pipeline, _catalog(tmp_path, versioned=True))
    assert [len(pd.read_csv(file)) for file in (tmp_path / "out.csv").glob("*/out.csv")] == [8, 8]


def test_an_attempt_that_fails_appends_nothing(any_runner, tmp_path):
    """However many chunks it had saved: the next attempt does not double them."""
    catalog = _catalog(tmp_path)
    failing = Pipeline([node(_fail_late, "chunks", ["doubled", "log"], name="double")])
    with pytest.raises(NodeError, match="after the last chunk"):
        any_runner.run(failing, catalog)
    assert [file.name for file in tmp_path.iterdir()] == ["in.csv"]
    any_runner.run(Pipeline([node(_double, "chunks", ["doubled", "log"], name="double")]), catalog)
    assert len(pd.read_csv(tmp_path / "out.csv")) == 8


def test_the_next_run_removes_what_a_killed_one_left(any_runner, tmp_path):
    """The temporary files of a process that was killed while it saved."""
    catalog = _catalog(tmp_path)
    script = (
        "import os, signal, sys\n"
        "from treadle.io.datasets.text import TextDataset\n"
        "with TextDataset(sys.argv[1]).appending() as save:\n"
        "    save('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    for name in ("out.csv", "log.txt"):
        subprocess.run([sys.executable, "-c", script, str(tmp_path / name)], check=False)
    assert len(list(tmp_path.glob(".*"))) == 2
    any_runner.run(Pipeline([node(_double, "chunks", ["doubled", "log"], name="double")]), catalog)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.csv", "log.txt", "out.csv"]


def test_a_reader_is_read_in_the_node_that_loads_it(any_runner, tmp_path):
    """A plain node can iterate over the reader too, and leave it half read."""
    pipeline = Pipeline(
        [
            node(lambda chunks: sum(len(chunk) for chunk in chunks), "chunks", "all", name="all"),
            node(lambda chunks: len(next(chunks)), "chunks", "first", name="first"),
        ]
    )
    result = any_runner.run(pipeline, _catalog(tmp_path))
    assert (result["all"], result["first"]) == (8, 3)
