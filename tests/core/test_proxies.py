"""The environment's proxies, for the blocking transport of our own and the awaiting one of httpx2."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from base44_web import AsyncBase44, Base44, Base44Error, ConfigurationError, Connection, HttpxTransports, Settings
from base44_web._core.platform.io import run
from base44_web._core.transport import proxies
from base44_web._core.transport.proxies import Proxies
from base44_web.testing import Emulator
from tests.checks import bearer
from tests.drivers import make_app

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


WHICH: list[tuple[dict[str, str], str, str | None]] = [
    ({}, "https://base44.app/", None),
    ({"HTTPS_PROXY": "http://proxy:3128"}, "https://base44.app/", "http://proxy:3128"),
    ({"HTTPS_PROXY": "proxy:3128"}, "https://base44.app/", "http://proxy:3128"),
    ({"HTTPS_PROXY": "http://one:1", "ALL_PROXY": "http://two:2"}, "https://base44.app/", "http://one:1"),
    ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "base44.app"}, "https://base44.app/", None),
    ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "*"}, "https://base44.app/", None),
    ({"ALL_PROXY": "http://proxy:3128"}, "http://localhost:4400/", None),
    ({"ALL_PROXY": "http://proxy:3128"}, "http://127.0.0.1/", None),
    ({"ALL_PROXY": "http://proxy:3128"}, "http://[::1]:80/", None),
]


def test_which_proxy(monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests) -> None:
    for variables, url, proxy in WHICH:
        with subtests.test(variables=variables, url=url), monkeypatch.context() as own:
            for name, value in variables.items():
                own.setenv(name, value)
            assert Proxies().of(url) == proxy


@pytest.mark.parametrize("installed", [True, False])
def test_a_socks_proxy_needs_its_library(installed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5h://proxy:1080")
    monkeypatch.setattr(proxies, "find_spec", lambda name: (name == "socksio" and installed) or None)
    if installed:
        assert Proxies().of("https://base44.app/") == "socks5h://proxy:1080"
    else:
        with pytest.raises(ConfigurationError, match="pip install socksio"):
            Proxies().of("https://base44.app/")


def test_a_proxy_that_is_none(monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests) -> None:
    for value in ("ftp://proxy:1", "http://", "https://"):
        with subtests.test(value):
            monkeypatch.setenv("HTTPS_PROXY", value)
            with pytest.raises(ConfigurationError, match="HTTPS_PROXY or ALL_PROXY"):
                Proxies().of("https://base44.app/")
            with Base44(app_id="a", service_token="s") as base44, pytest.raises(ConfigurationError):
                base44.as_service_role.connectors.get_connection("slack")


@pytest.fixture
def proxy() -> Iterator[tuple[int, list[bytes]]]:
    """A proxy that lets nobody through: its port, and what it was sent."""
    seen: list[bytes] = []
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    head = b""
                    while b"\r\n\r\n" not in head and (part := connection.recv(65536)):
                        head += part
                    seen.append(head)
                    connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], seen
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.parametrize("kind", ["blocking", "awaiting"])
def test_a_proxy_with_a_password(kind: str, proxy: tuple[int, list[bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    port, seen = proxy
    monkeypatch.setenv("HTTPS_PROXY", f"http://us%40er:pass%3Aword@127.0.0.1:{port}")
    settings = Settings(app_id="a", service_token="canary", max_retries=0, timeout=60, connect_timeout=30)

    def ask(base44: Base44) -> object:
        if kind == "blocking":
            return base44.as_service_role.connectors.get_connection("slack")
        return asyncio.run(base44.aio.as_service_role.connectors.get_connection("slack"))

    with Base44(settings=settings) as base44, pytest.raises(Base44Error) as caught:
        ask(base44)
    (head,) = seen
    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "connect base44.app:443 http/1.1"
    login = base64.b64encode(b"us@er:pass:word").decode().lower()
    assert f"proxy-authorization: basic {login}" in lines
    assert "canary" not in head.decode()  # only TLS would carry that
    assert "pass" not in f"{caught.value!r} {caught.value}"


class Witness:
    """A proxy that answers nothing, and remembers what came."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self.seen.append(connection.recv(65536))
                connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    def close(self) -> None:
        self._listener.close()


