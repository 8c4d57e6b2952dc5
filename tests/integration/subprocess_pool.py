"""A backend in one file: workers started with `subprocess`, one pipe each, and values that travel inside messages.

Written against `treadle.execution.executors.protocol` and the worker-side helpers only; docs/executors.md explains it.
"""

import subprocess
import sys
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe, wait

from treadle.execution.executors.events import Report, SetupFailed, WorkerDown, WorkerUp
from treadle.execution.executors.executor import Executor
from treadle.execution.executors.inline_store import InlineStore
from treadle.execution.executors.inline_worker import serve
from treadle.execution.executors.protocol import Capabilities
from treadle.execution.packing.project_spec import make_project_spec
from treadle.execution.processes.safe_points import safe_point
from treadle.execution.protocol.messages import BeginRun, EndRun, Hello, Logged, Started, Stop
from treadle.execution.runners.runner import Runner
from treadle.execution.worker.forwarding import log_record


class SubprocessPool:
    capabilities = Capabilities(processes=True, can_kill=True, queues=False)

    def __init__(self, max_workers):
        self._project, self._run, self._message = make_project_spec(), 0, None
        self._waker, self._woken = Pipe()
        self._processes, self._pipes, self._ready, self._running = {}, {}, {}, {}
        for worker in range(1, max_workers + 1):
            self.restart(worker)

    def restart(self, worker):
        ours, theirs = Pipe()
        command = [sys.executable, __file__, str(worker), str(theirs.fileno())]
        self._processes[worker] = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()
        self._pipes[worker] = ours
        self.send(worker, self._project)

    def start(self, number, run):
        spec, main_only = run.spec()
        self._run, self._message, self._running = number, BeginRun(number, spec), {}
        for worker in set(self._processes) - set(self._pipes):  # lost between two runs
            self.restart(worker)
        self._events = [self._up(worker, pid) for worker, pid in self._ready.items()]
        return main_only

    def _up(self, worker, pid):
        self.send(worker, self._message)
        return WorkerUp(worker, pid, 0)

    def send(self, worker, *commands):
        with suppress(ConnectionError, KeyError):  # it is dead, and `wait` reports it
            for command in commands:
                self._pipes[worker].send(command)

    def wait(self, timeout=None):
        events, self._events = self._events, []
        with safe_point():
            ready = wait([*self._pipes.values(), self._woken], 0 if events else timeout)
        if self._woken in ready:
            self._woken.recv()
        for worker, pipe in [item for item in self._pipes.items() if item[1] in ready]:
            try:
                events += self._heard(worker, pipe.recv())
            except (EOFError, ConnectionError):
                events += self._lost(worker)
        return events

    def _heard(self, worker, fact):
        if isinstance(fact, Logged):
            log_record(fact)
        elif isinstance(fact, Hello) and fact.failure:
            self._lost(worker)
            return [SetupFailed(worker, fact.failure, None, fact.pid)]
        elif isinstance(fact, Hello):
            self._ready[worker] = fact.pid
            return [self._up(worker, fact.pid)] if self._message else []
        elif fact.run == self._run and self._message:
            self._running[worker] = fact if isinstance(fact, Started) else None
            return [Report(worker, fact)]
        return []

    def _lost(self, worker):
        self._pipes.pop(worker).close()
        process, node = self._processes[worker], self._running.pop(worker, None)
        down = WorkerDown(worker, process.pid, process.wait(), node and node.node, node and node.at, 0)
        return [SetupFailed(worker, None, down.exitcode, down.pid) if self._ready.pop(worker, None) is None else down]

    def running(self):
        return {worker: node for worker, node in self._running.items() if node}

    def kill(self, worker):
        self._processes[worker].kill()

    def wake(self):
        self._waker.send(None)

    def flush(self): ...

    def end(self):
        self._message, self._running = None, {}
        for worker in self._pipes:
            self.send(worker, EndRun(self._run))

    def close(self, *, kill=False):
        for worker, process in self._processes.items():
            process.kill() if kill else self.send(worker, Stop())
            process.wait()
        for pipe in (*self._pipes.values(), self._waker, self._woken):
            pipe.close()
        self._pipes = {}


class SubprocessRunner(Runner):
    name, has_processes = "subprocess", True

    def make_executor(self, plan):
        return Executor(SubprocessPool(self.max_workers), InlineStore())


if __name__ == "__main__":
    serve(Connection(int(sys.argv[2])), int(sys.argv[1]))
