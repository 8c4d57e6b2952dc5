"""The endpoints of runs, with a real server and real clients."""

from __future__ import annotations

import io
import json
import resource
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import quote

import httpx
import pandas as pd


def test_a_run_is_accepted_at_once_and_described_until_its_end(server):
    """A post answers with the id of the run before it has ended; the run can be asked for, and is in the list."""
    blocked = server.block()
    answer = server.post({"params": {"factor": 5}})
    assert answer.status_code == 202
    queued = answer.json()
    assert answer.headers["location"] == f"/runs/{queued['id']}"
    assert (queued["state"], queued["position"]) == ("queued", 0)
    running = server.show(blocked)
    assert (running["state"], running["nodes"]["running"], running["pipelines"]) == ("running", ["block"], ["blocked"])
    assert [each["state"] for each in server.client.get("/runs", params={"limit": 2}).json()["runs"]] == ["queued", "running"]
    assert server.client.get(f"/runs/{queued['id']}/report").status_code == 409
    assert server.client.get(f"/runs/{queued['id']}/outputs/v5").status_code == 409
    server.open_gate()
    assert server.show(blocked, wait=60)["state"] == "succeeded"
    ended = server.show(queued["id"], wait=60)
    assert (ended["state"], ended["nodes"]["done"], ended["outputs"]) == ("succeeded", 6, ["v5"])
    assert ended["submitted"] <= ended["started"] <= ended["finished"]
    assert server.client.get(f"/runs/{queued['id']}/outputs/v5").json() == 31
    assert server.show(blocked)["nodes"]["done"] == 2
    again = server.show(server.block())
    assert again["started"] <= again["expected_end"]  # the last run of the same nodes is known


def test_concurrent_runs_have_their_own_params(server):
    """Runs that many clients post at the same time never see another's params (failure 14)."""

    def post(factor):
        with httpx.Client(base_url=server.url, timeout=60) as client:
            made = client.post("/runs", json={"params": {"factor": factor}}, params={"wait": 60}).json()
            return client.get(f"/runs/{made['id']}/outputs/v5").json()

    with ThreadPoolExecutor(16) as clients:
        assert list(clients.map(post, range(40))) == [1 + 6 * factor for factor in range(40)]


def test_outputs_in_each_format(server):
    """Text and bytes are sent as they are, tables as JSON or Parquet, and a file as the run saved it."""
    made = server.run(pipelines=["outputs"], params={"factor": 65})
    assert made["outputs"] == ["odd", "raw", "saved", "table", "thing", "words"]

    def fetch(name, **wanted):
        return server.client.get(f"/runs/{made['id']}/outputs/{name}", params=wanted)

    assert (fetch("words").text, fetch("words").headers["content-type"]) == ("factor 65", "text/plain; charset=utf-8")
    assert fetch("words", format="json").json() == "factor 65"
    assert fetch("raw").content == b"A"
    assert fetch("odd").json() == [None, {"a": [1, 2]}]
    assert fetch("table").json() == [{"a": 1, "b": "x"}, {"a": 2, "b": "<y>"}]
    assert pd.read_parquet(io.BytesIO(fetch("table", format="parquet").content)).b.tolist() == ["x", "<y>"]
    assert fetch("saved", format="file").content == b"factor 65"
    wrong = {
        ("thing", "json"): 406,
        ("words", "parquet"): 406,
        ("words", "file"): 406,
        ("nothing", "json"): 404,
        ("odd", "xml"): 422,
    }
    assert {each: fetch(each[0], format=each[1]).status_code for each in wrong} == wrong
    kept = server.run(pipelines=["outputs"], params={"factor": 66}, load_results=["saved"])
    server.run(pipelines=["outputs"], params={"factor": 67})
    assert server.client.get(f"/runs/{kept['id']}/outputs/saved").text == "factor 66"
    gone = fetch("saved")
    assert gone.status_code == 410, gone.text
    assert str(server.root) not in gone.text


