"""Compare two results of `run.py`, and name the rows of Treadle that got worse.

python benchmarks/compare.py BEFORE/benchmarks.json AFTER/benchmarks.json

The machine may have been faster or slower the second time, so each ratio is divided by that of the other engines that both
results have: the median of theirs for the same work, or of all work if there is none. A row is worse if its ratio is above the
tolerance and above the spread of its repeats. It ends with code 1 if a row is worse or is missing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OURS = "treadle"
QUARTERS = 4


@dataclass(frozen=True, slots=True)
class Row:
    """One row of Treadle in both results.

    Attributes:
        name: the work, the engine and its start method.
        before, after: median seconds.
        machine: how many times as long the other engines took for the same work the second time.
        spread: the interquartile ranges of the repeats of both, relative to their medians, added.
    """

    name: str
    before: float
    after: float
    machine: float
    spread: float

    @property
    def ratio(self) -> float:
        """How many times as long it takes now, on a machine as fast as before."""
        return self.after / self.before / self.machine

    def is_worse(self, tolerance: float) -> bool:
        """Return whether it got slower by more than the tolerance and by more than its repeats differ."""
        return self.ratio > 1 + max(tolerance, self.spread)


def compare(before: dict[str, Any], after: dict[str, Any]) -> tuple[list[Row], list[str]]:
    """Compare two results.

    Args:
        before: the content of a `benchmarks.json`.
        after: that of a later one.

    Returns:
        The rows that both have, and the names of the rows that only the first one has.
    """
    old, new = _by_name(before), _by_name(after)
    factors: dict[str, list[float]] = {}
    for key in old.keys() & new.keys():
        if not key[1].startswith(OURS):
            factors.setdefault(key[0], []).append(new[key]["median"] / old[key]["median"])
    everywhere = statistics.median([each for ratios in factors.values() for each in ratios] or [1.0])
    rows = [
        Row(
            ", ".join(part for part in key if part != "-"),
            old[key]["median"],
            new[key]["median"],
            statistics.median(factors.get(key[0], [everywhere])),
            _spread(old[key]["seconds"]) + _spread(new[key]["seconds"]),
        )
        for key in old
        if key[1].startswith(OURS) and key in new
    ]
    missing = [", ".join(part for part in key if part != "-") for key in old if key[1].startswith(OURS) and key not in new]
    return rows, missing


def _by_name(result: dict[str, Any]) -> dict[tuple[str, str, str], dict[str, Any]]:
    return {(row["workload"], row["engine"], row["method"]): row for row in result["measurements"] if row["median"] is not None}


def _spread(seconds: list[float]) -> float:
    """Return the interquartile range relative to the median; 0 if there are too few repeats."""
    if len(seconds) < QUARTERS:
        return 0.0
    first, median, third = statistics.quantiles(seconds, n=QUARTERS)
    return (third - first) / median


def main() -> None:
    """Print the rows, the worst first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--tolerance", type=float, default=0.05, help="how much slower a row may be: 0.05 for 5 %%")
    options = parser.parse_args()
    results = [json.loads(path.read_text(encoding="utf-8")) for path in (options.before, options.after)]
    rows, missing = compare(*results)
    for row in sorted(rows, key=lambda each: -each.ratio):
        mark = "worse" if row.is_worse(options.tolerance) else ""
        seconds = f"{row.before:.4f} s -> {row.after:.4f} s"
        print(f"{row.ratio:5.2f} ×  ±{row.spread:4.0%}  {seconds}  (machine {row.machine:.2f})  {row.name}  {mark}".rstrip())
    for name in missing:
        print(f"missing: {name}")
    sys.exit(1 if missing or any(row.is_worse(options.tolerance) for row in rows) else 0)


if __name__ == "__main__":
    main()
