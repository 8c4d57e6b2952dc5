"""Hooks: one line in `ledger.csv` for each run."""

from pathlib import Path

from treadle import hook_impl


class LedgerHooks:
    """Writes down what ran."""

    @hook_impl
    def after_pipeline_run(self, run_params, pipeline):
        """Write a line once a run succeeded; this hook is called in the main process."""
        line = f"{run_params['run_id']},{run_params['runner']},{len(pipeline.nodes)}\n"
        with (Path(run_params["project_path"]) / "ledger.csv").open("a", encoding="utf-8") as file:
            file.write(line)


ledger = LedgerHooks()
