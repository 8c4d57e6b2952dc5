"""What the nodes of a run logged, as far as a page has room for it: failed nodes first, then those with warnings.

State: none. Neighbours: `treadle.observe.store.log_lines` has the lines, `payload.py` and `sections.py` show them.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from treadle.events import Outcome
from treadle.observe.store.log_lines import log_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from treadle.observe.store import RunRecord
    from treadle.observe.store.log_lines import LogLine

_PAGE_CHARACTERS = 300_000
"""Characters of log lines that a page has at most."""

_NODE_CHARACTERS = 12_000
"""Characters of the log of a node that a page has at most: half of them from its beginning."""

_LAST_CHARACTERS = 1500
"""Characters of the log of a failed node that are shown beside its traceback."""

_SERIOUS = frozenset({"WARNING", "ERROR", "CRITICAL"})


def lines_by_node(run: RunRecord) -> dict[str, list[LogLine]]:
    """Return the log lines of each node that has logged something, in order.

    Args:
        run: the run.
    """
    found: defaultdict[str, list[LogLine]] = defaultdict(list)
    if run.log:
        for line in log_lines(run.log):
            if line.node is not None:
                found[line.node].append(line)
    return found


def logs_payload(run: RunRecord, names: Sequence[str]) -> dict[str, Any] | None:
    """Return the log lines for the page, by the index of their node; None if nodes logged nothing.

    Args:
        run: the run.
        names: the nodes that the page shows.

    Returns:
        `lines`: (number of the attempt, text) of each line; `missing`: the number of lines for which there was no room.
    """
    by_node = lines_by_node(run)
    if not by_node:
        return None
    places = {name: index for index, name in enumerate(names)}
    failed = {node.node for node in run.nodes if node.outcome is Outcome.FAILED}
    serious = {name for name, lines in by_node.items() if any(line.level in _SERIOUS for line in lines)}
    order = sorted(
        (name for name in by_node if name in places), key=lambda name: (name not in failed, name not in serious, places[name])
    )
    shown: dict[int, list[tuple[int, str]]] = {}
    missing: dict[int, int] = {}
    room = _PAGE_CHARACTERS
    for name in order:
        lines = by_node[name]
        texts = [text_of(line, run.started) for line in lines]
        first, last = _fitting(texts, min(room, _NODE_CHARACTERS))
        kept = [*range(first), *range(len(texts) - last, len(texts))]
        room -= sum(len(texts[index]) for index in kept)
        shown[places[name]] = [(lines[index].attempt or 1, texts[index]) for index in kept]
        if first + last < len(texts):
            missing[places[name]] = len(texts) - first - last
    return {"lines": shown, "missing": missing}


def last_lines(lines: Sequence[LogLine], start: float) -> str:
    """Return the last log lines of a node as text.

    Args:
        lines: its lines.
        start: when the run started.
    """
    texts = [text_of(line, start) for line in lines]
    count = sum(_fitting(texts, _LAST_CHARACTERS, share=0.0))
    return "\n".join(texts[len(texts) - count :])


def text_of(line: LogLine, start: float) -> str:
    """Return a log line as text, with its time after the start of the run.

    Args:
        line: the line.
        start: when the run started.
    """
    if line.left_out:
        return f"… {line.left_out:,} more lines are not recorded"
    return f"+{line.at - start:.3f} s {line.level} {line.logger}: {line.text}"


def _fitting(texts: Sequence[str], room: int, share: float = 0.5) -> tuple[int, int]:
    """Return how many texts fit from the beginning and from the end; of the room, a share is for the beginning."""
    if sum(map(len, texts)) <= room:
        return len(texts), 0
    first = last = 0
    left = room * share
    while first < len(texts) and len(texts[first]) <= left:
        left -= len(texts[first])
        first += 1
    left += room * (1 - share)
    while first + last < len(texts) and len(texts[-1 - last]) <= left:
        left -= len(texts[-1 - last])
        last += 1
    return first, last


def failure_logs(run: RunRecord | None) -> Mapping[str, str]:
    """Return the last log lines of each node that failed, as text.

    Args:
        run: the run; None if nothing ran.
    """
    if run is None or not run.log:
        return {}
    failed = {node.node for node in run.nodes if node.outcome is Outcome.FAILED}
    return {name: last_lines(lines, run.started) for name, lines in lines_by_node(run).items() if name in failed}
