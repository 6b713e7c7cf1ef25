"""Connections that stay good: what happens after the provider's 401."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from base44_web import (
    AppUser,
    AsyncBase44,
    AuthenticationError,
    Base44,
    ConfigurationError,
    Connection,
    NotConnectedError,
    RateLimitError,
    Secret,
    Settings,
)
from base44_web._core.connections.renewals import _FIRST, _LONGEST
from base44_web._core.engine.context import Context
from base44_web._core.engine.engine import Engine
from base44_web._core.guards.admit import admit
from base44_web._core.platform.io import BLOCKING, run
from base44_web.testing import CALENDAR_ID, Emulator, Fault
from tests.conftest import Clock
from tests.core.test_connections import caller_of, client_of
from tests.drivers import changed
from tests.serving import PATIENCE
from tests.transports import Held

LIBRARIES = ["httpx2", "httpx"]


class Provider:
    """An outside service that takes the tokens it is told to, and keeps what it was sent."""

    def __init__(self) -> None:
        self.good: set[str] = set()
        self.seen: list[tuple[str | None, bytes]] = []
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = b""
                if self.headers.get("transfer-encoding") == "chunked":
                    while size := int(self.rfile.readline(), 16):
                        body += self.rfile.read(size + 2)[:-2]
                    self.rfile.readline()
                else:
                    body = self.rfile.read(int(self.headers.get("content-length", 0)))
                given = self.headers.get("authorization")
                provider.seen.append((given, body))
                status = 200 if (given or "").removeprefix("Bearer ") in provider.good else 401
                status = 403 if self.path == "/403" else status
                if self.path == "/redirected" and status == 200:
                    status = 302
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", provider.elsewhere)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            do_GET = do_POST

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        self.elsewhere = ""

    def statuses(self) -> list[bool]:
        """Whether each request had a good token."""
        found = [(given or "").removeprefix("Bearer ") in self.good for given, _ in self.seen]
        self.seen.clear()
        return found


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    thread = threading.Thread(target=provider.server.serve_forever, args=(0.02,))
    thread.start()
    yield provider
    provider.server.shutdown()
    thread.join(PATIENCE)
    provider.server.server_close()


@pytest.fixture
def engine(settings: Settings, emulator: Emulator, clock: Clock) -> Engine:
    return Engine(changed(settings, connection_ttl=30), emulator.transport)


@pytest.fixture
def base44(engine: Engine, emulator: Emulator, ada: AppUser) -> Base44:
    """Ada's, who is connected."""
    emulator.connect(ada, CALENDAR_ID)
    client = client_of(engine, emulator, ada)
    assert client.user() is not None
    emulator.requests.clear()
    return client


def calendar(base44: Base44) -> Connection:
    return base44.as_service_role.connectors.get_current_app_user_connection("calendar")


def die(emulator: Emulator, ada: AppUser, provider: Provider | None = None) -> str:
    """The provider takes the token no longer; the platform has another."""
    token = emulator.connect(ada, CALENDAR_ID)
    if provider is not None:
        provider.good = {token}
    return token


def asked(emulator: Emulator) -> dict[str, int]:
    """How often the platform was asked for what, since this was asked last."""
    found = {"token": 0, "me": 0}
    for request in emulator.requests:
        found["me" if "/User/me" in request.target else "token"] += 1
    emulator.requests.clear()
    return found


# --- renew


@pytest.mark.parametrize("ttl", [30, 0])
def test_renew_gives_a_newer_one(base44: Base44, engine: Engine, emulator: Emulator, ada: AppUser, ttl: int) -> None:
    engine.connections.memory.ttl = ttl
    old = calendar(base44)
    dead = old.access_token
    new = die(emulator, ada)
    asked(emulator)
    for client in (base44, base44.aio):
        renewed = client.renew(old)
        renewed = renewed if isinstance(renewed, Connection) else asyncio.run(renewed)  # type: ignore[arg-type]
        assert renewed.access_token == new
        assert old.access_token == dead
    assert asked(emulator) == {
        "token": 1,
        "me": 1,
    }  # the user was verified again; the second was told what the first was
    if ttl:
        assert calendar(base44).access_token == new
        assert asked(emulator)["token"] == 0


def test_renewing_what_somebody_has_renewed_costs_nothing(base44: Base44, emulator: Emulator, ada: AppUser) -> None:
    old = calendar(base44)
    new = die(emulator, ada)
    base44.as_service_role.connectors.get_current_app_user_connection("calendar", fresh=True)
    asked(emulator)
    assert base44.renew(old).access_token == new
    assert asked(emulator) == {"token": 0, "me": 0}


