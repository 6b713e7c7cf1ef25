"""Octets after the end of an answer are nobody's: above all not the next caller's answer.

None of httpcore, httpx and aiohttp looks, and what `drop_if_surplus` and `aiohttp_client._is_clean` do goes through private
attributes of theirs: each library, blocking and awaiting, is pinned here, with both parsers of aiohttp.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from base44_web import AsyncBase44, Base44, HttpxTransports, Settings
from base44_web._core.engine.context import Context
from base44_web._core.engine.engine import Engine
from base44_web._core.incoming.request import Incoming
from tests.certificates import certificate
from tests.checks import bearer
from tests.serving import PATIENCE

WAYS = [f"{library}-{kind}" for library in ("default", "httpx2", "httpx") for kind in ("blocking", "awaiting")]
WAYS += ["aiohttp-awaiting", "aiohttp_in_python-awaiting", "aiohttp_on_uvloop-awaiting"]


def record(who: str) -> bytes:
    return json.dumps({"id": who, "app_id": "app"}).encode()


def answered(who: str) -> bytes:
    body = record(who)
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def chunked(who: str) -> bytes:
    body = record(who)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"


EVIL = answered("evil")
# What a connection's first answer is followed by. Those that end in an error say nothing of the caller's.
SURPLUS: dict[str, Callable[[str], bytes]] = {
    "a second answer": lambda who: answered(who) + EVIL,
    "a second answer after chunks": lambda who: chunked(who) + EVIL,
    "a 204 with a body": lambda who: b"HTTP/1.1 204 No Content\r\n\r\n" + EVIL,
    "a 304 with a body": lambda who: b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n" + EVIL,
    "an error and a second answer": lambda who: b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\n{}" + EVIL,
    "a redirect and a second answer": lambda who: b"HTTP/1.1 302 No\r\nLocation: /\r\nContent-Length: 0\r\n\r\n" + EVIL,
    "a switch that nobody asked for": lambda who: (
        b"HTTP/1.1 101 No\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + EVIL
    ),
    "one octet": lambda who: answered(who) + b"H",
    "half an answer": lambda who: answered(who) + EVIL[:20],
    "one octet after chunks": lambda who: chunked(who) + b"H",
    "a second answer after a trailer": lambda who: chunked(who)[:-2] + b"X-Trailer: 1\r\n\r\n" + EVIL,
    "half an answer after a trailer": lambda who: chunked(who)[:-2] + b"X-Trailer: 1\r\n\r\n" + EVIL[:20],
    "a head without its end": lambda who: answered(who) + EVIL[: EVIL.index(b"{") - 2],
    "a length that is too short": lambda who: answered(who).replace(b"\r\n\r\n", b"  \r\n\r\n", 1) + b" " * 3 + EVIL,
}
CLEAN: dict[str, Callable[[str], bytes]] = {
    "an answer": answered,
    "chunks": chunked,
    "chunks and a trailer": lambda who: chunked(who)[:-2] + b"X-Trailer: 1\r\n\r\n",
    "an interim answer before": lambda who: b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answered(who),
    "a 204": lambda who: b"HTTP/1.1 204 No Content\r\n\r\n",
    "an error": lambda who: b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\n{}",
    "nothing": lambda who: b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
}


CORK = getattr(socket, "TCP_CORK", getattr(socket, "TCP_NOPUSH", 0))


class Upstream:
    """A server that answers what a function says, on raw sockets.

    Attributes:
        first: what the first request of each connection is answered; the others are answered well.
        then: what follows that in the same segment, over TLS as a record of its own; `None`: TLS ends, TCP does not.
        all: whether all are answered so.
        connections: how many there were.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.first: Callable[[str], bytes] = answered
        self.then: bytes | None = b""
        self.all = False
        self._tls = tls
        self.connections = 0
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        origin = "http://127.0.0.1" if tls is None else "https://localhost"
        self.url = f"{origin}:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        buffer, first = b"", True
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            while True:
                while b"\r\n\r\n" not in buffer:
                    octets = connection.recv(65536)
                    if not octets:
                        return
                    buffer += octets
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                line = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"authorization"))
                who = line.rpartition(b".")[2].decode()
                if not (first or self.all):
                    connection.sendall(answered(who))
                    continue
                first = False
                connection.setsockopt(socket.IPPROTO_TCP, CORK, 1)
                connection.sendall(self.first(who))
                if self.then is None:
                    assert isinstance(connection, ssl.SSLSocket)
                    connection.setsockopt(socket.IPPROTO_TCP, CORK, 0)
                    connection.unwrap()  # it waits for the client's end
                    return
                connection.sendall(self.then)
                connection.setsockopt(socket.IPPROTO_TCP, CORK, 0)
        except OSError:
            pass
        finally:
            connection.close()

    def send_late(self, octets: bytes) -> None:
        """Send octets that nobody has asked for, on every connection."""
        for connection in self._open:
            with contextlib.suppress(OSError):  # one that its client has closed
                connection.sendall(octets)

    def close(self) -> None:
        self._listener.close()
        for connection in self._open:
            connection.close()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.close()


