"""Signed platform headers: what is signed counts, once; what is changed, old, foreign or repeated does not."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from base44_web._core.incoming.replays import SqliteReplays
from base44_web.testing import Emulator
from tests.checks import (
    Headers,
)
from tests.drivers import CORE, ONE_EACH, Driver
from tests.relayed import CALL, NAMES, SECRET, said_of_ada, sign, signed_fields


@pytest.fixture
def fields(platform: str, tmp_path: Path) -> dict[str, Any]:
    return signed_fields(platform, tmp_path)


@pytest.fixture
def relayed(emulator: Emulator, platform: str) -> Headers:
    return said_of_ada(emulator, platform)


pytestmark = pytest.mark.drivers(*CORE, *ONE_EACH)


def send(
    driver: Driver, headers: Headers, body: bytes = b"", path: str = "/run", method: str = "POST"
) -> httpx2.Response:
    return driver.request(method, path, [*headers, *CALL], body)


def test_signed(driver: Driver, emulator: Emulator, relayed: Headers) -> None:
    path = f"{driver.path}/run"
    answer = send(driver, sign(relayed, path=path, body=b"a=b"), b"a=b")
    assert answer.json()["result"]["access_token"] == emulator.share_token("slack")
    assert emulator.requests[-1].header("authorization") == f"Bearer {emulator.service_token}"
    assert emulator.requests[-1].header("base44-state") == "state"
    assert emulator.requests[-1].header("x-data-env") == "dev"
    query = send(driver, sign(relayed, path=path, query="a=%2F&b"), path="/run?a=%2F&b")
    assert query.json()["result"]
    assert driver.request("GET", "/me", sign(relayed, method="GET", path=f"{driver.path}/me")).status_code == 200


def tampered(driver: Driver, relayed: Headers) -> dict[str, tuple[Headers, bytes, str, str]]:
    path = f"{driver.path}/run"
    good = sign(relayed, path=path, body=b"body")
    signature = good[-1][1]
    now = int(time.time())
    found: dict[str, tuple[Headers, bytes, str, str]] = {
        "not signed": (relayed, b"", "/run", "POST"),
        "signed and nothing else": (sign([], path=path, secret="x" * 40), b"", "/run", "POST"),
        "another secret": (sign(relayed, path=path, secret="x" * 40), b"", "/run", "POST"),
        "another key": (sign(relayed, path=path, key="k2"), b"", "/run", "POST"),
        "another audience": (sign(relayed, path=path, audience="https://other.example"), b"", "/run", "POST"),
        "another path": (sign(relayed, path="/other"), b"", "/run", "POST"),
        "another method": (sign(relayed, path=path, method="GET"), b"", "/run", "POST"),
        "another query": (sign(relayed, path=path, query="a=b"), b"", "/run?a=c", "POST"),
        "a query added": (sign(relayed, path=path), b"", "/run?a", "POST"),
        "another body": (good, b"other", "/run", "POST"),
        "no body": (good, b"", "/run", "POST"),
        "too old": (sign(relayed, path=path, seconds=now - 301), b"", "/run", "POST"),
        "of the future": (sign(relayed, path=path, seconds=now + 360), b"", "/run", "POST"),
        "another version": (sign(relayed, path=path, version=2), b"", "/run", "POST"),
        "a short nonce": (sign(relayed, path=path, nonce="a" * 21), b"", "/run", "POST"),
        "signed twice": ([*good, good[-1]], b"body", "/run", "POST"),
        "upper case": ([*good[:-1], (good[-1][0], signature.upper())], b"body", "/run", "POST"),
        "more behind": ([*good[:-1], (good[-1][0], signature + ";")], b"body", "/run", "POST"),
        "empty": ([*good[:-1], (good[-1][0], "")], b"body", "/run", "POST"),
        "time with a sign": ([*good[:-1], (good[-1][0], signature.replace("t=", "t=-"))], b"body", "/run", "POST"),
        "not ASCII": ([*good[:-1], (good[-1][0], "v=1;k=k1;t=\u0661;n=x;s=y".encode().decode("latin-1"))], b"", "/run", "POST"),
    }  # fmt: skip
    for index, (name, value) in enumerate(relayed):
        changed = [*good[:index], (name, value + "x"), *good[index + 1 :]]
        found[f"{name} changed"] = (changed, b"body", "/run", "POST")
        found[f"{name} left out"] = ([*good[:index], *good[index + 1 :]], b"body", "/run", "POST")
        found[f"{name} twice"] = ([*good, (name, value)], b"body", "/run", "POST")
    for name in NAMES:
        if name not in dict(relayed):
            found[f"{name} added"] = ([*good, (name, "x")], b"body", "/run", "POST")
    return found


def test_tampered(driver: Driver, emulator: Emulator, relayed: Headers) -> None:
    for name, (headers, body, path, method) in tampered(driver, relayed).items():
        if not driver.headers_apart:  # WSGI servers join repeated headers; and this client sends them ASCII only
            if name == "not ASCII":
                continue
            headers = [(key, ",".join(v for k, v in headers if k == key)) for key in dict(headers)]
        encoded = [(key, value.encode("latin-1")) for key, value in headers]
        answer = send(driver, encoded, body, path, method)  # type: ignore[arg-type]
        assert answer.status_code == 400, (name, answer.text)
        assert answer.json()["type"] == "urn:base44-web:bad-signature"
        assert "www-authenticate" not in answer.headers  # the visitor's token is not what is wrong
    assert emulator.requests == []


def test_bare_requests_are_nobodys(driver: Driver, emulator: Emulator) -> None:
    assert driver.request("POST", "/idle", [], b"x" * 5000).status_code == 200
    assert driver.request("GET", "/me", []).status_code == 401
    assert send(driver, []).json()["error"] in ("BadRequestError", "ServiceRoleUnavailableError")
    assert emulator.requests == []


def test_replayed(driver: Driver, emulator: Emulator, relayed: Headers) -> None:
    headers = sign(relayed, path=f"{driver.path}/run")
    assert send(driver, headers).status_code == 200
    for _ in range(3):
        assert send(driver, headers).status_code == 400
    assert len(emulator.requests) == 1


def test_large_bodies(driver: Driver, emulator: Emulator, relayed: Headers) -> None:
    path = f"{driver.path}/run"
    assert send(driver, sign(relayed, path=path, body=b"x" * 1000), b"x" * 1000).status_code == 200
    emulator.requests.clear()
    assert send(driver, sign(relayed, path=path, body=b"x" * 1001), b"x" * 1001).status_code == 413
    assert emulator.requests == []


def test_the_view_still_has_the_body(driver: Driver, relayed: Headers) -> None:
    body = b"user=somebody-else"
    headers = sign(relayed, path="/base44/connect/calendar", body=body)
    form = [("content-type", "application/x-www-form-urlencoded")]
    answer = driver.send_view("POST", "/base44/connect/calendar", [*headers, *form], body)
    assert answer.status_code == 409, answer.text  # it has read who the page was made for


def test_rotation(make: Any, relayed: Headers) -> None:
    driver = make(relay_keys={"k1": SECRET, "k2": "y" * 32})
    assert driver.request("POST", "/idle", []).status_code == 200  # it has started
    path = f"{driver.path}/run"
    assert send(driver, sign(relayed, path=path)).status_code == 200
    assert send(driver, sign(relayed, path=path, key="k2", secret="y" * 32)).status_code == 200
    assert send(driver, sign(relayed, path=path, key="k1", secret="y" * 32)).status_code == 400


def test_a_store_that_fails_lets_nobody_in(
    driver: Driver,
    emulator: Emulator,
    relayed: Headers,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(self: Any, name: str, seconds: float) -> bool:
        raise OSError("disk full")

    assert driver.request("POST", "/idle", []).status_code == 200  # it has started
    monkeypatch.setattr(SqliteReplays, "add", fail)
    answer = send(driver, sign(relayed, path=f"{driver.path}/run"))
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert "replay_store" in caplog.text
    assert emulator.requests == []


@pytest.mark.drivers(*ONE_EACH)
def test_headers_are_judged_before_a_body_is_read(driver: Driver, relayed: Headers) -> None:
    """Anybody can send a megabyte, slowly: what headers alone refuse is refused before."""
    read: list[int] = []

    class Body:
        def read(self, size: int = -1) -> bytes:
            read.append(size)
            return b"x" * min(500, 500 if size < 0 else size)

        readline, readlines = read, read

        def __iter__(self) -> Any:
            return iter([])

    def wsgi(headers: Headers) -> str:
        environ = {
            "REQUEST_METHOD": "POST", "PATH_INFO": f"{driver.path}/idle", "SCRIPT_NAME": "", "QUERY_STRING": "", "SERVER_NAME": "x",
            "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "testserver", "CONTENT_LENGTH": "500",
            "wsgi.input": Body(), "wsgi.errors": sys.stderr, "wsgi.url_scheme": "http", "wsgi.version": (1, 0),
            "wsgi.multithread": True, "wsgi.multiprocess": True, "wsgi.run_once": False,
            **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers},
        }  # fmt: skip
        said: list[str] = []
        found = driver.app(environ, lambda status, headers, exc_info=None: said.append(status))
        b"".join(found)
        getattr(found, "close", lambda: None)()
        return said[0][:3]

    def asgi(headers: Headers) -> str:
        said: list[Any] = []
        path = f"{driver.path}/idle"
        body = [{"type": "http.request", "body": b"x" * 10, "more_body": False}]

        async def receive() -> Any:
            if not body:
                await asyncio.Event().wait()  # as a server does whose client stays
            read.append(1)
            return body.pop()

        async def send(message: Any) -> None:
            said.append(message)

        scope = {
            "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
            "scheme": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "client": ("127.0.0.1", 1),
            "server": ("testserver", 80), "headers": [(b"host", b"testserver"), (b"content-length", b"10"),
            *((name.encode(), value.encode()) for name, value in headers)],
        }  # fmt: skip
        assert driver.runner is not None
        driver.runner.run(driver.app(scope, receive, send))
        return str(said[0]["status"])

    ask = asgi if driver.headers_apart else wsgi
    form = "v=1;k={key};t={seconds};n=" + "n" * 22 + ";s=" + "0" * 64
    now = int(time.time())
    # Django reads the body of an ASGI request before any middleware.
    django_reads = driver.name.startswith("django-asgi")
    for signature in (
        "",
        "nonsense",
        form.format(key="zz", seconds=now),
        form.format(key="k1", seconds=now - 400),
        form.format(key="k1", seconds=now + 400),
    ):
        for headers in (relayed, [("x-data-env", "dev")]):
            read.clear()
            assert ask([*headers, ("base44-relay-signature", signature)]) == "400", signature
            assert django_reads or read == [], signature
    assert ask([*relayed, ("base44-relay-signature", form.format(key="k1", seconds=now))]) == "400"
    assert read != []  # this one has to be
