"""Which nodes make what is missing."""

from __future__ import annotations

import pytest

from treadle.pipeline import Pipeline, node
from treadle.session.missing import missing_nodes


def make(name: str, inputs: list[str], outputs: list[str]):
    """Make a node of any shape."""
    return node(lambda *args: args, inputs or None, outputs or None, name=name)


#   a -> [stored] -> b -> memory -> c -> [report]
#                      \-> d -> [plot]
PIPELINE = Pipeline(
    [
        make("a", ["raw"], ["stored"]),
        make("b", ["stored"], ["memory"]),
        make("c", ["memory", "params:x"], ["report"]),
        make("d", ["memory"], ["plot"]),
        make("e", ["plot"], []),
        make("f", ["plot"], ["free"]),
    ]
)
PERSISTENT = {"raw", "stored", "report", "plot"}


@pytest.mark.parametrize(
    ("existing", "nodes"),
    [
        (PERSISTENT, ()),
        ({"raw", "stored", "plot"}, ("b", "c")),
        ({"raw", "stored"}, ("b", "c", "d")),
        ({"raw", "report", "plot"}, ("a",)),
        ({"raw"}, ("a", "b", "c", "d")),
    ],
)
def test_what_is_missing_is_made_from_what_exists(existing: set[str], nodes: tuple[str, ...]) -> None:
    """A node is needed for its own missing output, or for a value that was only in memory."""
    assert missing_nodes(PIPELINE, persists=PERSISTENT.__contains__, exists=existing.__contains__) == nodes


def test_transcoded_names_are_one_dataset() -> None:
    """What is saved as one kind and loaded as another is the same data."""
    pipeline = Pipeline([make("a", [], ["t@one"]), make("b", ["t@two"], ["out"])])
    assert missing_nodes(pipeline, persists={"out"}.__contains__, exists=lambda _: False) == ("a", "b")
    assert missing_nodes(pipeline, persists={"out", "t@one"}.__contains__, exists={"t@one"}.__contains__) == ("b",)


def test_a_long_chain_is_linear() -> None:
    """Five thousand nodes in memory are walked without recursion."""
    chain = Pipeline([make(f"n{i}", [f"d{i}"], [f"d{i + 1}"]) for i in range(5000)])
    assert len(missing_nodes(chain, persists={"d5000"}.__contains__, exists=lambda _: False)) == 5000
