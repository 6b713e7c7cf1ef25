"""A platform that is down, slow or lying: one typed error each, in time, on both kinds of I/O and both libraries."""

from __future__ import annotations

import asyncio
import importlib
import json
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from base44_web import AsyncBase44, Base44, Base44Error, HttpxTransports, Settings
from base44_web._core.claims import Token
from base44_web._core.engine.context import Context
from base44_web._core.engine.engine import Engine
from base44_web._core.incoming.caller import Caller
from base44_web._core.secret import Secret
from base44_web.testing import Emulator, Fault
from tests.drivers import Driver

CANARY = "canary-c4n4ry-token"
TIMEOUT = 0.8

# What the platform does, and the error it gives: class name, code.
FAULTS: dict[str, tuple[Fault, str, str | None]] = {
    "dripping": (Fault(drip=0.02), "RequestTimeoutError", "timeout"),
    "dripping body": (Fault(body=b" " * 4000, drip=0.001), "RequestTimeoutError", "timeout"),
    "slow": (Fault(delay=2), "RequestTimeoutError", "timeout"),
    "drops before": (Fault(drop="before"), "RequestFailedError", "connection_lost"),
    "drops during": (Fault(drop="during"), "RequestFailedError", "connection_lost"),
    "no http": (Fault(raw=b"SSH-2.0-x\r\n"), "RequestFailedError", "connection_lost"),
    "html": (Fault(body=b"<!doctype html><title>hi</title>"), "InvalidResponseError", "invalid_response"),
    "empty": (Fault(body=b""), "InvalidResponseError", "invalid_response"),
    "deep": (Fault(body=b"[" * 200_000), "InvalidResponseError", "invalid_response"),
    "deep closed": (Fault(body=b"[" * 100_000 + b"]" * 100_000), "InvalidResponseError", "invalid_response"),
    "list": (Fault(body=b"[]"), "InvalidResponseError", "invalid_response"),
    "null": (Fault(body=b"null"), "InvalidResponseError", "invalid_response"),
    "nan": (Fault(body=b'{"access_token": "a", "x": NaN}'), "InvalidResponseError", "invalid_response"),
    "huge number": (Fault(body=b'{"x": ' + b"9" * 10_000 + b"}"), "InvalidResponseError", "invalid_response"),
    "not utf-8": (Fault(body=b'{"access_token": "\xff"}'), "InvalidResponseError", "invalid_response"),
    "no token": (Fault(body=b'{"integration_type": "slack"}'), "InvalidResponseError", "invalid_response"),
    "token is a number": (Fault(body=b'{"access_token": 7}'), "InvalidResponseError", "invalid_response"),
    "token is empty": (Fault(body=b'{"access_token": ""}'), "InvalidResponseError", "invalid_response"),
    "token with line break": (
        Fault(body=json.dumps({"access_token": f"{CANARY}\nX: y"}).encode()), "InvalidResponseError", "invalid_response",
    ),
    "token not ascii": (Fault(body='{"access_token": "é"}'.encode()), "InvalidResponseError", "invalid_response"),
    "config is a list": (
        Fault(body=json.dumps({"access_token": CANARY, "connection_config": ["a"]}).encode()),
        "InvalidResponseError", "invalid_response",
    ),
    "config of numbers": (
        Fault(body=json.dumps({"access_token": CANARY, "connection_config": {"a": 1}}).encode()),
        "InvalidResponseError", "invalid_response",
    ),
    "compressed": (Fault(headers={"Content-Encoding": "gzip"}), "InvalidResponseError", "invalid_response"),
    "oversized": (Fault(body=b" " * 1024 * 1024 + b"{}"), "InvalidResponseError", "invalid_response"),
    "redirect": (Fault(status=302, headers={"Location": "http://127.0.0.1:9/"}), "InvalidResponseError", "redirect"),
    "bad redirect": (Fault(status=302, headers={"Location": "http://[::1"}), None, None),  # type: ignore[dict-item]
    "unavailable": (Fault(status=503, body=b"<html>"), "ServerError", None),
    "rate limited": (Fault(status=429, headers={"Retry-After": "soon"}), "RateLimitError", None),
}  # fmt: skip


def call(kind: str, library: str, settings: Settings) -> Base44Error | None:
    lib = importlib.import_module(library)
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
        connect_timeout=0.2,
    )


