"""Run one workload on one runner; print the seconds of `runner.run` and what came out, as JSON."""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import sys
import time
from pathlib import Path

from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project


def main(workload, dotted, arguments, times):
    """Run it `times` times on the same runner; the last one counts."""
    bootstrap_project(Path.cwd())
    logging.disable()
    module, _, name = dotted.rpartition(".")
    runner = getattr(importlib.import_module(module), name)(**json.loads(arguments))
    run, seconds = runner.run, 0.0

    def timed(*positional, **named):
        nonlocal seconds
        began = time.perf_counter()
        outputs = run(*positional, **named)
        seconds = time.perf_counter() - began
        return outputs

    runner.run = timed
    outputs = {}
    if times > 1:
        runner.__enter__()
    for _ in range(times):
        with KedroSession.create(save_on_close=False) as session:
            outputs = session.run(pipeline_names=[workload], runner=runner)
    if times > 1:
        runner.__exit__(None, None, None)
    print(json.dumps({"seconds": seconds, "results": results(outputs)}))


def results(outputs):
    """Return what a run returned, and a digest of the file that it wrote; None where it cannot be loaded."""
    told = {}
    for name, dataset in outputs.items():
        try:
            told[name] = repr(dataset.load())
        except Exception:  # noqa: BLE001 - that a result cannot be loaded is a result
            told[name] = None
    written = Path("data/joined.csv")
    if written.exists():
        told["joined.csv"] = hashlib.blake2b(written.read_bytes()).hexdigest()
    return told


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
