"""Servers that are ended, killed and started again: queued runs stay queued, and what ran is recorded or lost."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx


def test_after_a_kill_queued_runs_are_queued_and_the_running_one_is_lost(own_server):
    """After kill -9 the next server runs what was queued, in order; the run that ran is lost, its events end, and it resumes."""
    first = own_server()
    running = first.block()
    queued = [first.post({"params": {"factor": factor}}).json()["id"] for factor in (3, 4)]
    cancelled = first.post().json()["id"]
    first.client.post(f"/runs/{cancelled}/cancel")
    secret = first.post({"params": {"password": "pw-pw-pw-pw-pw-pw"}}).json()["id"]
    with first.client.stream("GET", f"/runs/{running}/events") as answer:
        lines = answer.iter_lines()
        seen = [next(lines) for _ in range(3)]
    last = int(seen[0].removeprefix("id: "))
    first.signal(signal.SIGKILL)
    first.end()
    (first.root / "gate").touch()
    second = own_server()
    ended = [second.show(run_id, wait=60) for run_id in queued]
    assert [each["state"] for each in ended] == ["succeeded", "succeeded"]
    assert ended[0]["finished"] <= ended[1]["started"]
    assert {run_id: second.show(run_id)["state"] for run_id in (running, cancelled, secret)} == {
        running: "lost",
        cancelled: "cancelled",
        secret: "lost",
    }
    later = second.events(running, **{"Last-Event-ID": str(last)})
    assert later[0][0] == last + 1
    assert (later[-1][1]["type"], later[-1][1]["state"]) == ("run_ended", "lost")
    resumed = second.client.post(f"/runs/{running}/resume", params={"wait": 60}).json()
    assert (resumed["state"], resumed["resumed_from"]) == ("succeeded", running)
    assert second.client.post(f"/runs/{secret}/resume").status_code == 409


def test_sigterm_waits_for_the_current_run(own_server):
    """After SIGTERM no run is accepted or started; the current one ends, and clients that wait for it get their answer."""
    first = own_server()
    running = first.block()
    queued = first.post().json()["id"]
    with (
        httpx.Client(base_url=first.url, timeout=60) as waiting,
        waiting.stream("GET", f"/runs/{running}/events") as answer,
        waiting.stream("GET", f"/runs/{queued}/events") as of_queued,
        ThreadPoolExecutor() as clients,
    ):
        kedro = clients.submit(httpx.post, f"{first.url}/run", json={}, timeout=60)
        first._wait_for(lambda: first.client.get("/ready").json()["queued"] == 2)
        first.signal(signal.SIGTERM)
        first._wait_for(lambda: first.client.get("/ready").status_code == 503)
        assert first.post().status_code == 503
        assert first.show(queued)["state"] == "queued"
        first.open_gate()
        assert '"state": "succeeded"' in answer.read().decode()
        assert of_queued.read().decode().count("event: ") == 1
        assert (kedro.result().status_code, kedro.result().json()["error"]["type"]) == (503, "ShuttingDown")
    assert first.end() == 0
    assert "Traceback" not in first.log.read_text()
    second = own_server()
    assert second.show(queued, wait=60)["state"] == "succeeded"
    assert second.show(running)["state"] == "succeeded"


def test_forked_workers_do_not_keep_connections_open(own_server):
    """A client notices that the server has closed its connection, although workers were forked while it was open."""
    server = own_server("--runner", "parallel", "--runner-params", "start_method=fork")
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    request = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: {}\r\n\r\n"
    with socket.create_connection(address, timeout=30) as client:
        client.sendall(request.format("keep-alive").encode())
        assert client.recv(10_000).startswith(b"HTTP/1.1 200 OK")
        assert server.run()["state"] == "succeeded"
        client.sendall(request.format("close").encode())
        while client.recv(10_000):
            pass  # a timeout is an error


def test_a_run_that_exceeds_the_grace_is_interrupted(own_server, restore_hangup):
    """A run that does not end within the grace time is interrupted, and recorded as that; it can be resumed."""
    first = own_server("--grace", "0.1")
    running = first.block()
    first.signal(signal.SIGHUP)
    assert first.end() == 0
    (first.root / "gate").touch()
    second = own_server()
    assert second.show(running)["state"] == "interrupted"
    assert second.client.post(f"/runs/{running}/resume", params={"wait": 60}).json()["state"] == "succeeded"


def test_a_taken_port_and_other_errors_are_explained(project_root, tmp_path):
    """The command ends with one message: of a port, a token, a package, a runner, a folder, or a project with an error."""
    root = project_root(tmp_path)

    def start(*words, code="from treadle.__main__ import main; sys.exit(main())"):
        command = [sys.executable, "-c", f"import sys; {code}", "server", "start", *words]
        environment = {name: value for name, value in os.environ.items() if name != "TREADLE_SERVER_TOKEN"}
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, env=environment, check=False)
        assert done.returncode != 0
        return done.stderr

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"Port {port} is used by another program" in start("--port", port)
    assert "TREADLE_SERVER_TOKEN" in start("--host", "0.0.0.0")
    assert start("--port", "0", "--runner", "none").startswith("Error: There is no runner 'none'.")
    assert start("--port", "0", "--runner-params", "foo=1").startswith("Error: Runner 'parallel' does not take these parameters")
    (root / ".treadle").mkdir(exist_ok=True)
    (root / ".treadle" / "server").touch()
    (line,) = start("--port", "0").splitlines()
    assert line.startswith(
        f"Error: The server keeps the events of runs in {root}/.treadle/server/events, which cannot be created"
    )
    (root / ".treadle" / "server").unlink()
    registry = root / "src" / "served" / "pipeline_registry.py"
    code = registry.read_text()
    registry.write_text(f"import no_such_module\n{code}")
    (line,) = start("--port", "0").splitlines()
    assert "The module served.pipeline_registry of the project cannot be imported" in line
    registry.write_text(code)
    missing = "sys.modules['uvicorn'] = None; from treadle.__main__ import main; sys.exit(main())"
    assert "pip install 'treadle[server]'" in start(code=missing)


def test_a_store_that_cannot_be_used(own_server):
    """Requests that need it may be sent again later; the log says what is wrong; afterwards all is as before."""
    served = own_server()
    assert served.run()["state"] == "succeeded"
    folder = served.root / ".treadle"
    (folder / "sessions.db").rename(folder / "moved.db")
    (folder / "sessions.db").mkdir()
    for answer in (served.post(), served.client.get("/runs"), served.client.post("/run", json={})):
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "StoreError"), answer.text
        assert str(folder) not in answer.text
    assert served.client.get("/runs").headers["retry-after"] == "5"
    (folder / "sessions.db").rmdir()
    (folder / "moved.db").rename(folder / "sessions.db")
    assert served.run()["state"] == "succeeded"
    for request in ("POST /runs", "GET /runs", "POST /run"):
        assert f"{request} was answered with status 503: The session store" in served.log.read_text()
