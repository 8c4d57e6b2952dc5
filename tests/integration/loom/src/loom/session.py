"""A session class of the project's own."""

import os

from treadle import Session
from treadle.events import NodeStarted, WorkerStarted


class LoomSession(Session):
    """Tells the test when the parent knows that the node `held` runs: facts of short nodes reach it some milliseconds later."""

    def run(self, *args, observers=(), **arguments):
        pids = {}

        def tell(event):
            if isinstance(event, WorkerStarted):
                pids[event.worker] = event.pid
            elif isinstance(event, NodeStarted) and event.node == "held":
                with open(os.environ["GATE_REACHED"], "w") as reached:  # noqa: PTH123 - a named pipe
                    reached.write(f"{pids[event.worker]}\n")

        return super().run(*args, observers=(*observers, tell), **arguments)
