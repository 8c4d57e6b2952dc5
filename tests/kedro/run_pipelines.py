"""Run pipelines of the project in this folder one after the other, on warm workers, and move the files of each to `left/<name>`.

The last one is recorded. Arguments: a start method; a JSON object of the arguments of `session.run` by the run's name.
"""

import json
import logging.config
import os
import sys
import traceback
from pathlib import Path

import yaml
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from treadle.kedro import ParallelRunner

RECORDED = "aloud"
"""The pipeline whose run is recorded and traced; it runs last."""
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LEFT = ("hooks.jsonl", "audit.jsonl", "run.log", "ran.txt")


def run(runner, arguments):
    """Run one pipeline as `kedro run` does, and return its outcome."""
    logging.config.dictConfig(yaml.safe_load(Path("conf/logging.yml").read_text(encoding="utf-8")))
    try:
        with KedroSession.create(project_path=Path.cwd()) as session:
            session.run(runner=runner, **for_installed_kedro(arguments))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the exception is the outcome
        return {"pid": os.getpid(), "error": "".join(traceback.format_exception(error))}
    return {"pid": os.getpid(), "error": None}


def for_installed_kedro(arguments):
    """Convert arguments to those of the installed version of Kedro."""
    if "pipeline_names" not in KedroSession.run.__annotations__ and "pipeline_names" in arguments:
        (name,) = arguments["pipeline_names"]
        return {**{key: value for key, value in arguments.items() if key != "pipeline_names"}, "pipeline_name": name}
    return arguments


def main(method, runs):
    """Run all pipelines."""
    bootstrap_project(Path.cwd())
    with ParallelRunner(max_workers=2, start_method=method) as runner:
        for name, arguments in runs.items():
            if name == RECORDED:
                with Path("pyproject.toml").open("a", encoding="utf-8") as file:
                    file.write('\n[tool.treadle]\npackage_name = "lane"\n')
                os.environ["TRACEPARENT"] = TRACEPARENT
            outcome = run(runner, arguments)
            folder = Path("left", name)
            folder.mkdir(parents=True)
            (folder / "outcome.json").write_text(json.dumps(outcome), encoding="utf-8")
            for file in filter(Path.exists, map(Path, LEFT)):
                file.rename(folder / file)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