@pytest.mark.parametrize("ttl", [30, 0])
def test_fifty_callers_with_one_dead_token(
    settings: Settings, emulator: Emulator, ada: AppUser, ttl: int, clock: Clock
) -> None:
    """Together, and one after the other: one renewal."""
    emulator.connect(ada, CALENDAR_ID)
    engine = Engine(changed(settings, connection_ttl=ttl), emulator.transport)
    client = client_of(engine, emulator, ada)
    assert client.user() is not None
    olds = [calendar(client) for _ in range(51)]
    emulator.fault(Fault(delay=0.3), path="*/token*", times=1)
    new = die(emulator, ada)
    asked(emulator)
    ready = threading.Barrier(50)

    def renew(old: Connection) -> str:
        ready.wait(PATIENCE)
        return client.renew(old).access_token

    with ThreadPoolExecutor(50) as threads:
        assert set(threads.map(renew, olds[:50])) == {new}
    assert client.renew(olds[50]).access_token == new
    assert asked(emulator)["token"] == 1


@pytest.mark.parametrize("ttl", [0, 30])
@pytest.mark.parametrize("how", ["disconnect", "forget"])
def test_what_was_renewed_before_it_ended_is_given_to_nobody(
    settings: Settings, emulator: Emulator, ada: AppUser, ttl: int, how: str
) -> None:
    emulator.connect(ada, CALENDAR_ID)
    base44 = client_of(Engine(changed(settings, connection_ttl=ttl), emulator.transport), emulator, ada)
    dead = base44.as_service_role.connectors.get_current_app_user_connection("calendar")
    emulator.connect(ada, CALENDAR_ID)
    renewed = base44.renew(dead)
    assert base44.renew(dead).access_token == renewed.access_token
    if how == "disconnect":
        base44.connectors.disconnect_app_user("calendar")
        with pytest.raises(NotConnectedError):
            base44.renew(dead)
    else:
        base44.forget()
    emulator.connect(ada, CALENDAR_ID)
    newest = base44.renew(dead).access_token
    assert newest not in (dead.access_token, renewed.access_token)
    assert base44.renew(renewed).access_token == newest


def test_a_provider_that_always_says_no(base44: Base44, emulator: Emulator, ada: AppUser, clock: Clock) -> None:
    """It does not double the platform's load: the newest token is taken for good, for longer each time."""
    clock.stop()
    connection = calendar(base44)
    asked(emulator)
    assert base44.renew(connection).access_token == connection.access_token  # the platform has no other
    pauses = []
    for _ in range(6):
        with pytest.raises(RateLimitError) as caught:
            base44.renew(connection)
        assert caught.value.code == "renewed_already"
        assert caught.value.retry_after is not None
        pauses.append(caught.value.retry_after)
        clock.forward(caught.value.retry_after)
        base44.user()
        base44.renew(connection)
    assert pauses == [pytest.approx(min(_FIRST * 2**n, _LONGEST)) for n in range(6)]
    assert asked(emulator)["token"] == 7
    clock.forward(3 * _LONGEST)
    base44.user()
    base44.renew(connection)
    clock.forward(_FIRST)
    base44.user()
    base44.renew(connection)


def test_a_token_that_lived_its_hour_is_renewed_at_once(
    base44: Base44, emulator: Emulator, ada: AppUser, clock: Clock
) -> None:
    connection = calendar(base44)
    for _ in range(3):
        new = die(emulator, ada)
        connection = base44.renew(connection)
        assert connection.access_token == new
        clock.forward(3600)
        emulator.requests.clear()


def test_new_tokens_that_die_at_once(base44: Base44, emulator: Emulator, ada: AppUser) -> None:
    """Some of them may; a provider that takes none is asked about no more."""
    connection = calendar(base44)
    for _ in range(3):
        new = die(emulator, ada)
        connection = base44.renew(connection)
        assert connection.access_token == new
    die(emulator, ada)
    connection = base44.renew(connection)
    with pytest.raises(RateLimitError):
        base44.renew(connection)


