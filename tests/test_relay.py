"""Signed platform headers: what is signed counts, once; what is changed, old, foreign or repeated does not."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from base44_web import Base44, ConfigurationError, Settings
from base44_web._core.incoming.replays import RedisReplays, SqliteReplays
from base44_web.testing import CALENDAR_ID, Emulator
from tests.drivers import Driver, encode_call
from tests.npm import installed
from tests.test_servers import app_environment, free_port, serving

SECRET = "a relay secret of more than 32 bytes"
AUDIENCE = "https://api.example.com"
NAMES = (
    "authorization", "base44-app-id", "base44-api-url", "base44-service-authorization", "base44-functions-version",
    "base44-state", "x-data-env", "x-base44-app-url",
)  # fmt: skip
Headers = list[tuple[str, str]]


def sign(
    headers: Headers, *, method: str = "POST", path: str = "/run", query: str = "", body: bytes = b"", key: str = "k1",
    secret: str = SECRET, audience: str = AUDIENCE, seconds: int | None = None, nonce: str | None = None, version: int = 1,
) -> Headers:  # fmt: skip
    """As `examples/relay/relay.ts` does it, written again from its description."""
    seconds = int(time.time()) if seconds is None else seconds
    nonce = nonce or secrets.token_hex(16)
    values = dict(headers)
    signed = [version, key, seconds, nonce, audience, method, path, query, hashlib.sha256(body).hexdigest()]
    signed += [values.get(name) for name in NAMES]
    octets = json.dumps(signed, separators=(",", ":"), ensure_ascii=False).encode()
    mac = hmac.new(secret.encode(), octets, "sha256").hexdigest()
    return [*headers, ("base44-relay-signature", f"v={version};k={key};t={seconds};n={nonce};s={mac}")]


@pytest.fixture
def settings(emulator: Emulator, platform: str, tmp_path: Path) -> Settings:
    return Settings(
        app_id=emulator.app_id, server_url=platform, platform_headers="signed", relay_keys={"k1": SECRET},
        relay_audience=AUDIENCE, allowed_api_urls=[platform], replay_store=str(tmp_path / "replays"),
        app_user_connectors={"calendar": CALENDAR_ID}, relay_max_body=1000,
    )  # fmt: skip


@pytest.fixture
def relayed(emulator: Emulator, platform: str) -> Headers:
    """What the platform says of a request of Ada's."""
    ada = emulator.add_user("ada@test.example")
    return [
        ("authorization", f"Bearer {emulator.sign_in(ada)}"), ("base44-app-id", emulator.app_id), ("base44-api-url", platform),
        ("base44-service-authorization", f"Bearer {emulator.service_token}"), ("base44-state", "state"), ("x-data-env", "dev"),
    ]  # fmt: skip


CALL = encode_call("service", "get_connection", ["slack"], {})


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
        "of the future": (sign(relayed, path=path, seconds=now + 302), b"", "/run", "POST"),
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
        if not driver.asgi:  # WSGI servers join repeated headers; and this client sends them ASCII only
            if name == "not ASCII":
                continue
            headers = [(key, ",".join(v for k, v in headers if k == key)) for key in dict(headers)]
        encoded = [(key, value.encode("latin-1")) for key, value in headers]
        answer = send(driver, encoded, body, path, method)  # type: ignore[arg-type]
        assert answer.status_code == 401, (name, answer.text)
        assert answer.json()["type"] == "urn:base44-web:bad-signature"
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
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
        assert send(driver, headers).status_code == 401
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


