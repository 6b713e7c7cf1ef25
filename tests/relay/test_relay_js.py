"""The relay itself, under Node.js and under Deno: in front of servers that are mounted in every documented way."""

from __future__ import annotations

import http.client
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx2
import pytest

from base44_web.testing import CALENDAR_ID, Emulator
from tests.npm import installed
from tests.serving import PATIENCE, free_port

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PREFIX = "/api/x"
SECRET = "a relay secret of more than 32 bytes"
AUDIENCE = "https://api.example.com"
RUNTIMES = {
    "node": ["node", "serve.mjs"],
    "deno": [
        "node", "node_modules/deno/bin.cjs", "run", "--quiet", "--no-prompt", "--allow-net=127.0.0.1", "--allow-env",
        "--allow-read", "serve.ts"],
}  # fmt: skip
UVICORN = ["-m", "uvicorn", "--log-level", "warning", "--port", "{port}"]
GUNICORN = ["-m", "gunicorn", "--log-level", "warning", "--threads", "4", "-b", "127.0.0.1:{port}"]
# How a site is run; and what a view answers when it is asked without the prefix, with it, and with it through a proxy
# that takes it away. 404 is the framework's: the signature held, and the path leads to no view. 502 is the relay's: no
# server can know what only a proxy knows.
SITES: dict[str, tuple[list[str], str, dict[str, str], tuple[int, int, int]]] = {
    "uvicorn --root-path": ([*UVICORN, "--root-path", PREFIX], "starlette", {}, (200, 404, 200)),
    "hypercorn --root-path": (
        ["-m", "hypercorn", "--bind", "127.0.0.1:{port}", "--root-path", PREFIX], "starlette", {}, (200, 200, 200)),
    "Mount, middleware within": (UVICORN, "starlette-mounted", {}, (404, 200, 404)),
    "Mount, middleware around": (UVICORN, "starlette-around", {}, (404, 200, 502)),
    "FastAPI root_path": (UVICORN, "fastapi", {}, (200, 200, 200)),
    "FastAPI mounted": (UVICORN, "fastapi-mounted", {}, (404, 200, 404)),
    "FORCE_SCRIPT_NAME, gunicorn": (GUNICORN, "django-wsgi-forced", {}, (200, 404, 200)),
    "FORCE_SCRIPT_NAME, uvicorn": (UVICORN, "django-asgi-forced", {}, (200, 200, 200)),
    "uvicorn --root-path, Django": ([*UVICORN, "--root-path", PREFIX], "django-asgi", {}, (200, 404, 200)),
    "SCRIPT_NAME, gunicorn, Django": (GUNICORN, "django-wsgi", {"SCRIPT_NAME": PREFIX}, (500, 200, 500)),
    "DispatcherMiddleware": (GUNICORN, "flask-dispatched", {}, (404, 200, 404)),
    "ProxyFix x_prefix": (GUNICORN, "flask-proxied", {}, (200, 404, 200)),
    "APPLICATION_ROOT": (GUNICORN, "flask-root", {}, (200, 404, 200)),
}  # fmt: skip
NAVIGATION = {"sec-fetch-mode": "navigate", "sec-fetch-site": "none", "accept": "text/html"}
Headers = list[tuple[str, str]]


@contextmanager
def process(command: list[str], cwd: Path, log: Path, environment: dict[str, str] | None = None) -> Iterator[Any]:
    with log.open("wb") as output:
        started = subprocess.Popen(  # in a session of its own: what it starts (Deno) ends with it
            command, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output, text=True,
            start_new_session=True, env=os.environ if environment is None else {**os.environ, **environment},
        )  # fmt: skip
    try:
        yield started
    finally:
        for pipe in (started.stdin, started.stdout):
            if pipe is not None:
                pipe.close()
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGTERM)
        try:
            started.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            raise


