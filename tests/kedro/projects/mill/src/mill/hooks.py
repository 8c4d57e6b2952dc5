"""Hooks that write down every call, and one that changes an input."""

import json
import os
from pathlib import Path

from kedro.framework.hooks import hook_impl

LOG = Path("hooks.jsonl")


def note(event, **facts):
    line = json.dumps({"event": event, **facts, "pid": os.getpid()})
    with LOG.open("a", encoding="utf-8") as log:
        log.write(line + "\n")


def node_facts(node, catalog, inputs, is_async, run_id):
    return {
        "node": node.name,
        "kind": type(node).__name__,
        "tags": sorted(node.tags),
        "inputs": sorted(inputs),
        "is_async": is_async,
        "run_id": bool(run_id),
        "scale": catalog.load("params:scale"),
        "depth": catalog.load("parameters")["model"]["depth"],
        "raw": len(catalog.load("raw")),
    }


class EveryCall:
    @hook_impl
    def after_context_created(self, context):
        note("after_context_created")

    @hook_impl
    def after_catalog_created(self, catalog, conf_catalog, conf_creds, parameters, save_version, load_versions):
        note("after_catalog_created", parameters=sorted(parameters))

    @hook_impl
    def before_pipeline_run(self, run_params, pipeline, catalog):
        note("before_pipeline_run", nodes=len(pipeline.nodes))

    @hook_impl
    def after_pipeline_run(self, run_params, run_result, pipeline, catalog):
        results = {name: repr(dataset.load()) for name, dataset in sorted(run_result.items())}
        Path("results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
        note("after_pipeline_run", results=sorted(results))

    @hook_impl
    def on_pipeline_error(self, error, run_params, pipeline, catalog):
        note("on_pipeline_error", error=type(error).__name__, text=str(error).splitlines()[0])

    @hook_impl
    def before_node_run(self, node, catalog, inputs, is_async, run_id):
        note("before_node_run", **node_facts(node, catalog, inputs, is_async, run_id))
        if node.name == "hooked":
            return {"declared": "changed by a hook"}
        return None

    @hook_impl
    def after_node_run(self, node, catalog, inputs, outputs, is_async, run_id):
        note("after_node_run", outputs=sorted(outputs), **node_facts(node, catalog, inputs, is_async, run_id))

    @hook_impl
    def on_node_error(self, error, node, catalog, inputs, is_async, run_id):
        note("on_node_error", node=node.name, error=type(error).__name__, inputs=sorted(inputs))

    @hook_impl
    def before_dataset_loaded(self, dataset_name, node):
        note("before_dataset_loaded", dataset=dataset_name, node=node.name)

    @hook_impl
    def after_dataset_loaded(self, dataset_name, data, node):
        note("after_dataset_loaded", dataset=dataset_name, node=node.name, type=type(data).__name__)

    @hook_impl
    def before_dataset_saved(self, dataset_name, data, node):
        note("before_dataset_saved", dataset=dataset_name, node=node.name, type=type(data).__name__)

    @hook_impl
    def after_dataset_saved(self, dataset_name, data, node):
        note("after_dataset_saved", dataset=dataset_name, node=node.name, type=type(data).__name__)
