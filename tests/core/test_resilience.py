"""What is tried again, when, and for how long; and whom this server trusts."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

from base44_web import (
    AppUser,
    AsyncBase44,
    Base44,
    ConfigurationError,
    Connection,
    InvalidResponseError,
    RateLimitError,
    RequestFailedError,
    RequestTimeoutError,
    ServerError,
    Settings,
    TransportError,
)
from base44_web._core.platform import perform
from base44_web._core.platform.retries import pause_before
from base44_web._core.transport.message import PlatformRequest, PlatformResponse
from base44_web.testing import CALENDAR_ID, Emulator, Fault
from tests.apps.calls import encode_call
from tests.certificates import certificate
from tests.checks import (
    calls,
)
from tests.conftest import Clock
from tests.drivers import changed, make_app
from tests.serving import PATIENCE
from tests.transports import Held, Scripted


@pytest.mark.parametrize("kind", ["blocking", "awaiting"])
def test_what_never_left_is_repeated(emulator: Emulator, ada: AppUser, kind: str) -> None:
    """Nobody listens at first; what the error is then, `test_refused_connection` sees."""
    inner, refusals = emulator.transport.open(), [2]

    def answer(request: PlatformRequest, timeout: float) -> PlatformResponse:
        if refusals[0]:
            refusals[0] -= 1
            raise RequestFailedError("", code="connect_failed")
        return inner.send(request, timeout=timeout, connect_timeout=timeout)

    transport = Scripted(answer)
    settings = Settings(app_id=emulator.app_id, max_retries=2)
    with Base44(settings=settings, token=emulator.sign_in(ada), transport=transport) as base44:
        if kind == "blocking":
            url = base44.connectors.connect_app_user(CALENDAR_ID)
        else:
            url = asyncio.run(base44.aio.connectors.connect_app_user(CALENDAR_ID))
    assert "/provider/consent" in url
    assert len(transport.timeouts) == 3
    assert calls(emulator, "/initiate") == 1


def test_as_often_as_set(settings: Settings, emulator: Emulator, subtests: pytest.Subtests) -> None:
    emulator.fault(Fault(status=500), times=None)
    for retries in (0, 1, 2):
        with subtests.test(retries=retries):
            emulator.requests.clear()
            with Base44(settings=changed(settings, max_retries=retries)) as base44, pytest.raises(ServerError):
                base44.as_service_role.connectors.get_connection("slack")
            assert len(emulator.requests) == retries + 1


@pytest.mark.parametrize("kind", ["blocking", "awaiting"])
def test_the_deadline_is_for_all_tries(kind: str, clock: Clock) -> None:
    clock.stop()

    def answer(request: PlatformRequest, timeout: float) -> PlatformResponse:
        clock.forward(min(timeout, 1.6))
        if timeout < 1.6:
            raise RequestTimeoutError("", code="timeout")
        return PlatformResponse(500, {}, b"")

    transport = Scripted(answer)
    settings = Settings(app_id="a", service_token="s", timeout=3, max_retries=2)

    def ask(base44: Base44) -> Connection:
        if kind == "blocking":
            return base44.as_service_role.connectors.get_connection("slack")
        return asyncio.run(base44.aio.as_service_role.connectors.get_connection("slack"))

    with Base44(settings=settings, transport=transport) as base44, pytest.raises(RequestTimeoutError):
        ask(base44)
    assert transport.timeouts == pytest.approx([3, 1.4])


def test_pauses() -> None:
    left = {"most": 9, "left": 60.0}
    for attempt in range(8):
        pause = pause_before(attempt, "GET", ServerError("", status=503), **left)
        assert pause is not None
        assert min(0.1 * 2**attempt, 2) / 2 <= pause <= min(0.1 * 2**attempt, 2)
    assert pause_before(0, "GET", RateLimitError("", retry_after=3.0), **left) == 3.0
    assert pause_before(0, "GET", RateLimitError("", retry_after=6.0), **left) is None
    assert pause_before(0, "GET", ServerError("", retry_after=3.0), most=9, left=2.0) is None
    assert pause_before(9, "GET", ServerError(""), **left) is None
    assert pause_before(0, "POST", ServerError(""), **left) is None
    assert pause_before(0, "DELETE", RequestFailedError("", code="connection_lost"), **left) is None
    assert pause_before(0, "POST", RequestFailedError("", code="connect_failed"), **left) is not None
    assert pause_before(0, "POST", RequestTimeoutError("", code="connect_timeout"), **left) is not None
    assert pause_before(0, "GET", RequestTimeoutError("", code="timeout"), **left) is None
    assert pause_before(0, "GET", RequestFailedError("", code="overloaded"), **left) is None
    assert pause_before(0, "GET", InvalidResponseError(""), **left) is None
    assert pause_before(0, "GET", ServerError("", status=501), **left) is None


def test_nonsense_in_retry_after(settings: Settings, emulator: Emulator, subtests: pytest.Subtests) -> None:
    for value in ("nan", "inf", "-1", "1e9", "9" * 40, "soon", "", "0x1"):
        with subtests.test(value=value):
            emulator.clear_faults()
            emulator.requests.clear()
            emulator.fault(Fault(status=429, headers={"Retry-After": value}), times=1)
            with Base44(settings=changed(settings, max_retries=2)) as base44:
                assert base44.as_service_role.connectors.get_connection("slack").access_token
            assert len(emulator.requests) == 2


def test_a_slow_platform_does_not_pile_up_requests(emulator: Emulator) -> None:
    count = perform._CALLS + perform._WAITING + 20
    names = [f"c{n}" for n in range(count)]  # each its own: who asks for the same shares one call
    for name in names:
        emulator.share(name)

    async def main() -> None:
        held = Held(emulator, lambda request: True)
        settings = Settings(app_id=emulator.app_id, service_token=emulator.service_token, timeout=600)
        app = make_app("core-awaiting", settings, held)
        calls = [encode_call("service", "get_connection", [name], {}) for name in names]
        requests = [httpx2.Request("POST", "http://testserver/run", headers=call) for call in calls]
        tasks = [asyncio.create_task(app(request)) for request in requests]
        await held.arrived(perform._CALLS)
        while sum(task.done() for task in tasks) < 20:
            await asyncio.sleep(0)
        early = [task.result().json() for task in tasks if task.done()]
        assert [answer["fields"]["code"] for answer in early] == ["overloaded"] * 20
        assert held.waiting == perform._CALLS
        assert emulator.requests == []
        held.let_go()
        answers = [answer.json() for answer in await asyncio.gather(*tasks)]
        assert sum("result" in answer for answer in answers) == perform._CALLS + perform._WAITING

    asyncio.run(main())


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A platform whose certificate an authority of its own has signed."""
    pem, secret = certificate(tmp_path)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"access_token": "over TLS", "integration_type": "slack"}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, secret)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://localhost:{server.server_port}", pem
    server.shutdown()
    thread.join(PATIENCE)
    server.server_close()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_an_authority_of_ones_own(tls: tuple[str, Path], kind: str) -> None:

    url, pem = tls

    async def ask(settings: Settings) -> str:
        async with AsyncBase44(settings=settings) as base44:
            return (await base44.as_service_role.connectors.get_connection("slack")).access_token

    def ask_blocking(settings: Settings) -> str:
        with Base44(settings=settings) as base44:
            return base44.as_service_role.connectors.get_connection("slack").access_token

    def call(settings: Settings) -> str:
        return ask_blocking(settings) if kind == "sync" else asyncio.run(ask(settings))

    fields: dict[str, Any] = {"app_id": "a", "service_token": "s", "server_url": url, "max_retries": 0}
    with pytest.raises(TransportError):
        call(Settings(**fields))
    assert call(Settings(**fields, ca_file=str(pem))) == "over TLS"


def test_a_ca_file_that_is_none(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for path in (str(tmp_path / "nowhere.pem"), str(empty), str(tmp_path)):
        with pytest.raises(ConfigurationError, match="BASE44_CA_FILE"):
            Settings(app_id="a", ca_file=path)