@contextmanager
def serving(name: str, emulator: Emulator, platform: str, folder: Path) -> Iterator[str]:
    """A site under a real server: its address."""
    command, site, more, _ = SITES[name]
    for module in (command[1], site.partition("-")[0]):
        pytest.importorskip(module)
    port = free_port()
    environment = {
        "TEST_SITE": site, "BASE44_APP_ID": emulator.app_id, "BASE44_SERVER_URL": platform,
        "BASE44_PLATFORM_HEADERS": "signed", "BASE44_RELAY_KEYS": f"k1={SECRET}", "BASE44_RELAY_AUDIENCE": AUDIENCE,
        "BASE44_ALLOWED_API_URLS": platform, "BASE44_APP_USER_CONNECTORS": f"calendar={CALENDAR_ID}",
        "BASE44_REPLAY_STORE": str(folder / "replays"), "BASE44_SIGN_IN_URL": f"{PREFIX}/sign-in?a=b", **more,
    }  # fmt: skip
    log = folder / "server.log"
    words = [word.format(port=port) for word in command]
    with process([sys.executable, *words, "tests.relay.sites:app"], ROOT, log, environment) as started:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert started.poll() is None, log.read_text()
            time.sleep(0.05)
        else:
            pytest.fail(log.read_text())
        httpx2.get(f"http://127.0.0.1:{port}/", timeout=PATIENCE)  # gunicorn listens before a worker has the app
        yield f"http://127.0.0.1:{port}"


@contextmanager
def relaying(runtime: str, folder: Path, *relays: dict[str, Any]) -> Iterator[str]:
    """Relays in one process: its address. What they report is in `relay.log`."""
    installed(HERE, "typescript")
    installed(HERE, "deno")
    log = folder / "relay.log"
    with process([*RUNTIMES[runtime], json.dumps(relays)], HERE, log) as started:
        port = started.stdout.readline()
        assert port, log.read_text()
        yield f"http://127.0.0.1:{int(port)}"


def relay_to(origin: str, mount: str = "/functions/relay", **more: Any) -> dict[str, Any]:
    return {
        "origin": origin, "prefix": "", "mount": mount, "audience": AUDIENCE, "keyId": "k1", "secret": SECRET, **more,
    }  # fmt: skip


Handle = Callable[[http.server.BaseHTTPRequestHandler], None]


@contextmanager
def listening(handle: Handle) -> Iterator[str]:
    """A server of a few lines."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        do_GET = do_POST = do_PUT = do_HEAD = lambda self: handle(self)

        def log_message(self, *_: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


@contextmanager
def stripping(origin: str) -> Iterator[str]:
    """A proxy that takes the prefix away."""

    def handle(self: http.server.BaseHTTPRequestHandler) -> None:
        inner = http.client.HTTPConnection(origin.removeprefix("http://"), timeout=20)
        inner.putrequest(self.command, self.path.removeprefix(PREFIX), skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            inner.putheader(name, value)
        inner.putheader("X-Forwarded-Prefix", PREFIX)
        inner.endheaders(self.rfile.read(int(self.headers.get("content-length", 0))))
        answer = inner.getresponse()
        body = answer.read()
        inner.close()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "content-length", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    with listening(handle) as url:
        yield url


def says(self: http.server.BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes = b"") -> None:
    self.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        self.send_header(name, value)
    self.end_headers()
    if self.command != "HEAD":
        self.wfile.write(body)


@pytest.fixture
def relayed(emulator: Emulator, platform: str) -> Headers:
    """What the platform says of a request of Ada's."""
    ada = emulator.add_user("ada@test.example")
    return [
        ("authorization", f"Bearer {emulator.sign_in(ada)}"), ("base44-app-id", emulator.app_id), ("base44-api-url", platform),
        ("base44-service-authorization", f"Bearer {emulator.service_token}"), ("base44-state", "state"), ("x-data-env", "dev"),
    ]  # fmt: skip


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> Any:
    return request.param


# --- which path is signed


@pytest.mark.parametrize("name", SITES)
def test_the_signature_holds_however_a_site_is_mounted(
    name: str, emulator: Emulator, platform: str, relayed: Headers, tmp_path: Path
) -> None:
    expected = SITES[name][3]
    with serving(name, emulator, platform, tmp_path) as server, stripping(server) as proxy:
        relays = (
            relay_to(server, "/functions/bare"), relay_to(server, "/functions/prefixed", prefix=PREFIX),
            relay_to(proxy, "/functions/proxied", prefix=PREFIX),
        )  # fmt: skip
        for runtime in RUNTIMES:
            with relaying(runtime, tmp_path, *relays) as url, httpx2.Client(headers=relayed, timeout=20) as client:
                for relay, status in zip(relays, expected, strict=True):
                    me = client.get(f"{url}{relay['mount']}/me?a=%2F%20b&ü=1")
                    assert me.status_code == status, (runtime, relay["mount"], me.text)
                    if status == 200:
                        assert me.json() == {"email": "ada@test.example"}
                        slack = client.get(f"{url}{relay['mount']}/slack").json()
                        assert slack == {"access_token": emulator.share_token("slack")}
        assert ("refused" in (tmp_path / "server.log").read_text()) == (502 in expected)


