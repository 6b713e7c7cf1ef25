"""Beside the reference client: what comes in, octet for octet, under every kind of server.

Each variant of `variants.py` is sent over a socket to an app under each server, and given to the reference client's
`createClientFromRequest`, before one recording platform. All servers do the same, but for what the table says of one;
ours and the reference client do the same, but for the rows of docs/reference-client.md.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from base44_web import ConnectorID
from base44_web.testing._faults import Answer, Recorded
from base44_web.testing._server import Server
from tests.apps.calls import encode_call
from tests.npm import installed
from tests.reference.variants import (
    APP_ID,
    AUTHORIZATION,
    JWT,
    LAXER,
    OTHERWISE,
    PLATFORM,
    SERVER,
    STRICTER,
    Variant,
)
from tests.serving import ROOT, free_port, started

# With `--dist loadgroup` all in one worker: the servers are started once.
pytestmark = pytest.mark.xdist_group("reference")
REFERENCE = Path(__file__).parent
VARIANTS = [*AUTHORIZATION, *PLATFORM]
CALLS = {"me": ("client", "user", []), "connect": ("user", "connect_app_user", [ConnectorID("x")]),
         "service": ("service", "get_connection", ["slack"])}  # fmt: skip
# Headers in which two HTTP clients differ whatever they ask for.
TRANSPORT = {"host", "connection", "user-agent", "accept-encoding", "content-length"}

_APP = "tests.apps.served:app"
_UVICORN = ["-m", "uvicorn", _APP, "--port", "{port}", "--log-level", "critical"]
_GUNICORN = ["-m", "gunicorn", _APP, "-b", "127.0.0.1:{port}", "-w", "1", "--threads", "2", "--log-level", "critical"]  # fmt: skip
_HYPERCORN = ["-m", "hypercorn", _APP, "--bind", "127.0.0.1:{port}", "--log-level", "CRITICAL"]
_GRANIAN = ["-m", "granian", "--port", "{port}", _APP, "--no-log", "--workers-kill-timeout", "10", "--interface"]
# The name begins with the server's, and ends with the driver's.
SITES = {
    "uvicorn-h11 starlette-async": [*_UVICORN, "--http", "h11"],
    "uvicorn-httptools fastapi-async": [*_UVICORN, "--http", "httptools"],
    "uvicorn-httptools django-asgi-async": [*_UVICORN, "--http", "httptools"],
    "hypercorn starlette-async": _HYPERCORN,
    "granian-asgi starlette-async": [*_GRANIAN, "asgi"],
    "granian-wsgi flask-sync": [*_GRANIAN, "wsgi"],
    "gunicorn flask-sync": _GUNICORN,
    "gunicorn django-wsgi-sync": _GUNICORN,
}


@dataclass(frozen=True)
class Outcome:
    """What became of one call: `sent`, or what was said in its place, and what the platform was asked."""

    said: str
    sent: tuple[Any, ...] = ()


class Recorder:
    """A platform that says yes, and keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[Recorded] = []
        self.marked: dict[tuple[int, str], list[Recorded]] = {}
        self.answers = ""

    def answer(self, request: Recorded) -> Answer:
        if request.target.startswith("/mark/"):
            _, _, index, call = request.target.split("/")
            self.requests = self.marked[int(index), call] = []
            self.answers = VARIANTS[int(index)].answer
            return Answer(200, (), b"")
        self.requests.append(request)
        if "User/me" in request.target:
            body: dict[str, Any] = {"id": "u1", "email": "ada@example.com", "app_id": request.header("x-app-id")}
            if self.answers == "without app_id":
                del body["app_id"]
        elif "/initiate" in request.target:
            body = {"redirect_url": "https://provider.example/o?state=s", "connection_id": "c"}
        else:
            body = {"access_token": "provider-token", "integration_type": "slack"}
        return Answer(200, (("content-type", "application/json"),), json.dumps(body).encode())


class Platform(NamedTuple):
    """The recorder at three origins: the configured one, the one that headers may name, and one that they may not."""

    recorder: Recorder
    configured: str
    named: str
    other: str

    def wire(self, request: Recorded) -> tuple[Any, ...]:
        host = request.header("host") or ""
        origin = {self.configured: "configured", self.named: "named", self.other: "other"}.get(f"http://{host}", host)
        headers = tuple(sorted((key, value) for key, value in request.headers if key not in TRANSPORT))
        return request.method, origin, request.target, headers, request.body

    def fill(self, line: bytes) -> bytes:
        port = self.named.rpartition(":")[2]
        for name, value in {"named": self.named, "other": self.other, "port": port}.items():
            line = line.replace(b"{%s}" % name.encode(), value.encode())
        return line

    def lines(self, variant: Variant) -> list[bytes]:
        """The header lines of a variant, the usual ones in place of what it does not say."""
        usual = {
            "authorization": b"Authorization: Bearer " + JWT,
            "base44-app-id": b"Base44-App-Id: " + APP_ID.encode(),
            "base44-api-url": b"Base44-Api-Url: {named}",
            "base44-service-authorization": b"Base44-Service-Authorization: Bearer service.token",
        }
        said = {line.partition(b":")[0].strip().decode().lower() for line in variant.lines} | set(variant.without)
        if variant in AUTHORIZATION:
            said.add("authorization")
        lines = (*(line for name, line in usual.items() if name not in said), *variant.lines)
        return [self.fill(line) for line in lines]


