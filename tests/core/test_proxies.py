"""The environment's proxies, for the blocking transport of our own and the awaiting one of httpx2."""

from __future__ import annotations

import asyncio
import base64
import socket
import threading
from collections.abc import Iterator

import pytest

from base44_web import Base44, Base44Error, ConfigurationError, Settings
from base44_web._core.transport.proxies import Proxies

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("variables", "url", "proxy"),
    [
        ({}, "https://base44.app/", None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "https://base44.app/", "http://proxy:3128"),
        ({"HTTPS_PROXY": "proxy:3128"}, "https://base44.app/", "http://proxy:3128"),
        ({"ALL_PROXY": "socks5h://proxy:1080"}, "https://base44.app/", "socks5h://proxy:1080"),
        ({"HTTPS_PROXY": "http://one:1", "ALL_PROXY": "http://two:2"}, "https://base44.app/", "http://one:1"),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "base44.app"}, "https://base44.app/", None),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "*"}, "https://base44.app/", None),
        ({"ALL_PROXY": "http://proxy:3128"}, "http://localhost:4400/", None),
        ({"ALL_PROXY": "http://proxy:3128"}, "http://127.0.0.1/", None),
        ({"ALL_PROXY": "http://proxy:3128"}, "http://[::1]:80/", None),
    ],
)
def test_which_proxy(variables: dict[str, str], url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Proxies().of(url) == proxy


@pytest.mark.parametrize("value", ["ftp://proxy:1", "http://", "https://"])
def test_a_proxy_that_is_none(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
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
