"""How long runs take over HTTP: `python benchmarks/serve.py`. Needs the extra `server`, and httpx.

A server in a process of its own runs a pipeline of six nodes on two warm workers. Printed are the time of a request that waits
for its run, with the processor time that the server spent on it, next to the same run by `ServiceSession.run` in this process, in
turns; how long a post takes that does not wait; and a thousand runs that are posted at once, each with its own params. A second
server, whose queue is full, refuses ten thousand posts; printed is its memory before and after.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from treadle import ServiceSession, bootstrap_project

ROUNDS = 5
REQUESTS = 40
CONCURRENT = 1000
REFUSED = 10_000
REGISTRY = """
import time
from treadle import node, pipeline

def add(x, factor):
    return x + factor

def wait(factor):
    time.sleep(3600)

def register_pipelines():
    nodes = [node(add, ["params:start" if n == 0 else f"v{n - 1}", "params:factor"], f"v{n}", name=f"n{n}") for n in range(6)]
    return {"__default__": pipeline(nodes), "long": pipeline([node(wait, "params:factor", "never", name="wait")])}
"""


def make_project(root):
    """Write a project."""
    for name, text in {
        "pyproject.toml": '[tool.treadle]\npackage_name = "six"\n',
        "src/six/__init__.py": "",
        "src/six/pipeline_registry.py": REGISTRY,
        "conf/base/parameters.yml": "start: 1\nfactor: 2\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


class Timed:
    """Seconds of calls, and the processor time of a process meanwhile."""

    def __init__(self, call, pid):
        self._call, self._process = call, psutil.Process(pid)
        self.seconds, self.processor = [], 0.0

    def round(self):
        """Call it some times."""
        before = sum(self._process.cpu_times()[:2])
        for factor in range(REQUESTS):
            started = time.perf_counter()
            self._call(factor)
            self.seconds.append(time.perf_counter() - started)
        self.processor += sum(self._process.cpu_times()[:2]) - before

    def row(self, name):
        """Return a line of text."""
        ordered = sorted(self.seconds)
        median, late = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
        processor = self.processor / len(ordered)
        return f"{name:44} median {1e3 * median:6.1f} ms   p99 {1e3 * late:6.1f} ms   processor {1e3 * processor:6.1f} ms"


@contextmanager
def serving(root, most):
    """Serve a project of which at most some runs may wait; yield the URL and the process id."""
    words = ["treadle", "server", "start", "--port", "0", "--workers", "2", "--max-queued", str(most), "--grace", "0"]
    with subprocess.Popen([sys.executable, "-m", *words], cwd=root, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield re.search(r"http://\S+", server.stdout.readline())[0], server.pid
        finally:
            server.terminate()


def main():
    """Measure, and print."""
    with tempfile.TemporaryDirectory() as folder:
        root, ours = Path(folder) / "served", Path(folder) / "ours"
        for each in (root, ours):
            make_project(each)
        with serving(root, CONCURRENT) as (url, pid):
            measure(url, pid, ours)
        with serving(root, 1) as (url, pid):
            measure_refusals(url, pid)


def measure(url, pid, ours):
    """Measure the server at a URL and a service of this process in turns."""
    client = httpx.Client(base_url=url, timeout=600)
    bootstrap_project(ours)

    def post(factor, wait=60):
        return client.post("/runs", params={"wait": wait}, json={"params": {"factor": factor}}).raise_for_status().json()

    with ServiceSession.create(runner_params={"max_workers": 2}) as service:
        service.run()
        post(0)
        waited = Timed(post, pid)
        direct = Timed(lambda factor: service.run(extra_params={"factor": factor}), psutil.Process().pid)
        for _ in range(ROUNDS):
            waited.round()
            direct.round()
    posted = Timed(lambda factor: post(factor, wait=0), pid)
    posted.round()
    print(waited.row("six nodes over HTTP, warm workers"))
    print(direct.row("the same by ServiceSession.run"))
    print(posted.row("a post that does not wait, while others run"))
    started = time.perf_counter()
    with ThreadPoolExecutor(50) as threads:
        ids = [run["id"] for run in threads.map(lambda factor: post(factor, wait=0), range(CONCURRENT))]
        accepted = time.perf_counter() - started
        ended = list(threads.map(lambda run_id: client.get(f"/runs/{run_id}", params={"wait": 600}).json(), ids))
    seconds = time.perf_counter() - started
    kept = list(enumerate(ended))[-50:]  # the outputs of the last runs are still in memory
    right = sum(client.get(f"/runs/{run['id']}/outputs/v5").json() == 1 + 6 * factor for factor, run in kept)
    succeeded = sum(run["state"] == "succeeded" for run in ended)
    print(
        f"{CONCURRENT} runs posted by 50 clients: accepted in {accepted:.1f} s, ended in {seconds:.1f} s; {succeeded} succeeded, "
        f"and {right} of the last 50 have the result of their own params"
    )


def measure_refusals(url, pid):
    """Fill the queue of the server at a URL, and print how its memory grows with the posts that it refuses."""
    client, process, body = httpx.Client(base_url=url, timeout=600), psutil.Process(pid), {"params": {"word": "x" * 10_000}}
    for _ in range(2):  # one that runs, and one that waits
        client.post("/runs", json={"pipelines": ["long"]}).raise_for_status()
        while not client.get("/ready").json()["running"]:
            time.sleep(0.05)
    sizes, codes, started = [], Counter(), time.perf_counter()
    with ThreadPoolExecutor(20) as threads:
        for _ in range(10):
            sizes.append(process.memory_info().rss / 2**20)
            codes.update(threads.map(lambda _: client.post("/runs", json=body).status_code, range(REFUSED // 10)))
    sizes.append(process.memory_info().rss / 2**20)
    seconds = time.perf_counter() - started
    print(
        f"{REFUSED} posts of 10 kB to a full queue: {codes[429]} refused in {seconds:.1f} s; memory of the server before "
        f"{sizes[0]:.1f} MB, after a tenth {sizes[1]:.1f} MB, after all {sizes[-1]:.1f} MB"
    )


if __name__ == "__main__":
    main()
