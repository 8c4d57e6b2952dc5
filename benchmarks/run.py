"""Measure Treadle against what people write by hand, in one run, as ratios.

python benchmarks/run.py                 all workloads, all start methods
python benchmarks/run.py --quick         two workloads
python benchmarks/run.py --json out.json --markdown out.md
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from alone import figures
from chart import draw
from engines import engines
from measure import machine, measure
from report import markdown
from workloads import workloads

METHODS = ["fork", "spawn", "forkserver", "loky"]


def main() -> None:
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two workloads, fewer engines")
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--markdown", type=Path, help="write the table here")
    parser.add_argument("--chart", type=Path, help="draw the ratios into this PNG")
    parser.add_argument("--only", nargs="+", default=[], help="only workloads whose name contains one of these")
    options = parser.parse_args()

    measurements = []
    for workload in workloads(quick=options.quick):
        if options.only and not any(part in workload.name for part in options.only):
            continue
        print(f"{workload.name}: {workload.about}", file=sys.stderr, flush=True)
        measurements += measure(workload, engines(options.methods, options.workers, quick=options.quick), options.repeats)
    today = dt.datetime.now(tz=dt.timezone.utc).date()
    heading = f"{today}, {machine()}, {options.workers} workers, medians of {options.repeats} interleaved repeats"
    table = markdown(measurements, heading)
    others = [] if options.quick else figures(options.repeats)
    if others:
        rows = "\n".join(f"| {what} | {figure} |" for what, figure in others)
        table += f"\n### Alone\n\n| what | figure |\n|---|---:|\n{rows}\n"
    print(table)
    if options.json:
        rows_of_figures = [dataclasses.asdict(each) | {"median": each.median} for each in measurements]
        content = {"heading": heading, "measurements": rows_of_figures, "alone": dict(others)}
        options.json.write_text(json.dumps(content, indent=2))
    if options.chart:
        draw(measurements, heading, options.chart)
    if options.markdown:
        options.markdown.write_text(table)


if __name__ == "__main__":
    main()