def test_rotation(driver_name: str, settings: Settings, relayed: Headers) -> None:
    driver = Driver(driver_name, Settings(**{**settings._given, "relay_keys": {"k1": SECRET, "k2": "y" * 32}}))
    path = f"{driver.path}/run"
    assert send(driver, sign(relayed, path=path)).status_code == 200
    assert send(driver, sign(relayed, path=path, key="k2", secret="y" * 32)).status_code == 200
    assert send(driver, sign(relayed, path=path, key="k1", secret="y" * 32)).status_code == 401
    driver.close()


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


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"relay_keys": None}, "relay_keys"), ({"relay_audience": None}, "relay_audience"), ({"allowed_api_urls": None}, "allowed_api_urls"),
        ({"relay_keys": {"k": "short"}}, "32 bytes"), ({"relay_keys": {"k": 7}}, "32 bytes"), ({"relay_keys": {}}, "one key"),
        ({"relay_keys": dict.fromkeys("abc", SECRET)}, "two"), ({"relay_keys": {"a b": SECRET}}, "key ID"),
        ({"token_sources": ["header", "cookie"]}, "no relay signs"), ({"replay_store": "/nowhere/at/all"}, "replay_store"),
        ({"replay_store": "redis://127.0.0.1:9/0"}, "replay_store"),
    ],
)  # fmt: skip
def test_settings_that_are_refused(settings: Settings, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        Base44(
            settings=Settings(
                **{name: value for name, value in {**settings._given, **fields}.items() if value is not None}
            )
        )
    assert SECRET not in str(caught.value)


def test_keys_from_the_environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASE44_RELAY_KEYS", f"old={SECRET},new={'z' * 32}")
    given = {name: value for name, value in settings._given.items() if value is not None and name != "relay_keys"}
    found = Settings(**given).complete()
    assert sorted(found.relay_keys) == ["new", "old"]
    assert SECRET not in repr(found.relay_keys)


# --- several workers


def copies_pass(url: str, path: str, relayed: Headers, count: int = 20) -> int:
    """Send one signed request many times at once; how many passed."""
    headers = [*sign(relayed, path=path), *CALL]
    statuses: list[int] = []
    ready = threading.Barrier(count)

    def one() -> None:
        with httpx2.Client(timeout=20) as client:
            ready.wait(10)
            statuses.append(client.post(url + path, headers=headers).status_code)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(set(statuses)) == [200, 401]
    return statuses.count(200)


def relay_environment(emulator: Emulator, platform: str, driver: str, store: str) -> dict[str, str]:
    environment = app_environment(emulator, platform, driver) | {
        "BASE44_PLATFORM_HEADERS": "signed", "BASE44_RELAY_KEYS": f"k1={SECRET}", "BASE44_RELAY_AUDIENCE": AUDIENCE,
        "BASE44_ALLOWED_API_URLS": platform, "BASE44_REPLAY_STORE": store,
    }  # fmt: skip
    del environment["BASE44_SERVICE_TOKEN"]
    return environment


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    pytest.importorskip("redis")
    server = shutil.which("redis-server")
    if server is None:
        message = "redis-server is not installed: apt-get install redis-server"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    port = free_port()
    process = subprocess.Popen(
        [server, "--port", str(port), "--save", "", "--dir", str(tmp_path)], stdout=subprocess.DEVNULL
    )
    try:
        url = f"redis://127.0.0.1:{port}/0"
        from redis import Redis

        with Redis.from_url(url) as client:
            for _ in range(100):
                with suppress(Exception):
                    client.ping()
                    break
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize(
    ("server", "driver"),
    [("gunicorn-threads", "flask-sync"), ("gunicorn-preload", "django-wsgi-sync"), ("uvicorn", "starlette-async")],
)
@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_of_twenty_copies_one_passes(
    server: str, driver: str, store: str, emulator: Emulator, platform: str, relayed: Headers, tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    for module in (server.partition("-")[0], driver.partition("-")[0]):
        pytest.importorskip(module)
    where = str(tmp_path / "replays") if store == "sqlite" else request.getfixturevalue("redis")
    path = "/sync/run" if driver.startswith("django") else "/run"
    with serving(server, relay_environment(emulator, platform, driver, where), tmp_path / "output") as (url, _):
        for _ in range(3):
            assert copies_pass(url, path, relayed) == 1


def test_what_is_old_is_swept(tmp_path: Path) -> None:
    import sqlite3

    store = SqliteReplays(str(tmp_path / "replays"))
    assert store.add("a", 0.01)
    assert not store.add("a", 600)
    time.sleep(0.05)
    store._swept = 0.0
    assert store.add("b", 600)
    with sqlite3.connect(tmp_path / "replays") as connection:
        assert connection.execute("SELECT name FROM seen").fetchall() == [("b",)]
    connection.close()


def test_redis_forgets_by_itself(redis: str) -> None:
    store = RedisReplays(redis)
    assert store.add("a", 600)
    assert not store.add("a", 600)
    assert 590 < store._redis.ttl("base44-web:seen:a") <= 600
    store._redis.close()


# --- the relay itself, under Node.js


@pytest.fixture
def relay_at(request: pytest.FixtureRequest) -> Iterator[Any]:
    here = Path(__file__).parent / "relay"
    installed(here, "typescript")
    processes: list[subprocess.Popen[str]] = []

    def start(origin: str, **more: str) -> str:
        to = {
            "origin": origin,
            "prefix": "",
            "mount": "/functions/relay",
            "audience": AUDIENCE,
            "keyId": "k1",
            "secret": SECRET,
        }
        process = subprocess.Popen(
            ["node", str(here / "serve.mjs"), json.dumps(to | more)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        return f"http://127.0.0.1:{int(process.stdout.readline())}"

    yield start
    for process in processes:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


@pytest.mark.parametrize(
    ("server", "driver"),
    [("uvicorn", "starlette-async"), ("uvicorn", "fastapi-sync"), ("uvicorn", "django-asgi-async"), ("gunicorn", "flask-sync"),
     ("gunicorn", "django-wsgi-sync")],
)  # fmt: skip
def test_the_relay(
    server: str, driver: str, emulator: Emulator, platform: str, relayed: Headers, relay_at: Any, tmp_path: Path
) -> None:
    for module in (server, driver.partition("-")[0]):
        pytest.importorskip(module)
    environment = relay_environment(emulator, platform, driver, str(tmp_path / "replays"))
    kind = driver.rpartition("-")[2]
    prefix = f"/{kind}" if driver.startswith("django") else ""
    with serving(server, environment, tmp_path / "output") as (url, _):
        relay = relay_at(url, prefix=prefix)
        with httpx2.Client(base_url=f"{relay}/functions/relay", timeout=20) as client:
            # A service role for the request, which this server has none of its own of.
            answer = client.post("/run?a=%2F%20b&ü=1", headers=[*relayed, *CALL], content="größe".encode())
            assert answer.json()["result"]["access_token"] == emulator.share_token("slack")
            for _ in range(3):  # each is signed anew
                assert client.get("/me", headers=relayed).json()["email"] == "ada@test.example"
            assert client.get("/me").status_code == 401
            forged = [*relayed, ("base44-relay-signature", "v=1;k=k1;t=1;n=x;s=y"), ("cookie", "base44_access_token=x")]
            assert client.get("/me", headers=forged).status_code == 200  # the relay's own signature takes its place
            for path in ("/..%2f..%2fidle", "/%2e%2e/x", "/a%5c..%5cb", "/%ff"):
                assert client.get(path, headers=relayed).status_code == 404
        # Straight to the server, nobody is believed.
        assert httpx2.get(f"{url}{prefix}/me", headers=relayed).status_code == 401


def test_the_relay_returns_no_cookies_and_follows_nothing(emulator: Emulator, platform: str, relay_at: Any) -> None:
    from base44_web.testing import Fault

    emulator.fault(
        Fault(
            status=302,
            headers={"Location": "https://elsewhere.example/", "Set-Cookie": "a=b", "Connection": "keep-alive"},
        ),
        times=None,
    )
    relay = relay_at(platform)
    answer = httpx2.get(
        f"{relay}/functions/relay/x", headers={"Connection": "x-private", "X-Private": "1", "X-Other": "2"}
    )
    assert answer.status_code == 302
    assert answer.headers["location"] == "https://elsewhere.example/"
    assert "set-cookie" not in answer.headers
    assert emulator.requests[-1].header("x-private") is None
    assert emulator.requests[-1].header("x-other") == "2"
    assert httpx2.get(f"{relay}/other/x").status_code == 404
    assert httpx2.get(f"{relay_at('http://evil.example')}/functions/relay/x").status_code == 404


# --- failures in between


@pytest.mark.parametrize("outer", ["ignore", "trust", "another key", "the same"])
def test_a_mounted_app_judges_for_itself(settings: Settings, relayed: Headers, platform: str, outer: str) -> None:
    pytest.importorskip("starlette")
    import asyncio

    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.routing import Mount

    from base44_web.starlette import Base44Middleware
    from tests.drivers import starlette_app

    given = settings._given
    plain = {
        name: value for name, value in given.items() if not name.startswith(("relay", "replay", "platform", "allowed"))
    }
    around = {
        "ignore": Settings(**plain),
        "trust": Settings(**plain, platform_headers="trust", allowed_api_urls=[platform]),
        "another key": Settings(**{**given, "relay_keys": {"k1": "z" * 40}}),
        "the same": settings,
    }[outer]
    app = Starlette(
        routes=[Mount("/inner", app=starlette_app("async", settings, None))],
        middleware=[Middleware(Base44Middleware, settings=around)],
    )

    def post(headers: Headers) -> int:
        async def send() -> int:
            async with httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app=app), base_url="http://testserver"
            ) as client:
                return (await client.post("/inner/run", headers=[*headers, *CALL])).status_code

        return asyncio.run(send())

    assert post(relayed) == 401
    secret = "z" * 40 if outer == "another key" else SECRET
    assert post(sign(relayed, path="/inner/run", secret=secret)) == (401 if outer == "another key" else 200)


def test_only_headers_are_signed(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="no relay signs"):
        Settings(**{**settings._given, "token_sources": ["header", "subprotocol"]}).complete()


def test_a_password_in_the_store_is_not_shown(settings: Settings) -> None:
    import traceback

    given = settings._given
    for fields in ({"timeout": -1}, {}):
        with pytest.raises(ConfigurationError) as caught:
            Base44(settings=Settings(**{**given, "replay_store": "redis://:canarypw@127.0.0.1:9/0", **fields}))
        for frame, _ in traceback.walk_tb(caught.value.__traceback__):
            if "base44_web" in frame.f_code.co_filename:
                assert "canarypw" not in repr(frame.f_locals)
        assert caught.value.__cause__ is None
    with pytest.raises(ConfigurationError) as caught:
        Settings(app_id="a", relay_keys=[("k", "canarypw")])  # type: ignore[arg-type]
    for frame, _ in traceback.walk_tb(caught.value.__traceback__):
        if "base44_web" in frame.f_code.co_filename:
            assert "canarypw" not in repr(frame.f_locals)


def test_the_relay_signs_what_the_client_calls_hop_by_hop(emulator: Emulator, platform: str, relay_at: Any) -> None:
    httpx2.get(
        f"{relay_at(platform)}/functions/relay/x",
        headers={"Connection": "authorization", "Authorization": "Bearer a.b.c"},
    )
    assert emulator.requests[-1].header("authorization") == "Bearer a.b.c"


def test_flask_without_its_wsgi_app(settings: Settings) -> None:
    pytest.importorskip("flask")
    from base44_web import MiddlewareMissingError

    driver = Driver("flask-sync", settings)
    from base44_web.flask import request

    with (
        driver.app.test_request_context(headers={"Authorization": "Bearer a.b.c"}),
        pytest.raises(MiddlewareMissingError),
    ):
        _ = request.base44
    driver.close()
