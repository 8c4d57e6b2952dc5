"""Measure Treadle against what people have in its place, in one run, as ratios.

python benchmarks/run.py                     every workload, one start method, few repeats: some minutes
python benchmarks/run.py --full              every start method, more repeats: about an hour
python benchmarks/run.py --only arrays chain workloads by part of their name; `alone`, `record`, `threads`, `unchanged`, `auto`,
                                             `shell`, `whole command` too
python benchmarks/run.py --engines dask forkserver   engines by a part of their name or start method
python benchmarks/run.py --output FOLDER     writes benchmarks.md, benchmarks.json and benchmarks.png there

It ends with code 1 where an engine failed or computed something else than the others. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent))

import auto
import record
import scale
import shell
import threads
import unchanged
import whole_command
from chart import draw
from engines import engines, missing
from goals import compared, verdicts
from measure import SHORT_REPEATS, SHORT_SECONDS, Measurement, add, machine, measure
from report import markdown
from workloads import Workload, workloads

if TYPE_CHECKING:
    from collections.abc import Callable

    from figures import Figure

METHODS = ["fork", "spawn", "forkserver", "loky"]
QUICK_METHODS = ["forkserver"]
PROCESSES = 3
"""In how many processes each engine does a workload, one after the other. All but the first time only those that matter take
part."""


def main() -> None:
    """Measure, print a report in Markdown, and write it with its figures and a chart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="every start method, more repeats")
    parser.add_argument("--methods", nargs="+", choices=METHODS, help="start methods, instead of those of quick or full")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, help="repeats of runs that are not short; 3, or 6 where full")
    parser.add_argument(
        "--budget",
        type=float,
        help="seconds for all repeats of one engine on one workload; 1, or 2 where full. Engines that a goal or a summary "
        "compares, and those that may be the fastest of the others, take as long as all repeats need",
    )
    parser.add_argument("--only", nargs="+", default=[], help="only workloads whose name contains one of these")
    parser.add_argument("--engines", nargs="+", default=[], help="only engines whose name or start method contains one of these")
    parser.add_argument("--output", type=Path, help="folder for the report, the figures and the chart")
    options = parser.parse_args()
    methods = options.methods or (METHODS if options.full else QUICK_METHODS)
    repeats = options.repeats or (6 if options.full else 3)
    budget = options.budget or (2.0 if options.full else 1.0)

    where = machine()
    began = time.monotonic()
    notes = missing()
    for note in notes:
        _say(note)
    chosen = [each for each in workloads() if _is_wanted(each.name, options.only)]
    # First, while this process is small: it would take long to fork later.
    alone = _alone(options, methods, repeats, began)
    measurements: list[Measurement] = []
    for workload in chosen:
        _say(f"{time.monotonic() - began:4.0f} s  {workload.name}: {workload.about}")
        found = engines(methods, options.workers, cold=workload.cold)
        wanted = [engine for engine in found if _is_wanted(f"{engine.name}, {engine.method}", options.engines)]
        measurements += _measure(workload, wanted, -(-repeats // PROCESSES), budget / PROCESSES)

    today = dt.datetime.now(tz=dt.timezone.utc).date()
    more = f"{SHORT_REPEATS} times as many of runs below {SHORT_SECONDS:g} s that are compared"
    kinds = (
        f"{repeats} interleaved repeats, in {PROCESSES} processes of each engine one after the other ({more}, fewer for engines "
        "that no goal or summary compares)"
    )
    heading = f"{today}, {where}, {options.workers} workers, medians of {kinds}"
    report = markdown(heading, chosen, measurements, alone, notes)
    print(report)
    if options.output:
        _write(options.output, report, heading, chosen, measurements, alone)
    _say(f"{time.monotonic() - began:4.0f} s  done")
    wrong = [row for row in measurements if row.problem.startswith(("failed", "wrong"))]
    for row in wrong:
        _say(f"{row.workload}: {row.label}: {row.problem}")
    sys.exit(1 if wrong else 0)


def _alone(options: argparse.Namespace, methods: list[str], repeats: int, began: float) -> list[Figure]:
    """Return the figures that stand alone."""
    quick, workers, few = not options.full, options.workers, min(repeats, 5)

    def measure_scale(method: str) -> list[Figure]:
        return scale.figures(method, workers, repeats, quick=quick, first=method == methods[0])

    plan_to_catalog = "plan and scheduler, growth, processor, namespaces, catalog"
    parts: list[tuple[str, str, Callable[[], list[Figure]]]] = [
        *(("alone", f"{plan_to_catalog}; {method}", partial(measure_scale, method)) for method in methods),
        ("record", "what it costs to write it during a run", lambda: record.figures(repeats)),
        ("threads", "nodes of pure Python, with or without the GIL", lambda: threads.figures(workers, few)),
        ("unchanged", "how long it takes to decide that nothing has to run", lambda: unchanged.figures(repeats, quick=quick)),
        ("auto", "the runner that chooses, beside the two that it chooses from", lambda: auto.figures(few)),
        ("shell", "imports, --help, cold starts", lambda: shell.figures(methods, workers, min(repeats, 3))),
        ("whole command", "a small project under each runner", lambda: whole_command.figures(methods, workers, few)),
    ]
    found: list[Figure] = []
    for name, about, figures in parts:
        if _is_wanted(name, options.only):
            _say(f"{time.monotonic() - began:4.0f} s  {name}: {about}")
            found += figures()
    return found


def _measure(workload: Workload, wanted: list[Any], repeats: int, budget: float) -> list[Measurement]:
    """Measure a workload several times, each time with new processes."""
    rows = measure(workload, wanted, compared(workload.name), repeats=repeats, budget=budget)
    matter = {row.label for row in rows if row.matters and not row.problem}
    again = [engine for engine in wanted if Measurement(workload.name, engine.name, engine.method).label in matter]
    for _ in range(PROCESSES - 1):
        add(rows, measure(workload, again, compared(workload.name), repeats=repeats, budget=budget))
    return rows


def _is_wanted(name: str, only: list[str]) -> bool:
    return not only or any(part in name for part in only)


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _write(
    folder: Path, report: str, heading: str, chosen: list[Workload], measurements: list[Measurement], alone: list[Figure]
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "benchmarks.md").write_text(report, encoding="utf-8")
    rows: list[dict[str, Any]] = [
        dataclasses.asdict(row) | {"median": row.median if row.seconds else None, "peak_bytes": row.peak_bytes}
        for row in measurements
    ]
    goals = [dataclasses.asdict(verdict) | {"met": verdict.met} for verdict in verdicts(chosen, measurements)]
    content = {
        "heading": heading,
        "goals": goals,
        "measurements": rows,
        "alone": [dataclasses.asdict(figure) for figure in alone],
    }
    (folder / "benchmarks.json").write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")
    draw(chosen, measurements, heading, folder / "benchmarks.png")
    _say(f"written: {folder}/benchmarks.md, benchmarks.json, benchmarks.png")


if __name__ == "__main__":
    main()