@pytest.fixture(scope="module")
def recorder() -> Iterator[Platform]:
    recorder = Recorder()
    with ExitStack() as stack:
        servers = [Server(recorder, "127.0.0.1", 0) for _ in range(3)]  # type: ignore[arg-type]
        yield Platform(recorder, *(stack.enter_context(server).url for server in servers))


# --- ours


LIBRARIES = ("uvicorn", "httptools", "hypercorn", "granian", "gunicorn", "starlette", "fastapi", "django", "flask")


def missing(site: str) -> list[str]:
    words = re.split("[- ]", site)
    return [word for word in words if word in LIBRARIES and find_spec(word) is None]


@pytest.fixture(scope="module")
def sites(recorder: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """The port of each server that is installed; all are started at once."""
    wanted = {site: command for site, command in SITES.items() if not missing(site)}
    assert len(wanted) == len(SITES) or not os.environ.get("CI"), [site for site in SITES if missing(site)]
    folder = tmp_path_factory.mktemp("servers")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BASE44_")}
    with ExitStack() as stack, ThreadPoolExecutor(len(wanted)) as threads:

        def start(site: str) -> tuple[str, int]:
            port = free_port()
            environment = clean | {
                "TEST_DRIVER": site.partition(" ")[2], "BASE44_APP_ID": APP_ID, "BASE44_PLATFORM_HEADERS": "trust",
                "BASE44_SERVER_URL": recorder.configured, "BASE44_ALLOWED_API_URLS": recorder.named,
                "BASE44_SERVICE_TOKEN": "configured.token", "BASE44_IDENTITY_TTL": "0", "BASE44_CONNECTION_TTL": "0", "BASE44_MAX_RETRIES": "0",
                "BASE44_TIMEOUT": "60", "BASE44_CONNECT_TIMEOUT": "30",
            }  # fmt: skip
            command = [word.format(port=port) for word in SITES[site]]
            stack.enter_context(started(command, ROOT, environment, port, folder / site.replace(" ", "-")))
            return site, port

        yield dict(threads.map(start, wanted))


def exchange(port: int, request: bytes) -> bytes:
    """What a server answers before it closes the connection; nothing, where it is closed with a reset."""
    answer = bytearray()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        with suppress(ConnectionError):  # an answer may be there all the same
            connection.sendall(request)
        with suppress(ConnectionError):
            while len(answer) < 1_000_000 and (octets := connection.recv(65536)):
                answer += octets
    return bytes(answer)


def ask(site: str, port: int, call: str, lines: list[bytes], recorder: Platform) -> Outcome:
    module, name, args = CALLS[call]
    path = f"/{site.rpartition('-')[2]}/run" if "django" in site else "/run"
    usual = [f"{key}: {value}".encode() for key, value in encode_call(module, name, args, {})]
    head = [f"GET {path} HTTP/1.1".encode(), b"Host: testserver", *usual, *lines, b"Connection: close"]
    recorder.recorder.requests = []
    status, _, rest = exchange(port, b"\r\n".join(head) + b"\r\n\r\n").partition(b"\r\n")
    sent = tuple(map(recorder.wire, recorder.recorder.requests))
    if not status.startswith(b"HTTP/1.1 200"):
        assert not status or re.match(rb"HTTP/1\.1 4\d\d", status), status
        assert not sent
        return Outcome(SERVER)
    outcome = json.loads(body_of(rest))
    if outcome.get("error"):
        return Outcome(outcome["fields"]["code"] or outcome["error"], sent)
    return Outcome("sent" if sent else "nobody", sent)


def body_of(answer: bytes) -> bytes:
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"chunked" not in head.lower():
        return body
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        whole, body = whole + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return whole


Outcomes = list[dict[str, Outcome]]  # for each variant, for each call


@pytest.fixture(scope="module")
def ours(sites: dict[str, int], recorder: Platform) -> dict[str, Outcomes]:
    found: dict[str, Outcomes] = {}
    for site, port in sites.items():
        found[site] = []
        for variant in VARIANTS:
            lines = recorder.lines(variant)
            recorder.recorder.answers = variant.answer
            found[site].append({call: ask(site, port, call, lines, recorder) for call in CALLS})
    return found


# --- the reference client


@pytest.fixture(scope="module")
def theirs(recorder: Platform) -> Outcomes:
    installed(REFERENCE, "@base44/sdk")
    variants = []
    for variant in VARIANTS:
        pairs = [line.decode("latin-1").partition(":") for line in recorder.lines(variant)]
        variants.append([(name, value) for name, _, value in pairs])
    payload = {"variants": variants, "origins": [recorder.configured, recorder.named, recorder.other]}
    done = subprocess.run(
        [str(shutil.which("node")), "variants.mjs"], cwd=REFERENCE, input=json.dumps(payload), capture_output=True,
        text=True, timeout=120, env={"PATH": os.environ["PATH"], "NODE_ENV": "production"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outcomes = []
    for index, answers in enumerate(json.loads(done.stdout)):
        outcome = {}
        for call, answer in answers.items():
            sent = tuple(map(recorder.wire, recorder.recorder.marked[index, call]))
            said = (
                "unholdable"
                if "unholdable" in answer
                else f"throws: {answer['error']}"
                if "error" in answer
                else "sent"
            )
            outcome[call] = Outcome(said, sent)
        outcomes.append(outcome)
    return outcomes


def summary(outcome: dict[str, Outcome]) -> str:
    said = [each.said for each in outcome.values()]
    return said[0] if len(set(said)) == 1 else ", ".join(said)


# --- the comparisons


def named(variant: Variant) -> str:
    return f"{'authorization' if variant in AUTHORIZATION else 'platform'}-{variant.name}"


def usual(ours: dict[str, Outcomes], index: int) -> dict[str, Outcome]:
    """What became of a variant under the first server that the table says nothing special of."""
    return next(found[index] for site, found in ours.items() if not _special(VARIANTS[index], site))


def _special(variant: Variant, site: str) -> str | None:
    return next((became for part, became in variant.servers.items() if part in site), None)


@pytest.mark.parametrize("name", SITES)
def test_the_servers_agree(ours: dict[str, Outcomes], name: str, subtests: pytest.Subtests) -> None:
    if name not in ours:
        pytest.skip(f"not installed: {missing(name)}")
    for index, variant in enumerate(VARIANTS):
        with subtests.test(named(variant)):
            outcome = ours[name][index]
            found = summary(outcome)
            if found == variant.ours and outcome != usual(ours, index):
                found = OTHERWISE
            assert found == (_special(variant, name) or variant.ours)


def test_beside_the_reference_client(ours: dict[str, Outcomes], theirs: Outcomes, subtests: pytest.Subtests) -> None:
    for index, variant in enumerate(VARIANTS):
        with subtests.test(named(variant)):
            compare(variant, usual(ours, index), theirs[index])


def compare(variant: Variant, mine: dict[str, Outcome], their: dict[str, Outcome]) -> None:
    fewer = [call for call in CALLS if their[call].sent and not mine[call].sent]
    more = [call for call in CALLS if mine[call].sent and not their[call].sent]
    otherwise = [call for call in CALLS if mine[call].sent and their[call].sent and mine[call].sent != their[call].sent]
    if variant.row is None or (variant.servers and not (fewer or more or otherwise)):
        assert mine_and_theirs(mine, their, [*fewer, *more, *otherwise]) == {}
        return
    # A result that is not believed is asked for all the same.
    disbelieved = [
        call for call in CALLS if mine[call].sent and mine[call].said != "sent" and their[call].said == "sent"
    ]
    assert fewer or more or otherwise or disbelieved, "no difference any more; take the row off"
    assert variant.row in (STRICTER if fewer or disbelieved else LAXER if more else STRICTER | LAXER)
    assert not (fewer and more), mine_and_theirs(mine, their, [*fewer, *more])


def mine_and_theirs(mine: dict[str, Outcome], their: dict[str, Outcome], calls: list[str]) -> dict[str, Any]:
    return {call: (mine[call], their[call]) for call in calls}


def test_the_tables_in_the_docs_are_these() -> None:
    text = (ROOT / "docs" / "reference-client.md").read_text()
    section = text.partition("\n## What comes in\n")[2].partition("\n## ")[0]
    _, stricter, laxer = re.split(r"\n### (?:Stricter|Laxer)[^\n]*\n", section)
    rows = re.compile(r"^\| `([a-z-]+)` \|", re.MULTILINE)
    used = {variant.row for variant in VARIANTS if variant.row is not None}
    assert set(rows.findall(stricter)) == STRICTER
    assert set(rows.findall(laxer)) == LAXER
    assert used == STRICTER | LAXER


def test_there_are_as_many_as_promised() -> None:
    assert len(AUTHORIZATION) >= 60
    assert len(PLATFORM) >= 30
    names = [variant.name for variant in VARIANTS]
    assert len(AUTHORIZATION) == len({variant.name for variant in AUTHORIZATION}), names
    assert len(PLATFORM) == len({variant.name for variant in PLATFORM}), names
