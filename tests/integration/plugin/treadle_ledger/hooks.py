"""Hooks: one line in `ledger.csv` for each run, and a page for each process that ran nodes."""

from pathlib import Path

from treadle import hook_impl


class LedgerHooks:
    """Writes down what ran, and where."""

    @hook_impl
    def on_worker_start(self, spec):
        """Open this process's own page; this hook is called once in each process that runs nodes, before the first."""
        self.page = Path(f"page-{spec.label}.txt").open("a", encoding="utf-8", buffering=1)  # noqa: SIM115 - it stays open

    @hook_impl
    def after_node_run(self, node):
        """Write a line once a node ran; this hook is called in the process that ran it."""
        print(node.name, file=self.page)

    @hook_impl
    def after_pipeline_run(self, run_params, pipeline):
        """Write a line once a run succeeded; this hook is called in the main process."""
        line = f"{run_params['run_id']},{run_params['runner']},{len(pipeline.nodes)}\n"
        with (Path(run_params["project_path"]) / "ledger.csv").open("a", encoding="utf-8") as file:
            file.write(line)


ledger = LedgerHooks()