@pytest.mark.parametrize("kind", ["blocking", "awaiting"])
def test_loopback_is_never_asked_through_a_proxy(
    emulator: Emulator, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service token would go there in clear text."""
    witness = Witness()
    for name in ("HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, witness.url)
        monkeypatch.setenv(name.lower(), witness.url)
    with emulator.serve() as server:
        for host in ("127.0.0.1", "localhost"):
            url = server.url.replace("127.0.0.1", host)
            settings = Settings(app_id=emulator.app_id, server_url=url, service_token=emulator.service_token)
            assert connection_of(settings, kind).access_token == emulator.share_token("slack")
    witness.close()
    assert witness.seen == []


def connection_of(settings: Settings, kind: str, transport: Any = None) -> Connection:
    async def awaiting() -> Connection:
        async with AsyncBase44(settings=settings, transport=transport) as base44:
            return await base44.as_service_role.connectors.get_connection("slack")

    if kind == "awaiting":
        return asyncio.run(awaiting())
    with Base44(settings=settings, transport=transport) as base44:
        return base44.as_service_role.connectors.get_connection("slack")


# --- a client that cannot be made


def broken() -> Any:
    raise OSError("a factory's own trouble")


TROUBLES: list[tuple[dict[str, str], str]] = [
    ({"ALL_PROXY": "ftp://127.0.0.1:1"}, "proxy"), ({"SSL_CERT_FILE": "/nowhere/ca.pem"}, "certificate"),
    ({"SSL_CERT_FILE": "/dev/null"}, "certificate"), ({}, "a factory's own trouble"),
]  # fmt: skip


def test_a_client_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests) -> None:
    """It is the operator's to mend, told what; guards answer 503, and nothing stays counted."""
    for variables, says in TROUBLES:
        with subtests.test(says, variables=variables), monkeypatch.context() as own:
            for name, value in variables.items():
                own.setenv(name, value)
            cannot_be_made(variables, says)


def cannot_be_made(variables: dict[str, str], says: str) -> None:
    transport = HttpxTransports() if variables else HttpxTransports(client=broken, async_client=broken)
    settings = Settings(
        app_id="a",
        server_url="https://192.0.2.1",
        service_token="s",
        app_user_connectors={"calendar": "c"},
        max_retries=0,
    )
    for kind in ("awaiting", "blocking"):
        app = make_app(f"core-{kind}", settings, transport)
        request = httpx2.Request("GET", "http://testserver/me", headers=bearer("e30.e30.x"))
        answer = asyncio.run(app(request)) if kind == "awaiting" else run(app(request))
        assert answer.status_code == 503
        platform = app.engines.only.platform
        assert (platform.limiter._inside, platform.unverified._inside, platform.pools.blocking._active) == (0, 0, 0)
        with pytest.raises(ConfigurationError, match=says):
            connection_of(settings, kind, transport)


# --- a host with two addresses


def test_a_host_whose_first_address_is_a_black_hole(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocking calls try the second within the time there is to connect."""
    with emulator.serve() as server, contextlib.ExitStack() as stack:
        port = urlsplit(server.url).port
        assert port is not None
        # A listener whose queue is full: what comes then is dropped.
        hole = stack.enter_context(socket.socket())
        hole.bind(("127.0.0.3", port))
        hole.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.3", port))
        own = socket.getaddrinfo

        def addresses(host: Any, *args: Any, **options: Any) -> Any:
            if host != "localhost":
                return own(host, *args, **options)
            return [row for each in ("127.0.0.3", "127.0.0.1") for row in own(each, *args, **options)]

        monkeypatch.setattr(socket, "getaddrinfo", addresses)
        settings = Settings(
            app_id=emulator.app_id, server_url=f"http://localhost:{port}", service_token=emulator.service_token,
            connect_timeout=4, timeout=60,  # half of it for the hole
        )  # fmt: skip
        assert connection_of(settings, "blocking").access_token == emulator.share_token("slack")
