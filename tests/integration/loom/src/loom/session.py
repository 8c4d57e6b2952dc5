"""A session class of the project's own."""

import os

from treadle import Session
from treadle.events import NodeStarted, RunStarted, WorkerStarted


class LoomSession(Session):
    """Tells the test when the parent knows that the node `held` runs: facts of short nodes reach it some milliseconds later.

    And that all workers are up: what a signal does to one that is being born is another test's question.
    """

    def run(self, *args, observers=(), **arguments):
        pids, held, workers = {}, [], []

        def tell(event):
            if isinstance(event, RunStarted):
                workers.append(1 if event.start_method else event.workers)  # a chain of nodes gets one process
            elif isinstance(event, WorkerStarted):
                pids[event.worker] = event.pid
            elif isinstance(event, NodeStarted) and event.node == "held":
                held.append(event.worker)
            if held and "GATE_REACHED" in os.environ and len(pids.keys() - {"main"} or pids) >= workers[0]:
                with open(os.environ["GATE_REACHED"], "w") as reached:  # noqa: PTH123 - a named pipe
                    reached.write(f"{pids[held.pop()]}\n")

        return super().run(*args, observers=(*observers, tell), **arguments)