@pytest.mark.parametrize("library", ["httpx2", "httpx"])
@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("name", FAULTS)
def test_faults(emulator: Emulator, impatient: Settings, name: str, kind: str, library: str) -> None:
    pytest.importorskip(library)
    fault, cls, code = FAULTS[name]
    # A 200 unless the fault says otherwise, for the service token is not the emulator's.
    fault = fault if fault.status else Fault(**{**{f: getattr(fault, f) for f in Fault.__slots__}, "status": 200})
    emulator.fault(fault)
    started = time.monotonic()
    # A busy machine must not make a timeout of what is another fault.
    patient = Settings(**{**impatient._given, "timeout": 10, "connect_timeout": 5})
    error = call(kind, library, impatient if code == "timeout" else patient)
    assert error is not None
    if cls is not None:
        assert (type(error).__name__, error.code) == (cls, code)
    assert time.monotonic() - started < 6
    assert error.__cause__ is None
    assert error.__context__ is None
    assert error.data is None or not isinstance(error.status, int) or error.status >= 400
    shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert CANARY not in shown.replace(repr(impatient), "")
    assert CANARY not in f"{error!r} {error} {error.args} {vars(error)}"


def test_every_call_tells_its_faults_apart(driver: Driver, emulator: Emulator) -> None:
    """The other calls' bodies: a wrong shape is never a result."""
    headers = {"Authorization": f"Bearer {emulator.sign_in(emulator.add_user('a@test.example'))}"}
    wrong = [
        ("user", "connect_app_user", ["c"], {}, body)
        for body in (b"{}", b'{"redirect_url": 7}', b'{"redirect_url": "http://a.example"}', b'{"redirect_url": ""}',
                     b'{"redirect_url": "https://a\\nb"}', b'{"redirect_url": "//a.example"}',
                     b'{"redirect_url": "https://user@a.example/"}', b'{"redirect_url": null}')
    ]  # fmt: skip
    wrong += [("user", "disconnect_app_user", ["c"], {}, b"<html>"), ("client", "user", [], {}, b'{"id": ""}')]
    wrong += [
        ("service", "call_api", ["x"], {"path": "/"}, body)
        for body in (b"{}", b'{"success": 1, "phase": "responded"}', b'{"success": true, "phase": "maybe"}',
                     b'{"success": true, "phase": "responded", "status_code": "200"}',
                     b'{"success": true, "phase": "responded", "headers": {"a": 1}}',
                     b'{"success": true, "phase": "responded", "credits_charged": "1"}')
    ]  # fmt: skip
    for module, method, args, kwargs, body in wrong:
        emulator.fault(Fault(status=200, body=body))
        outcome = driver.call(module, method, *args, headers=headers, **kwargs)
        assert outcome.error == "InvalidResponseError", (method, body, outcome)
        assert outcome.fields["data"] is None


def test_faults_reach_every_framework(driver_name: str, emulator: Emulator, impatient: Settings) -> None:
    with closing(Driver(driver_name, Settings(**{**impatient._given, "timeout": 3, "connect_timeout": 2}))) as driver:
        for name in ("dripping", "drops before", "html", "oversized", "redirect", "compressed"):
            fault, cls, code = FAULTS[name]
            emulator.fault(fault)
            outcome = driver.call("service", "get_connection", "slack")
            if fault.status is None and name == "html":
                assert outcome.error in (cls, "AuthenticationError")
            else:
                assert (outcome.error, outcome.fields["code"]) == (cls, code)


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


@pytest.mark.parametrize("library", ["httpx2", "httpx"])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_connecting_has_a_limit_of_its_own(kind: str, library: str) -> None:
    pytest.importorskip(library)
    with deaf_server() as url:
        started = time.monotonic()
        settings = Settings(app_id="a", server_url=url, service_token="t", timeout=5, connect_timeout=0.2)
        error = call(kind, library, settings)
    assert (type(error).__name__, getattr(error, "code", None)) == ("RequestTimeoutError", "connect_timeout")
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_refused_connection(kind: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    error = call(kind, "httpx2", Settings(app_id="a", server_url=url, service_token="t"))
    assert (type(error).__name__, getattr(error, "code", None)) == ("RequestFailedError", "connect_failed")
    assert url in str(error)
    assert "BASE44_SERVER_URL" in str(error)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("0", 0.0), ("-1", None), ("NaN", None), ("inf", None), ("1e3", None), ("9" * 30, None), ("", None),
     ("soon", None), ("Fri, 01 Jan 1999 00:00:00 GMT", 0.0), ("999999999", 86400.0),
     ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None), ("Mon, 01 Jan 9999 00:00:00 GMT", 86400.0),
     ("Mon, 01 Jan 2029 00:00:00 +999999999999999999", None)],
)  # fmt: skip
def test_retry_after(value: str, seconds: float | None) -> None:
    from base44_web.errors import parse_retry_after

    assert parse_retry_after(value) == seconds


