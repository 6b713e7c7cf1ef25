"""A platform that is down, slow or lying: one typed error each, in time, on both kinds of I/O and both libraries."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from base44_web import (
    AsyncBase44,
    Base44,
    Base44Error,
    ConfigurationError,
    HttpxTransports,
    Secret,
    Settings,
)
from base44_web._core.claims import Token
from base44_web._core.engine.context import Context
from base44_web._core.engine.engine import Engine
from base44_web._core.incoming.caller import Caller
from base44_web._core.transport import deadline
from base44_web._core.transport.httpx_clients import transport_factory
from base44_web.testing import Emulator, Fault
from tests.drivers import HTTP_LIBRARY, changed
from tests.faults import CANARY, FAULTS
from tests.serving import PATIENCE

TIMEOUT = 0.8


# What the platform does, and the error it gives: class name, code.


# As it is by default; over a client that somebody gives; and, where the matrix has it, on another library.
WAYS = ["sync", "async", "sync-httpx2"]
if HTTP_LIBRARY == "httpx":
    WAYS = ["sync-httpx", "async-httpx"]
if HTTP_LIBRARY == "aiohttp":
    WAYS = ["async-aiohttp"]


def call(way: str, settings: Settings) -> Base44Error | None:
    kind, _, library = way.partition("-")
    transport: Any = transport_factory(None, http_client="aiohttp" if library == "aiohttp" else "httpx2")
    transport._tls_context()  # which takes its time on a busy machine, from that of the first call
    if library.startswith("httpx"):
        lib = pytest.importorskip(library)
        transport = HttpxTransports(client=lib.Client, async_client=lib.AsyncClient)

    async def awaiting() -> None:
        async with AsyncBase44(settings=settings, transport=transport) as base44:
            await base44.as_service_role.connectors.get_connection("slack")

    try:
        if kind == "async":
            asyncio.run(awaiting())
        else:
            with Base44(settings=settings, transport=transport) as base44:
                base44.as_service_role.connectors.get_connection("slack")
    except Base44Error as error:
        return error
    return None


@pytest.fixture
def impatient(emulator: Emulator, platform: str) -> Settings:
    return Settings(
        app_id=emulator.app_id,
        server_url=platform,
        service_token=f"{CANARY}-service",
        timeout=TIMEOUT,
        connect_timeout=30,
    )


@pytest.mark.parametrize("way", WAYS)
def test_faults(emulator: Emulator, impatient: Settings, way: str, subtests: pytest.Subtests) -> None:
    for name, row in FAULTS.items():
        with subtests.test(name):
            emulator.clear_faults()
            is_one_typed_error(emulator, impatient, way, *row)


def is_one_typed_error(
    emulator: Emulator, impatient: Settings, way: str, fault: Fault, cls: str, code: str | None
) -> None:
    # A 200 unless the fault says otherwise, for the service token is not the emulator's.
    fault = fault if fault.status else Fault(**{**{f: getattr(fault, f) for f in Fault.__slots__}, "status": 200})
    emulator.fault(fault)
    # A busy machine must not make a timeout of what is another fault.
    patient = changed(impatient, timeout=60, connect_timeout=30)
    error = call(way, impatient if code == "timeout" else patient)
    assert error is not None
    if cls is not None:
        assert (type(error).__name__, error.code) == (cls, code)
    assert error.__cause__ is None
    assert error.__context__ is None
    assert error.data is None or not isinstance(error.status, int) or error.status >= 400
    shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert CANARY not in shown.replace(repr(impatient), "")
    assert CANARY not in f"{error!r} {error} {error.args} {vars(error)}"


@contextmanager
def deaf_server(host: str = "127.0.0.1") -> Iterator[str]:
    """An address that takes no connection: its queue is full, so that a connect waits."""
    with socket.socket() as server:
        server.bind((host, 0))
        server.listen(0)
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", server.getsockname()[1]))
            fillers.append(filler)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        for filler in fillers:
            filler.close()


@pytest.mark.parametrize("way", WAYS)
def test_connecting_has_a_limit_of_its_own(way: str) -> None:
    with deaf_server() as url:
        # Were it the limit of the whole call, this would outlast the test.
        settings = Settings(app_id="a", server_url=url, service_token="t", timeout=600, connect_timeout=0.2)
        error = call(way, settings)
    assert (type(error).__name__, getattr(error, "code", None)) == ("RequestTimeoutError", "connect_timeout")


@pytest.mark.parametrize("way", WAYS)
def test_refused_connection(way: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    error = call(way, Settings(app_id="a", server_url=url, service_token="t"))
    assert (type(error).__name__, getattr(error, "code", None)) == ("RequestFailedError", "connect_failed")
    assert url in str(error)
    assert "BASE44_SERVER_URL" in str(error)


RETRY_AFTER = {
    "7": 7.0, "0": 0.0, "-1": None, "NaN": None, "inf": None, "1e3": None, "9" * 30: None, "": None, "soon": None,
    "Fri, 01 Jan 1999 00:00:00 GMT": 0.0, "999999999": 86400.0, "Mon, 01 Jan 9999 00:00:00 GMT": 86400.0,
    "Mon, 01 Jan 99999999999999999999 00:00:00 GMT": None, "Mon, 01 Jan 2029 00:00:00 +999999999999999999": None,
}  # fmt: skip


def test_retry_after(subtests: pytest.Subtests) -> None:
    from base44_web.errors import parse_retry_after

    for value, seconds in RETRY_AFTER.items():
        with subtests.test(value=value):
            assert parse_retry_after(value) == seconds


def test_a_clients_own_defaults_are_not_sent(emulator: Emulator, platform: str) -> None:
    """A client passed in works as it is, and adds nothing: no cookies, headers, auth, base URL or redirects."""

    auth: Callable[[Any], Any] = lambda request: pytest.fail("the client's auth was used")  # noqa: E731
    with httpx2.Client(
        cookies={"a": "b"}, headers={"X-Mine": "1"}, auth=auth, base_url="http://127.0.0.1:9", follow_redirects=True
    ) as client:
        emulator.fault(Fault(headers={"Set-Cookie": "session=1; Path=/"}))
        with Base44(
            app_id=emulator.app_id, server_url=platform, service_token=emulator.service_token, transport=client
        ) as base44:
            base44.as_service_role.connectors.get_connection("slack")
        assert dict(client.cookies) == {"a": "b"}
        assert not client.is_closed
    (request,) = emulator.requests
    assert request.header("cookie") is None
    assert request.header("x-mine") is None


@pytest.mark.parametrize("library", ["httpx2", "httpx", "aiohttp"])
def test_a_cancelled_call_shows_no_part_of_the_answer(emulator: Emulator, platform: str, library: Any) -> None:
    pytest.importorskip(library)
    body = b'{"access_token": "%s"}' % CANARY.encode() + b" " * 100_000
    fault = Fault(status=200, body=body, drip=0.001, headers={"X-Leak": CANARY, "Location": f"/{CANARY}"})
    settings = Settings(app_id=emulator.app_id, server_url=platform, service_token="t", timeout=600)
    transport = transport_factory(None, http_client=library)

    async def main(seconds: float) -> None:
        async with AsyncBase44(settings=settings, transport=transport) as base44, asyncio.timeout(seconds):
            await base44.as_service_role.connectors.get_connection("slack")

    shown: list[str] = []
    for seconds in (1, 8, PATIENCE):  # a busy machine may not have had the head of the answer by then
        emulator.fault(fault, times=1)
        with pytest.raises(TimeoutError) as caught:
            asyncio.run(main(seconds))
        error: BaseException | None = caught.value
        while error is not None:
            frames = traceback.TracebackException.from_exception(error, capture_locals=True).stack
            shown += [str(frame.locals) for frame in frames if "base44_web" in frame.filename]
            error = error.__context__
        if any("'answer'" in frame for frame in shown):
            break
    # On aiohttp's way the frame that reads is not shown at all.
    assert any("'answer'" in frame for frame in shown) == (library != "aiohttp")
    assert not [frame for frame in shown if CANARY in frame]


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no such signals here")
def test_a_worker_that_is_ended_shows_no_part_of_the_answer(emulator: Emulator, platform: str) -> None:
    """As gunicorn ends one that takes too long: by an exit from a signal, in the middle of a read."""
    body = b'{"access_token": "%s"}' % CANARY.encode() + b" " * 100_000
    emulator.fault(Fault(status=200, body=body, drip=0.001, headers={"X-Leak": CANARY}), times=None)
    shown: list[str] = []

    def end(*_: object) -> None:
        raise SystemExit(1)

    settings = Settings(app_id=emulator.app_id, server_url=platform, service_token="t", timeout=600)
    before = signal.signal(signal.SIGUSR1, end)
    try:
        for seconds in (0.5, 4, 20):  # a busy machine may not have had the head of the answer by then
            timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGUSR1))
            timer.start()
            with pytest.raises(SystemExit) as caught, Base44(settings=settings) as base44:
                base44.as_service_role.connectors.get_connection("slack")
            frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True).stack
            shown += [str(frame.locals) for frame in frames if "base44_web" in frame.filename]
            if any("'answer'" in frame for frame in shown):
                break
    finally:
        timer.cancel()
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    assert any("'answer'" in frame for frame in shown)
    assert not [frame for frame in shown if CANARY in frame]


def test_each_address_of_a_host_takes_from_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five addresses that take no connection: together they have the time of one."""
    import httpcore2

    now, given = [0.0], {}

    class Deaf(httpcore2.SyncBackend):
        def connect_tcp(self, host: str, port: int, timeout: float | None = None, *more: Any) -> Any:
            assert timeout is not None
            given[host] = timeout
            now[0] += timeout
            raise httpcore2.ConnectTimeout

    addresses = [f"127.0.0.{n}" for n in range(1, 6)]
    monkeypatch.setattr(deadline, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(deadline, "_addresses", lambda host, port: addresses)
    with pytest.raises(httpcore2.ConnectTimeout):
        deadline.BoundedBackend(Deaf()).connect_tcp("host.example", 443, 0.5)
    assert given == pytest.approx(dict.fromkeys(addresses, 0.1))
    with deadline.Deadline(0.2), pytest.raises(httpcore2.ConnectTimeout):  # of which the whole call leaves less
        deadline.BoundedBackend(Deaf()).connect_tcp("host.example", 443, 0.5)
    assert now[0] == pytest.approx(0.7)


def test_a_closed_client_is_not_called_a_network_failure(settings: Settings) -> None:

    client = httpx2.Client()
    client.close()
    with Base44(settings=settings, transport=client) as base44, pytest.raises(ConfigurationError, match="is closed"):
        base44.as_service_role.connectors.get_connection("slack")


def test_a_refused_service_token_is_not_the_visitors_fault(emulator: Emulator, platform: str) -> None:
    caller = Caller(emulator.app_id, platform, platform, token=Token(Secret("a.b.c")), service_token=Secret("wrong"))
    with Base44._for(Context(Engine(Settings(app_id=emulator.app_id, server_url=platform)), caller)) as base44:
        with pytest.raises(Base44Error) as shared:
            base44.as_service_role.connectors.get_connection("slack")
        with pytest.raises(Base44Error) as own:
            base44.connectors.connect_app_user("calendar")
    assert (shared.value.status, shared.value.about_visitor) == (401, False)
    assert (own.value.status, own.value.about_visitor) == (401, True)


def test_what_a_backend_of_httpcore_must_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its whole interface heeds the deadline, also what our pool does not call."""
    done: list[Any] = []

    class Backend:
        def connect_unix_socket(self, path: str, timeout: float | None, options: Any) -> Any:
            done.append((path, timeout))
            return self

        def sleep(self, seconds: float) -> None:
            done.append(seconds)

    backend = deadline.BoundedBackend(Backend())  # type: ignore[arg-type]
    now = [100.0]
    monkeypatch.setattr(deadline, "time", SimpleNamespace(monotonic=lambda: now[0]))
    with deadline.Deadline(5):
        backend.connect_unix_socket("/run/x", 60)
        backend.sleep(2)
        now[0] += 5
        for late in (lambda: backend.connect_unix_socket("/run/x", 60), lambda: backend.sleep(2)):
            with pytest.raises(TimeoutError):
                late()
    backend.sleep(3)
    assert done == [("/run/x", 5.0), 2, 3]


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The backend reports it as it always does."""

    def unknown(*args: Any, **options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    settings = Settings(app_id="a", server_url="https://nowhere.example", service_token="t")
    with Base44(settings=settings) as base44, pytest.raises(Base44Error) as caught:
        base44.as_service_role.connectors.get_connection("slack")
    assert caught.value.code == "connect_failed"