def test_a_path_that_was_changed_is_told_to_the_operator(
    emulator: Emulator, platform: str, relayed: Headers, runtime: str, tmp_path: Path
) -> None:
    """A proxy takes a prefix away, and nobody told the server."""
    site = "Mount, middleware around"
    with serving(site, emulator, platform, tmp_path) as server, stripping(server) as proxy:
        with relaying(runtime, tmp_path, relay_to(proxy, prefix=f"{PREFIX}/y")) as url:
            answer = httpx2.get(f"{url}/functions/relay/me", headers=relayed, timeout=PATIENCE)
        assert answer.status_code == 502
        assert answer.json()["type"] == "urn:base44-web:relay-refused"
        assert "www-authenticate" not in answer.headers
        assert "'/y/me' would do" in (tmp_path / "server.log").read_text()
        told = (tmp_path / "relay.log").read_text()
        assert f'path "{PREFIX}/y/me"' in told
        assert SECRET not in told


# --- what the relay refuses, and how it says so


@pytest.mark.parametrize("wrong", ["secret", "keyId", "audience", "clock"])
def test_the_relays_own_key_and_clock_are_not_the_visitors_fault(
    wrong: str, emulator: Emulator, platform: str, relayed: Headers, runtime: str, tmp_path: Path
) -> None:
    date = formatdate(time.time() - 4000, usegmt=True)

    def of_another_time(self: http.server.BaseHTTPRequestHandler) -> None:
        problem = json.dumps({"type": "urn:base44-web:bad-signature", "status": 400}).encode()
        self.send_response_only(400)
        for name, value in {"Content-Type": "application/problem+json", "Date": date}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(problem)))
        self.end_headers()
        self.wfile.write(problem)

    values = {"secret": "x" * 40, "keyId": "k2", "audience": "https://other.example"}
    site = listening(of_another_time) if wrong == "clock" else serving("APPLICATION_ROOT", emulator, platform, tmp_path)
    with site as server:
        to = relay_to(server, **({} if wrong == "clock" else {wrong: values[wrong]}))
        with relaying(runtime, tmp_path, to) as url:
            answer = httpx2.get(f"{url}/functions/relay/me", headers=relayed, timeout=PATIENCE)
    assert answer.status_code == 502
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:base44-web:relay-refused"
    assert "www-authenticate" not in answer.headers
    told = (tmp_path / "relay.log").read_text()
    assert "refuses its signature" in told
    assert (re.search(r"clocks differ by (399\d|40\d\d) s", told) is not None) == (wrong == "clock")


@pytest.mark.parametrize("times", [1, 2])
def test_what_was_signed_too_early_is_signed_again(runtime: str, tmp_path: Path, times: int) -> None:
    """As a server starts it lets nothing in that was signed before. An app's own 400 is nobody's to send again."""
    seen: list[tuple[str, str, bytes]] = []

    def early(self: http.server.BaseHTTPRequestHandler) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        seen.append((self.path, self.headers["base44-relay-signature"], body))
        kind = "mine" if self.path == "/mine" else "urn:base44-web:bad-signature"
        problem = json.dumps({"type": kind, "status": 400}).encode()
        if len(seen) <= times:
            says(self, 400, {"Content-Type": "application/problem+json", "Retry-After": "1"}, problem)
        else:
            says(self, 200, {}, b"in")

    with listening(early) as server, relaying(runtime, tmp_path, relay_to(server)) as url:
        answer = httpx2.post(f"{url}/functions/relay/x", content=b"body", timeout=20)
        assert answer.status_code == (200 if times == 1 else 502)
        (one, first, body), (other, second, again) = seen
        assert (one, body) == (other, again) == ("/x", b"body")
        assert first != second
        seen.clear()
        assert httpx2.post(f"{url}/functions/relay/mine", content=b"body", timeout=20).status_code == 400
        assert len(seen) == 1


