"""What the server refuses: other hosts and origins, wrong tokens, long requests, and params that choose code or paths."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import socket
import threading

import httpx
import pytest
import uvicorn
from uvicorn.server import ServerState

from treadle.errors import ServerError
from treadle.server import ServerOptions, create_app, serving
from treadle.server.options import read_token
from treadle.server.problems import public_text

TOKEN = "0123456789abcdef-token"


def ask(options, path="/nothing", method="GET", **headers):
    """Send one request to an application that has no service; return the status."""
    app = create_app(lambda: None, options)

    async def send():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(send())


def test_a_public_address_needs_a_token():
    """Without a token the server does not listen on an address that other machines can reach."""
    for host in ("0.0.0.0", "192.168.1.5", "::", "example.org", "host.localhost"):
        with pytest.raises(ServerError, match="TREADLE_SERVER_TOKEN"):
            create_app(lambda: None, ServerOptions(host=host))
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        create_app(lambda: None, ServerOptions(host=host))
    create_app(lambda: None, ServerOptions(host="0.0.0.0", token=TOKEN))


def test_tokens():
    """With a token every path but health and readiness needs it, as a bearer or as the password of a browser."""
    options = ServerOptions(host="0.0.0.0", token=TOKEN)
    basic = base64.b64encode(f"me:{TOKEN}".encode()).decode()
    assert ask(options, Authorization=f"Bearer {TOKEN}").status_code == 404
    assert ask(options, Authorization=f"Basic {basic}").status_code == 404
    refused = [f"Bearer {TOKEN}x", "Bearer ", "Bearer", TOKEN, f"Digest {TOKEN}", "Basic ???", "Basic bWU6", "Bearer \xff"]
    assert [ask(options, Authorization=each.encode("latin-1")).status_code for each in refused] == [401] * len(refused)
    missing = ask(options)
    assert missing.status_code == 401
    assert "Bearer" in missing.headers["www-authenticate"]
    assert ask(options, "/health").status_code == 200
    assert ask(options, "/openapi.json").status_code == 401


def test_where_a_token_comes_from(tmp_path, monkeypatch):
    """A file or the environment variable; what is short or unreadable is an error that does not show it."""
    monkeypatch.delenv("TREADLE_SERVER_TOKEN", raising=False)
    assert read_token() is None
    monkeypatch.setenv("TREADLE_SERVER_TOKEN", TOKEN)
    assert read_token() == TOKEN
    (tmp_path / "token").write_text(f"{TOKEN}-file\n")
    assert read_token(tmp_path / "token") == f"{TOKEN}-file"
    for content in ("short-secret", "", "with a \x07 bell in the token"):
        (tmp_path / "token").write_text(content)
        with pytest.raises(ServerError, match="at least 16") as caught:
            read_token(tmp_path / "token")
        assert not content or content not in str(caught.value)
    with pytest.raises(ServerError, match="cannot be read"):
        read_token(tmp_path / "none")


def test_the_token_is_in_no_record(own_server):
    """A node that shows its environment in an error shows it without the token, in the answer as in the report and the log."""
    server = own_server(environment={"TREADLE_SERVER_TOKEN": TOKEN})
    server.client.headers["Authorization"] = f"Bearer {TOKEN}"
    made = server.run(pipelines=["reveal"])
    assert made["state"] == "failed"
    report = server.client.get(f"/runs/{made['id']}/report").text
    assert "TREADLE_SERVER_TOKEN" in report
    for text in (json.dumps(made), report, server.log.read_text(), *(str(each) for each in server.events(made["id"]))):
        assert TOKEN not in text


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "[::1", "127.0.0.1@evil.example"]
)
def test_another_host_is_refused(host):
    """A website whose name resolves to 127.0.0.1 cannot use the server (DNS rebinding)."""
    assert ask(ServerOptions(), "/health", Host=host).status_code == 421


def test_hosts_that_are_accepted():
    """The names of a loopback address with any port, and those that the user allows; with a token any host."""
    for host in ("localhost", "localhost:9", "127.0.0.1:8000", "[::1]:8000"):
        assert ask(ServerOptions(), "/health", Host=host).status_code == 200
    for allowed, host in (("box.lan", "box.lan:80"), ("Box.lan", "box.lan"), ("box.lan", "BOX.lan")):
        assert ask(ServerOptions(allowed_hosts=(allowed,)), "/health", Host=host).status_code == 200
    assert ask(ServerOptions(host="0.0.0.0", token=TOKEN), "/health", Host="any.example").status_code == 200


def test_pages_of_other_websites_are_refused():
    """A browser that sends a request for another origin is refused, whatever the request is."""
    assert ask(ServerOptions(), "/health", Origin="http://evil.example").status_code == 403
    assert ask(ServerOptions(), "/health", Origin="null").status_code == 403
    assert ask(ServerOptions(), "/health", Origin="http://[").status_code == 403
    assert ask(ServerOptions(), "/health", Origin="http://127.0.0.1:8000").status_code == 200
    for site in ("cross-site", "same-site"):
        assert ask(ServerOptions(), "/runs", "POST", **{"Sec-Fetch-Site": site}).status_code == 403


def test_the_body_must_be_json(server):
    """A form, which any website could post without asking, is refused; so are broken and deep JSON, unknown fields and types."""
    post = server.client.post
    assert post("/runs", content='{"params": {}}', headers={"content-type": "text/plain"}).status_code == 422
    assert post("/runs", data={"params": "x"}).status_code == 422
    bodies = [
        "{",
        "[]",
        "1",
        '{"runner": "os.system"}',
        '{"conf_source": "/etc"}',
        '{"env": "prod"}',
        '{"params": [1]}',
        '{"tags": "x"}',
    ]
    bodies += ['{"load_versions": {"x": "../../etc"}}', '{"load_versions": {"x": ".."}}', '{"params": {"x": "\\ud800"}}']
    bodies += ['{"params": {"x": ' + "[" * 20_000 + "]" * 20_000 + "}}"]
    for body in bodies:
        answer = post("/runs", content=body, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 422), body[:60]
        assert set(answer.json()) == {"error"}
    assert post("/runs", content=b"\xff", headers={"content-type": "application/json"}).status_code in (400, 422)


def test_long_requests_are_refused(server):
    """A body above the limit is refused, whether its length is declared or not."""
    long = json.dumps({"params": {"x": "y" * 200_000}}).encode()
    assert server.client.post("/runs", content=long, headers={"content-type": "application/json"}).status_code == 413

    def parts():
        for _ in range(20):
            yield b" " * 10_000
        yield b"{}"

    assert server.client.post("/runs", content=parts(), headers={"content-type": "application/json"}).status_code == 413
    assert server.client.get("/health").status_code == 200


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"kind": "os.system"}, "'type' of dataset 'chosen'"),
        ({"kind": "pickle.PickleDataset"}, "'type' of dataset 'chosen'"),
        ({"day": "../../../etc/passwd"}, "'filepath' of dataset 'chosen'"),
        ({"day": "/../x"}, "'filepath' of dataset 'chosen'"),
    ],
)
def test_params_choose_no_class_and_no_path_outside(server, params, words):
    """A param in the catalog may name a file in the folder that the catalog names, and nothing else."""
    refused = server.post({"pipelines": ["choosing"], "params": params})
    assert (refused.status_code, refused.json()["error"]["type"]) == (422, "ConfigError")
    assert words in refused.json()["error"]["message"]
    assert server.run(pipelines=["choosing"], params={"day": "2026-01-31"})["state"] == "succeeded"
    assert (server.root / "data/2026-01-31.txt").exists()


def test_params_are_values(server):
    """A param that looks like an interpolation is a plain string: it reads no environment variable."""
    made = server.run(pipelines=["outputs"], nodes=["words"], params={"factor": "${oc.env:HOME}"})
    assert server.client.get(f"/runs/{made['id']}/outputs/words").text == "factor ${oc.env:HOME}"


def test_secret_params_are_not_stored(server):
    """A param with a secret's name is masked in the store and in the files of the server, and the run gets its value."""
    made = server.run(params={"api_token": "s3cr3t-s3cr3t-s3cr3t", "factor": 8})
    assert made["state"] == "succeeded"
    assert server.client.get("/ready").json()["running"] == 0  # so that the database is not being written
    files = [server.root / ".treadle" / "sessions.db", *(server.root / ".treadle/server/events").iterdir()]
    assert len(files) > 2
    assert not [file for file in files if b"s3cr3t-s3cr3t" in file.read_bytes()]
    assert all(file.stat().st_mode & 0o077 == 0 for file in files)