def test_outputs_with_a_slash_in_their_name(server):
    """The name of a dataset may contain any printable character; a client quotes it, with `%2F` or with the slash itself."""
    made = server.run(pipelines=["slash"], params={"factor": 1})
    (name,) = made["outputs"]
    for quoted in (quote(name), quote(name, safe="")):
        assert server.client.get(f"/runs/{made['id']}/outputs/{quoted}").text == "factor 1"
    table = server.client.get(f"/runs/{made['id']}/outputs/{quote(name)}", params={"format": "parquet"})
    assert table.json()["error"]["type"] == "NotATable"


def test_inputs_and_filters(server):
    """Inputs are JSON values; filters select nodes as `session.run` does, by either name."""
    made = server.run(pipelines=["given"], inputs={"given": [1, 2, 3]})
    assert server.client.get(f"/runs/{made['id']}/outputs/total").json() == 6
    assert server.run(to_nodes=["n2"])["nodes"]["total"] == 3
    assert server.run(node_names=["n0"], pipeline_names=["__default__"])["nodes"]["total"] == 1
    failed = server.run(nodes=["n77"])
    assert (failed["state"], failed["error"]["type"]) == ("failed", "UnknownNameError")


def test_a_failed_run_can_be_resumed(server):
    """The error of a node names no path and no secret; the run that resumes runs only what is left, with the same params."""
    (server.root / "repaired").unlink(missing_ok=True)
    (server.root / "calls").unlink(missing_ok=True)
    failed = server.run(pipelines=["mended"], params={"factor": 11})
    assert (failed["state"], failed["nodes"]["failed"], failed["error"]["node"]) == ("failed", ["mend"], "mend")
    assert failed["error"]["message"].startswith("Node 'mend' failed on worker-1: ValueError: <path> is missing")
    assert "traceback" not in {key for key, value in failed["error"].items() if value is not None}
    (server.root / "repaired").touch()
    resumed = server.client.post(f"/runs/{failed['id']}/resume", params={"wait": 60}).json()
    assert (resumed["state"], resumed["resumed_from"]) == ("succeeded", failed["id"])
    assert server.client.get(f"/runs/{resumed['id']}/outputs/fixed").json() == {"mended": 11}
    assert (server.root / "calls").read_text() == "x"
    assert server.client.post(f"/runs/{resumed['id']}/resume").status_code == 409
    with server.client.stream("GET", f"/runs/{failed['id']}/events") as answer:
        text = answer.read().decode()
    assert "hunter22" not in text
    assert str(server.root) not in text


def test_cancelling(server):
    """A queued run is cancelled at once, a running one while its node runs; a cancelled one can be resumed."""
    blocked = server.block()
    queued = server.post({"params": {"factor": 3}}).json()["id"]
    assert server.client.post(f"/runs/{queued}/cancel").json()["state"] == "cancelled"
    assert server.show(queued)["state"] == "cancelled"
    assert [each["type"] for _, each in server.events(queued)] == ["run_queued", "run_ended"]
    assert server.client.post(f"/runs/{blocked}/cancel").status_code == 200
    assert server.show(blocked, wait=60)["state"] == "cancelled"
    server.open_gate()
    assert server.run()["state"] == "succeeded"
    assert server.client.post(f"/runs/{blocked}/cancel").json()["state"] == "cancelled"  # again
    again = server.client.post(f"/runs/{queued}/resume", params={"wait": 60}).json()
    assert server.client.get(f"/runs/{again['id']}/outputs/v5").json() == 19
    assert server.client.post(f"/runs/{blocked}/resume", params={"wait": 60}).json()["state"] == "succeeded"
    ended = server.client.post(f"/runs/{again['id']}/cancel")
    assert (ended.status_code, ended.json()["error"]["type"]) == (409, "NotCancellable")


