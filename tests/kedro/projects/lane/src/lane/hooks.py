"""Hooks of three kinds: one that tells of errors, one that counts in its process, one that holds what does not pickle."""

import json
import os
import threading
from pathlib import Path

from kedro.framework.hooks import hook_impl


def note(event, **facts):
    with Path("hooks.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps({"event": event, **facts, "pid": os.getpid()}) + "\n")


class Errors:
    @hook_impl
    def on_node_error(self, error, node, catalog, inputs, is_async, run_id):
        note("on_node_error", node=node.name, error=type(error).__name__, inputs=sorted(inputs))

    @hook_impl
    def on_pipeline_error(self, error, run_params, pipeline, catalog):
        note("on_pipeline_error", error=type(error).__name__, text=str(error))

    @hook_impl
    def after_pipeline_run(self, run_params, run_result):
        note("after_pipeline_run", results={name: repr(dataset.load()) for name, dataset in sorted(run_result.items())})


class Counting:
    """Learns the pipeline in the parent; counts nodes wherever they run."""

    def __init__(self):
        self.expected = None
        self.count = 0
        self.rebuilt = 0

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.rebuilt += 1
        note("rebuilt")

    @hook_impl
    def before_pipeline_run(self, pipeline):
        self.expected = len(pipeline.nodes)

    @hook_impl
    def after_node_run(self, node, is_async):
        self.count += 1
        note("after_node_run", node=node.name, expected=self.expected, is_async=is_async)


class Contextual:
    """Holds the session's context and its config loader, as many projects' hooks do."""

    def __init__(self):
        self.context = None

    @hook_impl
    def after_context_created(self, context):
        context.config_loader["credentials"] = {"vault": {"key": "sesame"}}
        context.color = "red"
        self.context = context
        self.loader = context.config_loader

    @hook_impl
    def before_node_run(self, node):
        context = self.context
        note(
            "contextual",
            node=node.name,
            params=context.params,
            env=context.env,
            root=context.project_path.name,
            color=context.color,
            kind=type(context).__name__,
            source=type(context.catalog.get("source")).__name__,
            vault=context.config_loader["credentials"],
            loaded=sorted(self.loader["catalog"]),
        )


class Holding:
    """Holds a lock: it cannot be pickled, and each worker makes its own from settings.py."""

    def __init__(self):
        self.lock = threading.Lock()

    @hook_impl
    def before_node_run(self, node):
        with self.lock:
            note("held", node=node.name)
