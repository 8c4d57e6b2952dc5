"""One line a call, in the file that LOOM_TALLY names: hook, what it was about, process, times this process was configured."""

import os

from treadle import hook_impl
from treadle.project.configure import configure_count


class Tally:
    """Implements every hook."""

    def __init__(self, mark=""):
        self.mark = mark

    def _note(self, hook, about=""):
        line = f"{hook}\t{self.mark}{about}\t{os.getpid()}\t{configure_count()}\n"
        with open(os.environ["LOOM_TALLY"], "ab", buffering=0) as file:  # noqa: PTH123 - one write is one line, whole
            file.write(line.encode())

    @hook_impl
    def on_session_created(self, session_data):
        self._note("on_session_created", session_data["package_name"])

    @hook_impl
    def after_context_created(self, context):
        self._note("after_context_created", context.package_name)

    @hook_impl
    def after_catalog_created(self, catalog):
        self._note("after_catalog_created", "orders" in catalog)

    @hook_impl
    def before_pipeline_run(self, pipeline):
        self._note("before_pipeline_run", len(pipeline))

    @hook_impl
    def after_pipeline_run(self, run_result):
        self._note("after_pipeline_run", len(run_result))

    @hook_impl
    def on_pipeline_error(self, error):
        self._note("on_pipeline_error", type(error).__name__)

    @hook_impl
    def before_node_run(self, node):
        self._note("before_node_run", node.name)

    @hook_impl
    def after_node_run(self, node, outputs):
        self._note("after_node_run", f"{node.name} {' '.join(sorted(outputs))}")

    @hook_impl
    def on_node_error(self, error, node):
        self._note("on_node_error", f"{node.name} {type(error).__name__}")

    @hook_impl
    def before_dataset_loaded(self, dataset_name, node):
        self._note("before_dataset_loaded", f"{dataset_name} for {node.name}")

    @hook_impl
    def after_dataset_loaded(self, dataset_name, data, node):
        self._note("after_dataset_loaded", f"{dataset_name} {type(data).__name__} for {node.name}")

    @hook_impl
    def before_dataset_saved(self, dataset_name, node):
        self._note("before_dataset_saved", f"{dataset_name} of {node.name}")

    @hook_impl
    def after_dataset_saved(self, dataset_name, data, node):
        self._note("after_dataset_saved", f"{dataset_name} {type(data).__name__} of {node.name}")
