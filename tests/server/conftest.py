"""Real servers in processes of their own, on a small project, and clients for them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

httpx = pytest.importorskip("httpx")
pytest.importorskip("uvicorn")

REGISTRY = '''
"""Pipelines for the tests of the server."""
import os
import threading
import time
from pathlib import Path

from treadle.pipeline import Pipeline, node


def add(x, factor):
    return x + factor

def block(factor):
    Path("started").touch()
    tick = threading.Event()
    while not Path("gate").exists():
        tick.wait(0.01)
    return factor

def mend(x):
    if not Path("repaired").exists():
        raise ValueError(f"{Path('data/hidden.txt').absolute()} is missing, password=hunter22hunter22")
    return {"mended": x}

def note(factor):
    with open("calls", "a") as file:
        file.write("x")
    return factor

def text(factor):
    return f"factor {factor}"

def raw(factor):
    return bytes([factor])

def thing(factor):
    return object()

def total(given):
    return sum(given)

def odd(factor):
    return [float("nan"), {"a": (1, 2)}]

def frame(factor):
    import pandas as pd
    return pd.DataFrame({"a": [1, 2], "b": ["x", "<y>"]})

def reveal(factor):
    raise ValueError(f"wrong: {dict(os.environ)}")

def many(*values):
    return len(values)

def one(factor):
    return 1

def register_pipelines():
    six = [node(add, ["params:start" if n == 0 else f"v{n - 1}", "params:factor"], f"v{n}", name=f"n{n}") for n in range(6)]
    wide = [node(one, "params:factor", f"w{n}", name=f"w{n}") for n in range(300)]
    return {
        "__default__": Pipeline(six),
        "blocked": Pipeline([node(block, "params:factor", "b", name="block"), node(text, "b", "after", name="after")]),
        "mended": Pipeline([node(note, "params:factor", "noted", name="note"), node(mend, "noted", "fixed", name="mend")]),
        "outputs": Pipeline([
            node(text, "params:factor", "words", name="words"), node(raw, "params:factor", "raw", name="raw"),
            node(thing, "params:factor", "thing", name="thing"), node(odd, "params:factor", "odd", name="odd"),
            node(frame, "params:factor", "table", name="frame"), node(text, "params:factor", "saved", name="saved"),
        ]),
        "slash": Pipeline([node(text, "params:factor", "reports/north <1>", name="slash")]),
        "reveal": Pipeline([node(reveal, "params:factor", "never", name="reveal")]),
        "given": Pipeline([node(total, "given", "total", name="total")]),
        "wide": Pipeline([*wide, node(many, [f"w{n}" for n in range(300)], "count", name="many")]),
        "choosing": Pipeline([node(text, "params:factor", "chosen", name="choosing")]),
    }
'''
CATALOG = """
saved:
  type: text.TextDataset
  filepath: data/saved.txt
noted:
  type: json.JSONDataset
  filepath: data/noted.json
chosen:
  type: ${runtime_params:kind,text.TextDataset}
  filepath: data/${runtime_params:day,today}.txt
"""


def make_project(root):
    """Write the project of the tests below a folder."""
    content = {
        "pyproject.toml": '[tool.treadle]\npackage_name = "served"\nproject_name = "Served <b>project</b>"\n',
        "src/served/__init__.py": "",
        "src/served/settings.py": "",
        "src/served/pipeline_registry.py": REGISTRY,
        "conf/base/catalog.yml": CATALOG,
        "conf/base/parameters.yml": "start: 1\nfactor: 2\n",
    }
    for name, words in content.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(words)
    return root


class Server:
    """A server in a process of its own.

    Args:
        root: the project.
        words: flags of the command.
    """

    def __init__(self, root, *words, environment=None):
        self.root = root
        self.log = root / "server.log"
        command = [sys.executable, "-m", "treadle", "server", "start", "--port", "0", *words]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=root, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env={**os.environ, **(environment or {})}
            )
        self.url = self._wait_for(lambda: (re.search(r"http://\S+", self.log.read_text()) or [None])[0])
        self.client = httpx.Client(base_url=self.url, timeout=60)
        self._wait_for(self._is_ready)

    def _is_ready(self):
        try:
            return self.client.get("/ready").status_code == 200
        except httpx.TransportError:
            return False

    def _wait_for(self, found):
        deadline, tick = time.monotonic() + 60, time.sleep
        while not (value := found()):
            if time.monotonic() > deadline or self.process.poll() is not None:
                pytest.fail(f"the server did not start:\n{self.log.read_text()}")
            tick(0.02)
        return value

    def post(self, body=None, wait=0, **headers):
        """Post a run."""
        return self.client.post("/runs", json=body or {}, params={"wait": wait} if wait else {}, headers=headers)

    def run(self, **body):
        """Post a run and wait for its end; return how it is then."""
        answer = self.post(body, wait=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def show(self, run_id, wait=0):
        """Return how a run is."""
        return self.client.get(f"/runs/{run_id}", params={"wait": wait}).json()

    def block(self):
        """Start a run that lasts until `gate` exists; return its id once its node runs."""
        (self.root / "gate").unlink(missing_ok=True)
        (self.root / "started").unlink(missing_ok=True)
        run_id = self.post({"pipelines": ["blocked"]}).json()["id"]
        self._wait_for(lambda: (self.root / "started").exists() and self.show(run_id)["nodes"]["running"])
        return run_id

    def open_gate(self):
        """Let the blocked run end."""
        (self.root / "gate").touch()

    def events(self, run_id, **headers):
        """Return the events of a run until its end."""
        with self.client.stream("GET", f"/runs/{run_id}/events", headers=headers) as answer:
            assert answer.status_code == 200
            return parse_events(answer.iter_lines())

    def signal(self, number):
        """Send a signal to the server."""
        self.process.send_signal(number)

    def end(self):
        """Wait for the end of the process; return its exit code."""
        return self.process.wait(60)

    def close(self):
        """End the server."""
        self.open_gate()
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)


def parse_events(lines):
    """Return the events of a stream as pairs of id and facts."""
    found, number = [], None
    for line in lines:
        key, _, value = line.partition(": ")
        if key == "id":
            number = int(value)
        elif key == "data":
            found.append((number, json.loads(value)))
    return found


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A server with one warm worker process, which the tests share; at most 20 runs may wait."""
    made = Server(
        make_project(tmp_path_factory.mktemp("served")),
        *("--runner", "parallel", "--workers", "1", "--max-queued", "20", "--max-body", "100000"),
    )
    yield made
    made.close()


@pytest.fixture(autouse=True)
def opens_gate(request):
    """Let the blocked run of a test end, also if the test fails."""
    yield
    if "server" in request.fixturenames:
        request.getfixturevalue("server").open_gate()


@pytest.fixture
def own_server(tmp_path):
    """`own_server(*words)`: a server of the test's own project; the second call starts it again."""
    made = []

    def start(*words, environment=None):
        root = made[0].root if made else make_project(tmp_path / "project")
        made.append(Server(root, "--runner", "thread", "--workers", "1", *words, environment=environment))
        return made[-1]

    yield start
    for each in made:
        each.close()


@pytest.fixture(scope="session")
def project_root():
    """`project_root(folder)`: write the project of the tests below a folder."""
    return lambda folder: make_project(Path(folder))