def test_a_hundred_posts_with_one_key_make_one_run(server):
    """Posts with the same key, at the same time and later, get the same run; another request with the key is refused."""
    before = len(server.client.get("/runs", params={"limit": 1000}).json()["runs"])

    def post(_number):
        with httpx.Client(base_url=server.url, timeout=60) as client:
            return client.post("/runs", json={"params": {"factor": 9}}, headers={"Idempotency-Key": "one"}).json()["id"]

    with ThreadPoolExecutor(20) as clients:
        (run_id,) = set(clients.map(post, range(100)))
    assert server.show(run_id, wait=60)["state"] == "succeeded"
    assert post(0) == run_id
    assert len(server.client.get("/runs", params={"limit": 1000}).json()["runs"]) == before + 1
    other = server.post({"params": {"factor": 10}}, **{"Idempotency-Key": "one"})
    assert (other.status_code, other.json()["error"]["type"]) == (409, "KeyConflict")


def test_a_full_queue_refuses_without_growing(server):
    """With 20 waiting runs the next post is refused with Retry-After; hundreds of refused posts take no memory."""
    server.block()
    waiting = [server.post().json()["id"] for _ in range(20)]
    refused = server.post({"params": {"word": "x" * 50_000}})
    assert (refused.status_code, refused.json()["error"]["type"]) == (429, "QueueFull")
    assert int(refused.headers["retry-after"]) >= 1
    before = resident(server.process.pid)
    for _ in range(500):
        assert server.post({"params": {"word": "x" * 50_000}}).status_code == 429
    assert resident(server.process.pid) - before < 20 * 2**20  # 25 MB were posted
    for run_id in waiting:
        server.client.post(f"/runs/{run_id}/cancel")
    server.open_gate()
    assert server.run()["state"] == "succeeded"


def resident(pid):
    """Return the resident memory of a process, in bytes."""
    import psutil

    return psutil.Process(pid).memory_info().rss


def test_events_are_numbered_and_continue_after_the_last_one(server):
    """The stream has every event once, in order; with Last-Event-ID it begins after that one, also when the run has ended."""
    made = server.run(pipelines=["wide"])
    events = server.events(made["id"])
    assert [number for number, _ in events] == list(range(1, len(events) + 1))
    kinds = [each["type"] for _, each in events]
    assert (kinds[0], kinds[-1]) == ("run_queued", "run_ended")
    assert kinds.count("node_started") == kinds.count("node_finished") == 301
    assert events[-1][1]["state"] == "succeeded"
    assert server.events(made["id"], **{"Last-Event-ID": "100"}) == events[100:]
    assert server.events(made["id"], **{"Last-Event-ID": str(len(events))}) == []
    assert server.events(made["id"], **{"Last-Event-ID": "nonsense"}) == events


def test_a_live_stream_and_a_client_that_does_not_read(server):
    """A client sees events while the run goes on; another one that reads nothing does not delay the run, and gets all later."""
    blocked = server.block()
    with httpx.Client(base_url=server.url, timeout=60) as slow, slow.stream("GET", f"/runs/{blocked}/events") as unread:
        with server.client.stream("GET", f"/runs/{blocked}/events") as answer:
            lines, seen = answer.iter_lines(), []
            while "node_started" not in " ".join(seen):
                seen.append(next(lines))
            server.open_gate()
            assert any("run_ended" in line for line in lines)
        assert server.show(blocked)["state"] == "succeeded"
        assert "run_ended" in unread.read().decode()


def test_reports_and_other_runs(server):
    """Each run has a report, in a sandbox; what is not there is 404."""
    made = server.run()
    report = server.client.get(f"/runs/{made['id']}/report")
    assert report.status_code == 200
    assert "sandbox" in report.headers["content-security-policy"]
    assert made["id"] in report.text
    for path in ("", "/events", "/report", "/outputs/x", "/cancel", "/resume"):
        method = "POST" if path in ("/cancel", "/resume") else "GET"
        answer = server.client.request(method, f"/runs/2020-01-01T00.00.00.000Z-aaaaaaaa{path}")
        assert (answer.status_code, answer.json()["error"]["type"]) == (404, "UnknownRun")
    assert server.client.get(f"/runs/{made['id'][:10]}").status_code == 404  # a prefix is no id