def loop_factory(library: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if not library.endswith("uvloop"):
        return None
    new_loop: Callable[[], asyncio.AbstractEventLoop] = pytest.importorskip("uvloop").new_event_loop
    return new_loop


@pytest.fixture(autouse=True)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser of aiohttp that a way names."""
    way = request.node.callspec.params["way"]
    if way.startswith("aiohttp"):
        pytest.importorskip("aiohttp")
        from aiohttp import client_proto, http_parser

        if "in_python" in way:
            monkeypatch.setattr(client_proto, "HttpResponseParser", http_parser.HttpResponseParserPy)
        elif client_proto.HttpResponseParser is http_parser.HttpResponseParserPy:
            pytest.skip("aiohttp has no compiled parser here")


def asked(
    way: str, upstream: Upstream, callers: list[str], between: Callable[[], None] = lambda: None, *, turns: int = 0,
    ca_file: str | None = None,
) -> list[str]:  # fmt: skip
    """Whom each caller, one after the other, is taken for; or the name of the error.

    After each, `between` is called, and an event loop has so many turns to read what that has sent.
    """
    library, _, kind = way.partition("-")
    transport: Any = None
    if library in ("httpx2", "httpx"):
        module = pytest.importorskip(library)
        trust = ssl.create_default_context(cafile=ca_file)
        transport = HttpxTransports(
            client=lambda: module.Client(verify=trust), async_client=lambda: module.AsyncClient(verify=trust)
        )
    settings = Settings(
        app_id="app", server_url=upstream.url, identity_ttl=0, connection_ttl=0, max_retries=0, timeout=PATIENCE,
        http_client="aiohttp" if library.startswith("aiohttp") else "httpx2", ca_file=ca_file,
    )  # fmt: skip
    engine = Engine(settings, transport)

    def context(who: str) -> Context:
        return Context(engine, Incoming("GET", bearer(f"eyJhbGciOiJIUzI1NiJ9.e30.{who}")))

    async def awaiting() -> list[str]:
        found = []
        for who in callers:
            try:
                user = await AsyncBase44._for(context(who)).user()
                found.append("" if user is None else user.id)
            except Exception as error:
                found.append(type(error).__name__)
            between()
            for _ in range(turns):
                await asyncio.sleep(0)
        await engine.aclose()
        return found

    if kind == "awaiting":
        with asyncio.Runner(loop_factory=loop_factory(library)) as runner:
            return runner.run(awaiting())
    found = []
    for who in callers:
        try:
            user = Base44._for(context(who)).user()
            found.append("" if user is None else user.id)
        except Exception as error:
            found.append(type(error).__name__)
        between()
    engine.close()
    return found


@pytest.mark.parametrize("way", WAYS)
def test_what_comes_after_an_answer_is_nobodys(way: str, upstream: Upstream) -> None:
    for name, first in SURPLUS.items():
        upstream.first = first
        before, callers = upstream.connections, ["ada", "grace", "mallory", "bob"]
        for who, found in zip(callers, asked(way, upstream, callers), strict=True):
            assert found == who or found.endswith("Error"), (name, who, found)
        assert upstream.connections == before + len(callers), name  # each answer came with surplus


# What comes late, after which first answer.
LATE: dict[str, tuple[Callable[[str], bytes], bytes]] = {
    "an answer": (answered, EVIL),
    "two answers": (answered, EVIL + EVIL),
    "an answer after chunks": (chunked, EVIL),
    "one octet": (answered, b"H"),
    "half an answer": (answered, EVIL[:20]),
    "no HTTP": (answered, b"SSH-2.0-x\r\n\r\n"),
    "the second half": (lambda who: answered(who) + EVIL[:20], EVIL[20:]),
}


@pytest.mark.parametrize("turns", [0, 5])
@pytest.mark.parametrize("way", WAYS)
def test_what_comes_while_a_connection_lies_in_the_pool_is_nobodys(way: str, upstream: Upstream, turns: int) -> None:
    """Loopback has delivered what was sent when `sendall` returns: the event loop has read it by then, or not."""
    for name, (first, late) in LATE.items():
        upstream.first = first
        before = upstream.connections
        found = asked(way, upstream, ["ada", "grace"], functools.partial(upstream.send_late, late), turns=turns)
        assert found == ["ada", "grace"], name
        assert upstream.connections == before + 2, name


@pytest.mark.parametrize("way", WAYS)
def test_a_connection_whose_answers_were_clean_is_used_again(way: str, upstream: Upstream) -> None:
    upstream.all = True
    for name, first in CLEAN.items():
        upstream.first = first
        before = upstream.connections
        asked(way, upstream, ["ada", "grace", "bob"])
        assert upstream.connections == before + 1, name


@pytest.mark.parametrize("way", [way for way in WAYS if way.endswith("awaiting") and not way.startswith("aiohttp")])
def test_what_was_read_in_part_is_nobodys(way: str, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that fills a read of httpcore's: what came with it lies before the HTTP library."""
    core = "httpcore" if way.startswith("httpx-") else "httpcore2"
    connections = pytest.importorskip(f"{core}._async.http11").AsyncHTTP11Connection
    assert connections.READ_NUM_BYTES == 64 * 1024
    monkeypatch.setattr(connections, "READ_NUM_BYTES", len(answered("ada")))
    upstream.first = lambda who: answered(who) + EVIL
    before = upstream.connections
    assert asked(way, upstream, ["ada", "bob", "eve"]) == ["ada", "bob", "eve"]
    assert upstream.connections == before + 3


@pytest.mark.parametrize("way", WAYS)
def test_over_tls_too(way: str, tmp_path: Path) -> None:
    """What comes as a record of its own lies before the HTTP library, and not in the socket any more."""
    pem, key = certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem, key)
    upstream = Upstream(tls)
    callers = ["ada", "grace", "bob"]
    followed: list[tuple[Callable[[str], bytes], bytes | None]] = [
        (answered, EVIL), (chunked, EVIL), (lambda who: b"HTTP/1.1 204 No Content\r\n\r\n", EVIL), (answered, None),
        (lambda who: b"HTTP/1.1 200 OK\r\n\r\n" + record(who), None),
    ]  # fmt: skip
    try:
        for upstream.first, upstream.then in followed:
            before = upstream.connections
            for who, found in zip(callers, asked(way, upstream, callers, ca_file=str(pem)), strict=True):
                assert found == who or (upstream.then and found.endswith("Error")), (upstream.then, who, found)
            assert upstream.connections >= before + 2
        upstream.first, upstream.then, before = answered, b"", upstream.connections
        assert asked(way, upstream, callers, ca_file=str(pem)) == callers
        assert upstream.connections == before + 1
    finally:
        upstream.close()