def test_a_server_that_is_down_or_slow(runtime: str, tmp_path: Path) -> None:
    done = threading.Event()

    def slow(self: http.server.BaseHTTPRequestHandler) -> None:
        if self.path == "/breaks":
            says(self, 403, {"Content-Type": "application/problem+json", "Content-Length": "100"}, b"{")
        else:
            done.wait(20)
        self.close_connection = True

    with listening(slow) as server:
        down = f"http://127.0.0.1:{free_port()}"
        relays = (
            relay_to(down, "/functions/down"), relay_to(server, "/functions/slow", timeout=2000),
            relay_to(server, "/functions/broken"),
        )  # fmt: skip
        with relaying(runtime, tmp_path, *relays) as url:
            for path, status in (("down/x", 502), ("slow/x", 504), ("broken/breaks", 502)):
                answer = httpx2.get(f"{url}/functions/{path}", timeout=20)
                assert answer.status_code == status
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.headers["retry-after"] == "5"
                assert answer.json()["status"] == status
                assert "127.0.0.1" not in answer.text
        done.set()
    assert "cannot be reached" in (tmp_path / "relay.log").read_text()


def test_paths_that_it_does_not_pass_on(emulator: Emulator, platform: str, runtime: str, tmp_path: Path) -> None:
    with relaying(runtime, tmp_path, relay_to(platform)) as url:
        wrong = httpx2.get(f"{url}/functions/other/x")
        assert (wrong.status_code, wrong.json()["type"]) == (404, "urn:base44-web:relay-mount")
        assert '"/functions/relay"' in wrong.json()["detail"]
        assert httpx2.get(f"{url}/functions/relayed/x").status_code == 404
        for path in ("/..%2f..%2fidle", "/a%5c..%5cb", "/%ff", "/a%2f%2e%2e/b"):
            answer = httpx2.get(f"{url}/functions/relay{path}")
            assert (answer.status_code, answer.json()["type"]) == (404, "urn:base44-web:relay-path"), path
    assert "set RELAY_MOUNT" in (tmp_path / "relay.log").read_text()
    assert emulator.requests == []


CANNOT_WORK: list[tuple[dict[str, Any], str]] = [
    ({"origin": "http://api.example.com"}, "origin must begin with https"),
    ({"origin": "api.example.com"}, "origin is no URL"),
    ({"origin": "https://api.example.com/v1"}, "origin is an origin alone"),
    ({"origin": "https://user@api.example.com"}, "origin is an origin alone"),
    ({"origin": "https://api.example.com?"}, "origin is an origin alone"),
    ({"prefix": "api"}, "prefix is empty, or begins"),
    ({"prefix": "/api/"}, "prefix is empty, or begins"),
    ({"prefix": "/"}, "prefix is empty, or begins"),
    ({"prefix": "/a/../b"}, "prefix must be a plain path"),
    ({"prefix": "/a%20b"}, "prefix must be a plain path"),
    ({"prefix": "//evil.example"}, "prefix must be a plain path"),
    ({"mount": "functions"}, "mount is empty, or begins"),
    ({"secret": "short"}, "secret must have 32 bytes"),
    ({"keyId": "a b"}, "keyId must be"),
    ({"audience": ""}, "audience is empty"),
    ({"timeout": 0}, "timeout must be a number"),
]


def test_what_cannot_work_ends_it_at_its_start(subtests: pytest.Subtests) -> None:
    installed(HERE, "typescript")
    for wrong, message in CANNOT_WORK:
        with subtests.test(wrong=wrong):
            command = [*RUNTIMES["node"], json.dumps({**relay_to("https://api.example.com"), **wrong})]
            done = subprocess.run(
                command, cwd=HERE, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
            )
            assert done.returncode != 0
            assert f"The relay's {message}" in done.stderr
            assert SECRET not in done.stderr