def test_a_clients_own_defaults_are_not_sent(emulator: Emulator, platform: str) -> None:
    """A client passed in works as it is, and adds nothing: no cookies, headers, auth, base URL or redirects."""
    import httpx2

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


@pytest.mark.parametrize("library", ["httpx2", "httpx"])
def test_a_cancelled_call_shows_no_part_of_the_answer(emulator: Emulator, platform: str, library: str) -> None:
    lib = pytest.importorskip(library)
    emulator.fault(Fault(status=200, body=b'{"access_token": "%s"}' % CANARY.encode() + b" " * 4000, drip=0.001))
    settings = Settings(app_id=emulator.app_id, server_url=platform, service_token="t")
    transport = HttpxTransports(async_client=lib.AsyncClient)

    async def main() -> None:
        async with AsyncBase44(settings=settings, transport=transport) as base44, asyncio.timeout(1):
            await base44.as_service_role.connectors.get_connection("slack")

    with pytest.raises(TimeoutError) as caught:
        asyncio.run(main())
    shown: list[str] = []
    error: BaseException | None = caught.value
    while error is not None:
        frames = traceback.TracebackException.from_exception(error, capture_locals=True).stack
        shown += [str(frame.locals) for frame in frames if "base44_web" in frame.filename]
        error = error.__context__
    assert any("deadline" in frame for frame in shown)
    assert not [frame for frame in shown if CANARY in frame]


@pytest.mark.parametrize("library", ["httpx2", "httpx"])
def test_each_address_of_a_host_takes_from_the_same_time(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lib = pytest.importorskip(library)
    lookup = socket.getaddrinfo

    def several(host: str, port: int, *args: Any, **options: Any) -> Any:
        if host != "localhost":
            return lookup(host, port, *args, **options)
        return [
            (family, kind, protocol, name, (f"127.0.0.{n}", *address[1:]))
            for n in range(1, 6)
            for family, kind, protocol, name, address in lookup("127.0.0.1", port, type=socket.SOCK_STREAM)
        ]

    with deaf_server("0.0.0.0") as url:
        monkeypatch.setattr(socket, "getaddrinfo", several)
        url = url.replace("0.0.0.0", "localhost")
        settings = Settings(app_id="a", server_url=url, service_token="t", timeout=3, connect_timeout=0.5)
        started = time.monotonic()
        transport = HttpxTransports(client=lib.Client)
        with Base44(settings=settings, transport=transport) as base44, pytest.raises(Base44Error) as caught:
            base44.as_service_role.connectors.get_connection("slack")
    assert caught.value.code == "connect_timeout"
    assert time.monotonic() - started < 1.5


def test_a_closed_client_is_not_called_a_network_failure(settings: Settings) -> None:
    import httpx2

    client = httpx2.Client()
    client.close()
    with Base44(settings=settings, transport=client) as base44, pytest.raises(Base44Error) as caught:
        base44.as_service_role.connectors.get_connection("slack")
    assert type(caught.value).__name__ == "ConfigurationError"


def test_the_platforms_text_is_one_line_in_a_log(driver: Driver, emulator: Emulator) -> None:
    emulator.fault(Fault(status=500, body=json.dumps({"detail": "a\nb\x1b[31m" + "x" * 900_000}).encode()))
    outcome = driver.call("service", "get_connection", "slack")
    assert outcome.error == "ServerError"
    assert len(outcome.fields["text"]) == 500
    assert outcome.fields["text"].startswith("a b [31mxxx")
    assert len(outcome.fields["message"]) > 900_000


def test_an_answer_that_cannot_be_used_keeps_its_status(driver: Driver, emulator: Emulator) -> None:
    emulator.fault(Fault(status=200, body=b"[]"))
    assert driver.call("service", "get_connection", "slack").fields["status"] == 200


def test_a_refused_service_token_is_not_the_visitors_fault(emulator: Emulator, platform: str) -> None:
    caller = Caller(emulator.app_id, platform, platform, token=Token(Secret("a.b.c")), service_token=Secret("wrong"))
    with Base44._for(Context(Engine(Settings(app_id=emulator.app_id, server_url=platform)), caller)) as base44:
        with pytest.raises(Base44Error) as shared:
            base44.as_service_role.connectors.get_connection("slack")
        with pytest.raises(Base44Error) as own:
            base44.connectors.connect_app_user("calendar")
    assert (shared.value.status, shared.value.about_visitor) == (401, False)
    assert (own.value.status, own.value.about_visitor) == (401, True)