def test_states_and_numbers(server):
    """Health, readiness and the numbers for Prometheus."""
    assert server.client.get("/health").json()["status"] == "healthy"
    assert server.client.get("/ready").json() == {"ready": True, "queued": 0, "running": 0}
    for path in ("/health", "/ready"):
        asked = server.client.head(path)
        assert (asked.status_code, asked.content) == (200, b"")
    text = server.client.get("/metrics").text
    assert "treadle_runs_queued 0.0" in text
    assert 'treadle_runs_ended_total{state="succeeded"}' in text
    assert 'treadle_run_seconds_bucket{le="3600.0"}' in text


def test_kedros_endpoints(server):
    """`POST /run` and `GET /snapshot` answer in Kedro's shapes; a failed run is not HTTP 200."""
    good = server.client.post("/run", json={"pipeline_names": ["__default__"], "params": {"factor": 4}})
    assert good.status_code == 200
    assert set(good.json()) == {"status", "run_id", "duration_ms"}
    assert good.json()["status"] == "success"
    (server.root / "repaired").unlink(missing_ok=True)
    bad = server.client.post("/run", json={"pipeline_names": ["mended"], "params": {"factor": 77}})
    assert bad.status_code == 500
    assert (bad.json()["status"], bad.json()["error"]["type"]) == ("failure", "NodeError")
    assert server.client.post("/run", json={"node_names": ["n99"]}).status_code == 422
    refused = server.client.post("/run", json={"pipeline_names": ["n99"]})
    assert (refused.status_code, set(refused.json())) == (422, {"status", "run_id", "duration_ms", "error"})
    assert (refused.json()["status"], refused.json()["error"]["type"]) == ("failure", "UnknownNameError")
    for wrong in ({"runner": "os.system"}, {"is_async": True}, {"conf_source": "/etc"}, {"env": "prod"}):
        assert server.client.post("/run", json=wrong).status_code == 422
    snapshot = server.client.get("/snapshot", params={"params": '{"factor": 1}'}).json()
    assert set(snapshot) == {"status", "metadata", "pipelines", "datasets", "parameters"}
    assert "blocked" in {each["name"] for each in snapshot["pipelines"]}
    assert server.client.get("/snapshot", params={"params": "factor=1,start=2"}).json() == snapshot
    for wrong in ("[1]", "{", "factor", "{factor: 1}"):
        assert server.client.get("/snapshot", params={"params": wrong}).status_code == 422


def test_waiting_does_not_block_others(server):
    """Many clients that wait for a run leave the server free for others."""
    blocked = server.block()
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(server.show(blocked, wait=60)["state"])) for _ in range(60)]
    for thread in threads:
        thread.start()
    assert server.client.get("/health").status_code == 200
    assert server.client.get("/runs").status_code == 200
    server.open_gate()
    for thread in threads:
        thread.join()
    assert answers == ["succeeded"] * 60


def test_more_clients_than_open_files(own_server):
    """Clients get half of the files that the server may open; more are refused at once, and runs have the others."""
    served = own_server()
    resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE, (80, 80))
    address = httpx.URL(served.url)
    with ExitStack() as stack:
        clients = [stack.enter_context(closing(HTTPConnection(address.host, address.port, timeout=60))) for _ in range(60)]
        for client in clients:
            client.connect()
        refused = HTTPResponse(clients[-1].sock)
        refused.begin()
        assert refused.status == 503
        assert json.loads(refused.read())["error"]["message"].startswith("The server has too many open connections")
        clients[0].request("POST", "/runs?wait=60", body="{}", headers={"Content-Type": "application/json"})
        assert json.loads(clients[0].getresponse().read())["state"] == "succeeded"
    assert served.client.get("/health").status_code == 200


def test_very_many_clients_at_once(own_server):
    """The server accepts few connections before it looks at the first one, so it does not run out of files either."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        served = own_server()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    address = httpx.URL(served.url)
    with ExitStack() as stack:
        served.signal(signal.SIGSTOP)
        for _ in range(300):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex((address.host, address.port))
        served.signal(signal.SIGCONT)
        with suppress(httpx.TransportError):  # it may be one of those that are refused
            served.client.get("/health")
    served._wait_for(served._is_ready)
    assert served.run()["state"] == "succeeded"
    assert "out of system resource" not in served.log.read_text()