def test_the_function_itself(emulator: Emulator, platform: str, tmp_path: Path) -> None:
    """`main.ts`, as it is deployed: it type-checks, says what is not set, and serves."""
    installed(HERE, "deno")
    deno = RUNTIMES["deno"][:2]
    main = str(ROOT / "examples" / "relay" / "main.ts")
    done = subprocess.run([*deno, "check", main], cwd=HERE, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    given = {
        "RELAY_ORIGIN": platform, "RELAY_PREFIX": "", "RELAY_MOUNT": "/functions/relay", "RELAY_AUDIENCE": AUDIENCE,
        "RELAY_KEY_ID": "k1", "RELAY_SECRET": SECRET,
    }  # fmt: skip
    run = [*deno, "run", "--quiet", "--no-prompt", "--allow-net=127.0.0.1", "--allow-env", main]
    for name, value, message in (
        ("RELAY_SECRET", "", "Set RELAY_SECRET."),
        ("RELAY_MOUNT", None, "Set RELAY_MOUNT: the path"),
        ("RELAY_PREFIX", "x/", "The relay's prefix"),
    ):
        wrong = {key: text for key, text in {**given, name: value}.items() if text is not None}
        done = subprocess.run(run, cwd=HERE, capture_output=True, text=True, timeout=60, env={**os.environ, **wrong})
        assert done.returncode != 0
        assert message in done.stderr
    port = free_port()
    served = {**given, "DENO_SERVE_ADDRESS": f"tcp:127.0.0.1:{port}"}
    with process(run, HERE, tmp_path / "main.log", served):
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        httpx2.get(f"http://127.0.0.1:{port}/functions/relay/x", timeout=20)
    assert emulator.requests[-1].header("base44-relay-signature")


def test_upgrades_are_refused(emulator: Emulator, platform: str, runtime: str, tmp_path: Path) -> None:
    asking = {
        "connection": "Upgrade", "upgrade": "websocket", "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-version": "13",
    }  # fmt: skip
    with relaying(runtime, tmp_path, relay_to(platform)) as url:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
        connection.request("GET", "/functions/relay/x", headers=asking)
        answer = connection.getresponse()
        assert answer.status == 426
        assert answer.headers["upgrade"] == "HTTP/1.1"
        assert json.loads(answer.read())["type"] == "urn:base44-web:relay-upgrade"
        connection.close()
    assert emulator.requests == []


# --- bodies, both ways


def test_bodies_are_bounded_as_they_are_read(
    emulator: Emulator, platform: str, relayed: Headers, runtime: str, tmp_path: Path
) -> None:
    with (
        serving("APPLICATION_ROOT", emulator, platform, tmp_path) as server,
        relaying(runtime, tmp_path, relay_to(server, maxBody=1000)) as url,
    ):
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
        connection.putrequest("POST", "/functions/relay/echo")
        for name, value in relayed:
            connection.putheader(name, value)
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        for part in (b"gr", "öß".encode(), b"e" * 900):
            connection.send(b"%x\r\n%s\r\n" % (len(part), part))
            time.sleep(0.05)
        connection.send(b"0\r\n\r\n")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, "größ".encode() + b"e" * 900)
        connection.close()

        assert httpx2.post(f"{url}/functions/relay/echo", headers=relayed, content=b"x" * 1000).status_code == 200
        for body in (b"x" * 1001, iter([b"x" * 600] * 2)):  # said beforehand, and not
            refused = httpx2.post(f"{url}/functions/relay/echo", headers=relayed, content=body)
            assert (refused.status_code, refused.json()["type"]) == (413, "urn:base44-web:too-large")
        # A body without an end is answered, not waited for.
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
        connection.putrequest("POST", "/functions/relay/echo")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        connection.send(b"%x\r\n%s\r\n" % (2000, b"x" * 2000))
        assert connection.getresponse().status == 413
        connection.close()


