"""No request ever sees another's client, token or cookie: 100 users, in each framework under each kind of server.

`ISOLATION_REQUESTS=10000` makes a soak of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from base44_web import Settings
from base44_web._core.engine.context import Context
from base44_web._core.incoming.caller import Caller
from base44_web._core.incoming.read import read_caller
from base44_web.testing import CALENDAR_ID
from tests.apps.calls import encode_call
from tests.drivers import ONE_EACH, Driver
from tests.serving import PATIENCE, ROOT

THREADS = 4
REQUESTS = int(os.environ.get("ISOLATION_REQUESTS", "1200"))


class Platform:
    """The process of `cookie_platform`."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.served.cookie_platform"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        start = self._read()
        self.expected: dict[str, str] = start.pop("expected")
        self.settings = Settings(
            app_id=start["app_id"],
            server_url=start["url"],
            service_token=start["service_token"],
            app_user_connectors={"calendar": CALENDAR_ID},
            timeout=600,
            connect_timeout=300,
        )

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def seen(self) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self._read()


@pytest.fixture(scope="module")
def crowd() -> Iterator[Platform]:
    platform = Platform()
    yield platform
    platform.process.communicate()
    assert platform.process.returncode == 0


CALLS = [("service", "get_current_app_user_connection", "calendar"), ("client", "token")]


def wrong(call: tuple[str, ...], token: str, expected: dict[str, str], result: Any) -> bool:
    if call[1] == "token":
        return bool(result != token)
    return bool(result["access_token"] != expected[token])


def plan(expected: dict[str, str], count: int, seed: int) -> list[tuple[tuple[str, ...], str]]:
    chance = random.Random(seed)
    tokens = list(expected)
    return [(chance.choices(CALLS, (4, 1))[0], chance.choice(tokens)) for _ in range(count)]


def headers_of(call: tuple[str, ...], token: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {token}"), *encode_call(call[0], call[1], call[2:], {})]


def mix_ups_asgi(driver: Driver, expected: dict[str, str], count: int) -> int:
    """Four threads with an event loop each, 25 tasks in each of them."""

    async def work(seed: int) -> int:
        todo = plan(expected, count // THREADS, seed)
        transport = httpx2.ASGITransport(app=driver.app)
        found = 0

        async def task(client: httpx2.AsyncClient) -> None:
            nonlocal found
            while todo:
                call, token = todo.pop()
                answer = await client.post(driver.path + "/run", headers=headers_of(call, token))
                found += wrong(call, token, expected, answer.json()["result"])

        async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
            await asyncio.gather(*(task(client) for _ in range(25)))
        return found

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(lambda seed: asyncio.run(work(seed)), range(THREADS)))


def mix_ups_wsgi(driver: Driver, expected: dict[str, str], count: int) -> int:
    """Sixteen threads."""

    def work(seed: int) -> int:
        found = 0
        with httpx2.Client(transport=httpx2.WSGITransport(app=driver.app), base_url="http://testserver") as client:
            for call, token in plan(expected, count // 16, seed):
                answer = client.post(driver.path + "/run", headers=headers_of(call, token))
                found += wrong(call, token, expected, answer.json()["result"])
        return found

    with ThreadPoolExecutor(16) as pool:
        return sum(pool.map(work, range(16)))


def mix_ups(driver: Driver, crowd: Platform, count: int) -> int:
    return (mix_ups_asgi if driver.headers_apart else mix_ups_wsgi)(driver, crowd.expected, count)


@pytest.mark.drivers(*ONE_EACH)
def test_isolation(driver_name: str, crowd: Platform) -> None:
    driver = Driver(driver_name, crowd.settings)
    assert mix_ups(driver, crowd, REQUESTS) == 0
    driver.close()
    seen = crowd.seen()
    assert seen["cookies"] == 0
    assert seen["users"] == 100
    assert seen["requests"] > REQUESTS * 0.3  # the others found theirs kept, or shared a call


@pytest.mark.parametrize("driver_name", ["starlette-async", "flask-sync", "django-asgi-async"], indirect=True)
def test_a_shared_client_would_be_caught(driver_name: str, crowd: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one caller for everybody the same run fails."""
    first: list[Caller] = []

    def somebodys(self: Context) -> Caller:
        assert self._incoming is not None
        first.append(read_caller(self._incoming, self.engine.settings))
        return first[0]

    monkeypatch.setattr(Context, "caller", property(somebodys))
    driver = Driver(driver_name, crowd.settings)
    assert mix_ups(driver, crowd, 320) > 0
    driver.close()
    assert crowd.seen()["users"] < 100


def test_a_cookie_sent_back_would_be_caught(crowd: Platform) -> None:
    """A plain client that users share sends the cookie, and the platform's record says so."""
    with httpx2.Client(base_url=crowd.settings.server_url, timeout=PATIENCE) as client:
        for _ in range(2):
            client.get("/api/apps/x/entities/User/me")
    assert crowd.seen()["cookies"] == 1