def test_headers(server):
    """Every response forbids what it does not need."""
    for path in ("/health", "/nothing", "/", "/page/page.js", "/page/../models.py", "/page/rows.html"):
        headers = server.client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no file '/home/me/my data/x.csv' here", "no file '<path>' here"),
        ("at sqlite:////srv/store.db.", "at <path>."),
        ("see file:///srv/x and ~/.ssh/id_rsa", "see <path> and <path>"),
        ("1/2 of a/b, and https://example.org/a/b", "1/2 of a/b, and https://example.org/a/b"),
        ("[Errno 2] No such file: '/x'", "[Errno 2] No such file: '<path>'"),
        ("Pass a name without '..' and a leading '/'.", "Pass a name without '..' and a leading '/'."),
    ],
)
def test_paths_are_removed(text, shown):
    """Absolute paths are removed from messages; fractions, relative paths and URLs stay."""
    assert public_text(text) == shown
    assert public_text(text, debug=True) == text


def test_a_defect_shows_nothing(caplog):
    """An unexpected exception is answered without its text, unless errors are to be shown."""

    class Broken:
        def views(self, _limit):
            raise RuntimeError("secret detail of /srv/app")

    def asked(options):
        app = create_app(lambda: None, options)
        app.state.runs = Broken()

        async def send():
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
                return await client.get("/runs")

        return asyncio.run(send())

    with caplog.at_level(logging.CRITICAL):
        assert "secret detail" not in asked(ServerOptions()).text
        assert "secret detail of /srv/app" in asked(ServerOptions(debug_errors=True)).text