@pytest.mark.parametrize("name", ["uvicorn --root-path", "APPLICATION_ROOT"])
def test_answers_are_streamed(
    name: str, emulator: Emulator, platform: str, relayed: Headers, runtime: str, tmp_path: Path
) -> None:
    with (
        serving(name, emulator, platform, tmp_path) as server,
        relaying(runtime, tmp_path, relay_to(server, timeout=2500)) as url,  # of its begin alone
        httpx2.stream("GET", f"{url}/functions/relay/lines", headers=relayed, timeout=20) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        times = [time.monotonic() for line in answer.iter_lines() if line.startswith("data:")]
    assert len(times) == 3
    assert times[2] - times[0] > 0.5  # not all at the end


def test_content_length_stays_where_it_may(runtime: str, tmp_path: Path) -> None:
    import gzip

    packed = gzip.compress(b"x" * 1000)

    def handle(self: http.server.BaseHTTPRequestHandler) -> None:
        if self.path == "/packed":
            says(self, 200, {"Content-Encoding": "gzip"}, packed)
        elif self.path == "/empty":
            says(self, 204, {})
        else:
            says(
                self,
                200,
                {"X-Asked": self.headers["accept-encoding"], "Alt-Svc": 'h3=":443"', "Set-Cookie": "a=b"},
                b"1234567",
            )

    with listening(handle) as server, relaying(runtime, tmp_path, relay_to(server)) as url:
        answer = httpx2.get(f"{url}/functions/relay/plain")
        assert (answer.headers["content-length"], answer.text) == ("7", "1234567")
        assert answer.headers["x-asked"] == "identity"
        assert "alt-svc" not in answer.headers
        assert "set-cookie" not in answer.headers
        head = httpx2.head(f"{url}/functions/relay/plain")
        assert (head.headers.get("content-length"), head.content) == ("7", b"")
        assert httpx2.get(f"{url}/functions/relay/packed").content == b"x" * 1000  # whoever decodes it
        assert httpx2.get(f"{url}/functions/relay/empty").status_code == 204


# --- addresses


@contextmanager
def relayed_site(name: str, runtime: str, emulator: Emulator, platform: str, folder: Path) -> Iterator[tuple[str, str]]:
    """A site whose path is one on the server, and another one on the relay: the server's address, and the relay's."""
    with serving(name, emulator, platform, folder) as server, stripping(server) as proxy:
        to = relay_to(server if name.startswith("Mount") else proxy, prefix=PREFIX)
        with relaying(runtime, folder, to) as url:
            yield server, url


MOUNTED = ["uvicorn --root-path", "Mount, middleware around"]  # what a proxy takes away; what the app has


@pytest.mark.parametrize("name", MOUNTED)
def test_addresses_are_those_of_the_relay(
    name: str, emulator: Emulator, platform: str, relayed: Headers, runtime: str, tmp_path: Path
) -> None:
    base = "/functions/relay"
    with (
        relayed_site(name, runtime, emulator, platform, tmp_path) as (server, url),
        httpx2.Client(base_url=url, headers=relayed, timeout=20) as client,
    ):
        problem = client.get(f"{base}/guarded")
        assert problem.status_code == 403
        assert problem.json()["connect_url"] == f"{base}/base44/connect/calendar"
        assert problem.json()["status_url"] == f"{base}/base44/status/calendar"
        assert client.get(problem.json()["status_url"]).json() == {"connected": False}
        assert client.get(f"{base}/elsewhere").headers["location"] == f"{base}/me?a=b#c"
        if runtime == "node":  # whose fetch writes Sec-Fetch-Mode itself: no page comes through there
            return
        sent = client.get(f"{base}/guarded?a=%2F&b", headers=NAVIGATION).headers["location"]
        assert sent == f"{base}/base44/connect/calendar?next={base}/guarded%3Fa%3D%252F%26b"
        nobody = client.get(f"{base}/guarded", headers={**NAVIGATION, "authorization": ""})
        assert nobody.status_code == 401
        sign_in = httpx2.URL(f"{url}{base}/guarded").join(re.findall(r'href="([^"]*sign-in[^"]*)"', nobody.text)[0])
        # To this server, by the same way; who is signed in there is sent on by a path of the server's own.
        assert sign_in.raw_path.decode() == f"{base}/sign-in?a=b&amp;next={PREFIX}/guarded"
        page = client.get(sent, headers=NAVIGATION)
        assert page.status_code == 200
        here = httpx2.URL(url + sent)
        links = [here.join(link) for link in re.findall(r'(?:href|src|action)="([^"]*)"', page.text)]
        assert {link.path.removeprefix(base) for link in links} == {
                "/base44/connect.css", "/base44/connect.js", "/base44/connect/calendar", "/base44/disconnect/calendar",
                "/guarded", "/sign-in",
            }  # fmt: skip
        assert all(link.path.startswith(f"{base}/") for link in links)
        home = client.get(f"{base}/base44/connect/calendar", headers=NAVIGATION).text
        # Of an app in a mount, home is what is around it.
        after = here.join(re.findall('data-next="([^"]*)"', home)[0]).path
        assert after == ("/" if name.startswith("Mount") else f"{base}/")
        for answer in (problem, page):
            assert server.rpartition(":")[2] not in answer.text + str(answer.headers)


@pytest.mark.parametrize("name", MOUNTED)
def test_connecting_through_the_relay(
    name: str, chromium: Any, emulator: Emulator, platform: str, relayed: Headers, tmp_path: Path
) -> None:
    """In a real browser; the platform adds its headers on the way, which here the browser does."""
    said = dict(relayed)
    token = said.pop("authorization").removeprefix("Bearer ")
    with relayed_site(name, "deno", emulator, platform, tmp_path) as (_, url):
        context = chromium.new_context(extra_http_headers=said)
        context.set_default_timeout(20_000)
        page = context.new_page()
        try:
            page.goto(f"{url}/functions/relay/base44/connect.css")
            page.evaluate("token => localStorage.setItem('base44_access_token', token)", token)
            page.goto(f"{url}/functions/relay/base44/connect/calendar?next=/functions/relay/guarded")
            page.wait_for_selector("text=ada@test.example")
            page.wait_for_function("() => new Promise((done) => setTimeout(() => done(true), 600))")
            with context.expect_page() as opening:
                page.click("button:has-text('Connect')")
            opening.value.click("text=Allow")
            page.wait_for_url("**/functions/relay/guarded")
        finally:
            context.close()


def test_addresses_that_lead_elsewhere_stay(runtime: str, tmp_path: Path) -> None:
    cases = {
        "https://elsewhere.example/x?next=/a": "https://elsewhere.example/x?next=/a", "../x": "../x", "?a": "?a",
        "//elsewhere.example/x": "//elsewhere.example/x", "/api/x/a#b": "/functions/relay/a#b", "/api/x": "/functions/relay",
        "/outside?next=/api/x/a": "/outside?next=/functions/relay/a", "mailto:ada@test.example": "mailto:ada@test.example",
        "/api/x/in?next=https://elsewhere.example/&a=/api/x/b": "/functions/relay/in?next=https://elsewhere.example/&a=/api/x/b",
        "{server}/api/x/a": "/functions/relay/a", "{server}/outside": "/outside", "{server}//evil.example/a": "/evil.example/a",
        "/api/xx/a": "/api/xx/a",
    }  # fmt: skip
    given = list(cases)

    def handle(self: http.server.BaseHTTPRequestHandler) -> None:
        said = given[int(self.path.rpartition("/")[2])].replace("{server}", f"http://{self.headers['host']}")
        says(self, 302, {"Location": said, "Content-Location": said})

    with listening(handle) as server, relaying(runtime, tmp_path, relay_to(server, prefix=PREFIX)) as url:
        for number, (said, expected) in enumerate(cases.items()):
            answer = httpx2.get(f"{url}/functions/relay/{number}")
            assert (answer.status_code, answer.headers["location"]) == (302, expected), said
            assert answer.headers["content-location"] == expected


# --- beside the reference client


def test_the_reference_client_beside_it(
    emulator: Emulator, platform: str, relayed: Headers, runtime: str, tmp_path: Path
) -> None:
    """One function: what `createClientFromRequest` gets for a request, the Python server behind the relay gets."""
    with (
        serving("APPLICATION_ROOT", emulator, platform, tmp_path) as server,
        relaying(runtime, tmp_path, relay_to(server)) as url,
        httpx2.Client(headers=relayed, timeout=20) as client,
    ):
        theirs = client.get(f"{url}/functions/beside").json()
        ours = {name: client.get(f"{url}/functions/relay/{path}").json()[name] for name, path in
                (("access_token", "slack"), ("email", "me"))}  # fmt: skip
        assert theirs == ours == {"access_token": emulator.share_token("slack"), "email": "ada@test.example"}
    slack = [request for request in emulator.requests if request.target.endswith("/external-auth/tokens/slack")]
    assert len(slack) == 2
    for name in ("authorization", "on-behalf-of", "base44-state", "x-data-env", "x-app-id"):
        assert slack[0].header(name) == slack[1].header(name), name
