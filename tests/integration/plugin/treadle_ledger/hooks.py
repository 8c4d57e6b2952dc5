"""Hooks that write one line in `ledger.csv` for each run, and one file for each process that ran nodes."""

from pathlib import Path

from treadle import hook_impl


class LedgerHooks:
    """Record what ran, and where."""

    @hook_impl
    def on_worker_start(self, spec):
        """Open this process's own file; called once in each process that runs nodes, before its first node."""
        self.page = Path(f"page-{spec.label}.txt").open("a", encoding="utf-8", buffering=1)  # noqa: SIM115 - it stays open

    @hook_impl
    def after_node_run(self, node):
        """Write a line for each finished node; called in the process that ran it."""
        print(node.name, file=self.page)

    @hook_impl
    def after_pipeline_run(self, run_params, pipeline):
        """Write a line for each successful run; called in the main process."""
        line = f"{run_params['run_id']},{run_params['runner']},{len(pipeline.nodes)}\n"
        with (Path(run_params["project_path"]) / "ledger.csv").open("a", encoding="utf-8") as file:
            file.write(line)


ledger = LedgerHooks()