def test_endless_headers(server):
    """Who has no token cannot fill the memory of the server either: a request whose headers do not end is refused."""
    address = httpx.URL(server.url)
    with socket.create_connection((address.host, address.port), timeout=60) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                connection.sendall(bytes(1 << 16).replace(b"\0", b"a"))
            pytest.fail("the server has read 65 MB of a header")
    assert server.client.get("/health", headers={"X-Long": "a" * 50_000}).status_code == 200


def test_many_requests_at_once(server):
    """Requests that are sent without waiting for the answers have short headers, however many arrive together."""
    address, request = httpx.URL(server.url), b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    with socket.create_connection((address.host, address.port), timeout=60) as connection, connection.makefile("rb") as answers:
        sender = threading.Thread(
            target=connection.sendall, args=((request + b"\r\n") * 5000 + request + b"Connection: close\r\n\r\n",)
        )
        sender.start()
        assert answers.read().count(b"HTTP/1.1 200 OK") == 5001
        sender.join()


@pytest.mark.parametrize("sent", [b"", b"GET /health HTTP/1.1\r\nX-Slow: "])
def test_a_client_that_asks_nothing(monkeypatch, sent):
    """Its connection is closed after a time; who has been answered keeps it for the usual time."""
    monkeypatch.setattr(serving, "_HEAD_SECONDS", 0.05)
    config = uvicorn.Config(lambda *_: None, http=serving._Connection, lifespan="off", log_config=None)
    config.load()

    async def ask_nothing():
        def connection():
            return serving._Connection(config=config, server_state=ServerState(), app_state={})

        async with await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0) as listening:
            reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
            writer.write(sent)
            assert await asyncio.wait_for(reader.read(), 60) == b""
            writer.close()

    asyncio.run(ask_nothing())