def test_what_cannot_be_renewed_says_why(base44: Base44, engine: Engine, emulator: Emulator, ada: AppUser) -> None:
    connection = calendar(base44)
    with pytest.raises(ValueError, match="by hand"):
        base44.renew(Connection(Secret("t"), None, None))
    emulator.disconnect(ada, CALENDAR_ID)
    with pytest.raises(NotConnectedError):
        base44.renew(connection)
    emulator.connect(ada, CALENDAR_ID)
    emulator.fault(Fault(status=401), path="*/User/me", times=None)
    with pytest.raises(AuthenticationError):  # the user was disabled meanwhile
        base44.renew(connection)


def test_a_session_that_ended_meanwhile(engine: Engine, emulator: Emulator, ada: AppUser, clock: Clock) -> None:
    emulator.connect(ada, CALENDAR_ID)
    client = client_of(engine, emulator, ada)
    connection = calendar(client)
    clock.forward(10**9)
    with pytest.raises(AuthenticationError):
        client.renew(connection)


def test_a_service_token_that_is_dead(base44: Base44, emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    connection = calendar(base44)
    emulator.fault(Fault(status=401), path="*/token", times=None)
    with pytest.raises(AuthenticationError):
        base44.renew(connection)


def test_after_the_client_was_closed_it_says_so(settings: Settings, emulator: Emulator, ada: AppUser) -> None:
    emulator.share("slack")
    with Base44(settings=settings, transport=emulator.transport) as client:
        connection = client.as_service_role.connectors.get_connection("slack")
    with pytest.raises(ConfigurationError, match="closed"):
        client.renew(connection)

    async def main() -> None:
        async with AsyncBase44(settings=settings, transport=emulator.transport) as client:
            connection = await client.as_service_role.connectors.get_connection("slack")
        with pytest.raises(ConfigurationError, match="closed"):
            await client.renew(connection)

    asyncio.run(main())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_after_a_fork(settings: Settings, emulator: Emulator, ada: AppUser) -> None:
    emulator.connect(ada, CALENDAR_ID)
    engine = Engine(changed(settings, connection_ttl=30))
    client = client_of(engine, emulator, ada)
    connection = calendar(client)
    new = emulator.connect(ada, CALENDAR_ID)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, client.renew(connection).access_token.encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as found:
        assert found.read() == new
    os.waitpid(child, 0)
    assert client.renew(connection).access_token == new
    engine.close()


# --- auth=


def send(
    kind: str, library: str, url: str, auth: Any, *, stream: bool = False, times: int = 1, **options: Any
) -> list[int]:
    """Send through a real client; the statuses."""
    lib = pytest.importorskip(library)

    def chunks() -> Iterator[bytes]:
        yield b"one"
        yield b"two"

    async def chunks_awaiting() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    async def main() -> list[int]:
        async with lib.AsyncClient(auth=auth, timeout=PATIENCE, **options) as client:
            return [
                (await client.post(url, content=chunks_awaiting() if stream else b"body")).status_code
                for _ in range(times)
            ]

    if kind == "awaiting":
        return asyncio.run(main())
    with lib.Client(auth=auth, timeout=PATIENCE, **options) as client:
        return [client.post(url, content=chunks() if stream else b"body").status_code for _ in range(times)]


KINDS = pytest.mark.parametrize("kind", ["blocking", "awaiting"])
EACH = pytest.mark.parametrize("library", LIBRARIES)


@KINDS
@EACH
def test_auth_survives_a_401(
    base44: Base44, emulator: Emulator, ada: AppUser, provider: Provider, kind: str, library: str
) -> None:
    auth = calendar(base44).auth()
    die(emulator, ada, provider)
    asked(emulator)
    assert send(kind, library, provider.url, auth, times=3) == [200] * 3
    assert [body for _, body in provider.seen] == [b"body"] * 4
    assert provider.statuses() == [False, True, True, True]  # a dead one costs one 401, not one a call
    assert asked(emulator)["token"] == 1
    assert send(kind, library, provider.url, auth) == [200]
    assert provider.statuses() == [True]


@KINDS
@EACH
def test_a_second_401_is_the_callers(
    base44: Base44, emulator: Emulator, ada: AppUser, provider: Provider, kind: str, library: str
) -> None:
    auth = calendar(base44).auth()
    die(emulator, ada)
    asked(emulator)
    assert send(kind, library, provider.url, auth, times=5) == [401] * 5
    assert len(provider.seen) == 6
    assert asked(emulator)["token"] == 2  # the platform's new token, and that it has no other


@KINDS
@EACH
def test_a_body_that_was_streamed_is_not_sent_again(
    base44: Base44, emulator: Emulator, ada: AppUser, provider: Provider, kind: str, library: str
) -> None:
    auth = calendar(base44).auth()
    die(emulator, ada, provider)
    assert send(kind, library, provider.url, auth, stream=True, times=2) == [401, 200]
    assert [body for _, body in provider.seen] == [b"onetwo"] * 2


@KINDS
@EACH
def test_rights_that_were_not_granted_are_not_renewed(
    base44: Base44, emulator: Emulator, ada: AppUser, provider: Provider, kind: str, library: str
) -> None:
    auth = calendar(base44).auth()
    asked(emulator)
    assert send(kind, library, f"{provider.url}403", auth) == [403]
    assert len(provider.seen) == 1
    assert asked(emulator) == {"token": 0, "me": 0}


@KINDS
@EACH
def test_where_it_cannot_be_renewed_the_401_is_the_answer(
    base44: Base44, emulator: Emulator, ada: AppUser, provider: Provider, kind: str, library: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    connection = calendar(base44)
    emulator.disconnect(ada, CALENDAR_ID)
    with caplog.at_level(logging.WARNING, "base44_web"):
        assert send(kind, library, provider.url, connection.auth()) == [401]
    assert "cannot be renewed" in caplog.text
    assert connection.access_token not in caplog.text
    assert len(provider.seen) == 1


@KINDS
@EACH
def test_a_connection_made_by_hand_is_sent_as_it_is(provider: Provider, kind: str, library: str) -> None:
    connection = Connection(Secret("by-hand"), None, None)
    assert send(kind, library, provider.url, connection.auth()) == [401]
    provider.good = {"by-hand"}
    assert send(kind, library, provider.url, connection.auth()) == [200]
    assert send(kind, library, provider.url, connection) == [200]


@KINDS
@EACH
def test_a_redirect_takes_the_token_nowhere_else(base44: Base44, provider: Provider, kind: str, library: str) -> None:
    connection = calendar(base44)
    other = Provider()
    thread = threading.Thread(target=other.server.serve_forever, args=(0.02,))
    thread.start()
    try:
        provider.elsewhere = other.url
        provider.good = {connection.access_token}
        send(kind, library, f"{provider.url}redirected", connection.auth(), follow_redirects=True)
        assert [given for given, _ in other.seen] == [None]
    finally:
        other.server.shutdown()
        thread.join(PATIENCE)
        other.server.server_close()


class Request:
    def __init__(self, url: str) -> None:
        self.url = url
        self.headers: dict[str, str] = {}


@pytest.mark.parametrize(
    ("url", "hosts", "goes"),
    [
        ("https://api.example/x", None, True),
        ("http://api.example/x", None, False),
        ("http://127.0.0.1:1/x", None, True),
        ("http://localhost/x", None, True),
        ("http://localhost.example/x", None, False),
        ("ftp://api.example/x", None, False),
        ("//api.example/x", None, False),
        ("", None, False),
        ("https://api.example/x", ["api.example"], True),
        ("https://API.example:8443/x", ["Api.Example"], True),
        ("https://api.example.evil.example/x", ["api.example"], False),
        ("https://evil.example/api.example", ["api.example"], False),
        ("https://api.example@evil.example/", ["api.example"], False),
        ("https://www.googleapis.com/x", ["*.googleapis.com"], True),
        ("https://googleapis.com/x", ["*.googleapis.com"], False),
        ("https://evilgoogleapis.com/x", ["*.googleapis.com"], False),
        ("http://127.0.0.1/x", ["api.example"], False),
        ("https://api.example/x", [], False),
    ],
)
def test_where_a_token_may_go(url: str, hosts: list[str] | None, goes: bool) -> None:
    connection = Connection(Secret("canary-token"), None, None)
    sends = [connection.auth(hosts), *([connection] if hosts is None else [])]
    for each in sends:
        request = Request(url)
        if goes:
            assert each(request).headers == {"Authorization": "Bearer canary-token"}  # type: ignore[operator]
            continue
        with pytest.raises(ValueError, match="token") as caught:
            each(request)  # type: ignore[operator]
        assert request.headers == {}
        assert "canary" not in str(caught.value)


@KINDS
@EACH
def test_a_request_to_elsewhere_is_not_sent(base44: Base44, provider: Provider, kind: str, library: str) -> None:
    with pytest.raises(ValueError, match=r"goes to api\.example"):
        send(kind, library, provider.url, calendar(base44).auth(["api.example"]))
    assert provider.seen == []
    with pytest.raises(TypeError, match="list of host names"):
        calendar(base44).auth("api.example")


def test_nothing_of_it_shows(base44: Base44) -> None:
    connection = calendar(base44)
    assert connection.access_token not in repr(connection.auth())
    with pytest.raises(TypeError, match="pickled"):
        connection.auth().__reduce_ex__(2)


def test_neither_library_is_imported_before_somebody_wants_it() -> None:
    code = """if True:
    import sys
    from base44_web import Connection, Secret
    connection = Connection(Secret("t"), None, None)
    assert not {"httpx", "httpx2", "requests"} & set(sys.modules), sorted(sys.modules)
    connection.auth()
    print("ok")
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


# --- where it goes on working


def test_on_a_loop_of_another_kind(
    base44: Base44, engine: Engine, emulator: Emulator, ada: AppUser, provider: Provider
) -> None:
    """A blocking view's connection in `asyncio.run`; an awaiting view's in a blocking client, in a thread."""
    for kind in ("awaiting", "blocking", "awaiting"):
        connection = calendar(base44)
        die(emulator, ada, provider)
        with ThreadPoolExecutor(1) as threads:
            assert threads.submit(send, kind, "httpx2", provider.url, connection.auth()).result() == [200]


def test_as_the_user_is_verified_once_for_all_who_lead(
    settings: Settings, emulator: Emulator, ada: AppUser, clock: Clock
) -> None:
    emulator.connect(ada, CALENDAR_ID)

    async def main() -> None:
        held = Held(emulator, lambda request: False)
        engine = Engine(changed(settings, connection_ttl=30), held)
        client = client_of(engine, emulator, ada).aio
        await client.user()
        connectors = client.as_service_role.connectors
        olds = [await connectors.get_current_app_user_connection("calendar") for _ in range(50)]
        emulator.connect(ada, CALENDAR_ID)
        emulator.requests.clear()
        await asyncio.gather(*(client.renew(old) for old in olds))
        assert asked(emulator) == {"token": 1, "me": 1}

    asyncio.run(main())


# --- what else holds an old one


def test_a_provider_that_takes_no_token_costs_a_call_for_each_ttl(
    base44: Base44, emulator: Emulator, provider: Provider, caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    """Not one for each request: what is kept stays kept where nothing newer is to be had. The log says it once."""
    clock.stop()
    asked(emulator)
    with caplog.at_level(logging.WARNING, "base44_web"):
        for _ in range(10):
            assert send("blocking", "httpx2", provider.url, calendar(base44).auth()) == [401]
    assert asked(emulator)["token"] == 2  # the first, and that there is no other
    assert caplog.text.count("no newer one") == 1
    assert sum(record.name == "base44_web" for record in caplog.records) == 1


def test_each_auth_of_one_connection_sends_the_newest(
    base44: Base44, emulator: Emulator, ada: AppUser, provider: Provider
) -> None:
    connection = calendar(base44)
    die(emulator, ada, provider)
    for kind in ("blocking", "awaiting", "blocking"):
        assert send(kind, "httpx2", provider.url, connection.auth()) == [200]
    assert provider.statuses() == [False, True, True, True]


def test_what_a_request_has_at_hand_is_renewed_too(
    engine: Engine, emulator: Emulator, ada: AppUser, provider: Provider
) -> None:
    emulator.connect(ada, CALENDAR_ID)
    context = Context(engine, caller_of(emulator, engine.settings, ada))
    run(admit(BLOCKING, context, ("calendar",)))
    client = Base44._for(context)
    new = die(emulator, ada, provider)
    assert send("blocking", "httpx2", provider.url, client.connection("calendar").auth()) == [200]
    assert client.connection("calendar").access_token == new
    assert calendar(client).access_token == new
    newer = die(emulator, ada)
    client.renew(client.connection("calendar"))
    assert client.connection("calendar").access_token == newer


def test_where_nobody_verifies_users_it_is_renewed_all_the_same(
    settings: Settings, emulator: Emulator, ada: AppUser, provider: Provider
) -> None:
    emulator.connect(ada, CALENDAR_ID)
    client = client_of(Engine(changed(settings, verification="none"), emulator.transport), emulator, ada)
    connection = calendar(client)
    new = die(emulator, ada, provider)
    assert send("blocking", "httpx2", provider.url, connection.auth()) == [200]
    assert client.renew(connection).access_token == new
