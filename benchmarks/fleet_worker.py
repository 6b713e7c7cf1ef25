"""One server of a fleet, without the server: it guards requests when it is told to. `once.py` and `fleet.py` start it.

Its settings are in the environment, and the tokens of the users in `BENCHMARK_TOKENS`. Times are of the monotonic
clock, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from typing import Any

from common import obey
from report import percentile

from base44_web import AsyncBase44, Base44Error, ConnectorID, Settings
from base44_web._core.connections.redis_clients import stores_of
from base44_web._core.engine.context import Context
from base44_web._core.engine.engine import Engine
from base44_web._core.guards.admit import admit
from base44_web._core.incoming.request import Incoming
from base44_web._core.platform.io import AWAITING

ENGINE = Engine(Settings().complete())
TOKENS = os.environ["BENCHMARK_TOKENS"].split()


def context(user: int) -> Context:
    """A request of a user's."""
    return Context(ENGINE, Incoming("GET", [("authorization", f"Bearer {TOKENS[user]}")]))


async def know(users: int) -> None:
    """Verify so many users: they are remembered from then on."""
    for user in range(users):
        await AsyncBase44._for(context(user)).user()


async def guard(user: int, connector: str) -> tuple[float, float, str]:
    """A guarded request: when it came, the seconds that it took, and how it ended."""
    came, ended = time.monotonic(), "connected"
    try:
        await admit(AWAITING, context(user), (ConnectorID(connector),))
    except Base44Error as error:
        ended = type(error).__name__
    return came, time.monotonic() - came, ended


async def at_once(at: float, callers: int, connector: str) -> list[tuple[float, float, str]]:
    """So many requests of one user, all at the same moment."""
    await asyncio.sleep(at - time.monotonic())
    return await asyncio.gather(*(guard(0, connector) for _ in range(callers)))


async def for_a_while(until: float, users: int, connector: str) -> list[tuple[float, float, str]]:
    """A request of each of so many users, again and again, with pauses."""
    found: list[tuple[float, float, str]] = []

    async def one(user: int) -> None:
        while time.monotonic() < until:
            found.append(await guard(user, connector))
            await asyncio.sleep(0.02)

    await asyncio.gather(*(one(user) for user in range(users)))
    return found


async def settle() -> None:
    """Wait until the store is asked again, where it has not answered in time."""
    store = ENGINE.connections.store
    while store is not None and store.breaker.is_open:  # noqa: ASYNC110 - it is a thread that closes it
        await asyncio.sleep(0.05)


async def hits(at: float, times: int, connector: str, key: str) -> list[float]:
    """Seconds of what the store has, and of a GET of the same client; the p50 of both, the p99 of both.

    They take turns. A GET that fails, for the client waits for a twentieth of a second only, counts as long as it took.
    Who asks was read of the request before: that is the same without a store.
    """
    from redis import RedisError

    client = _stores().open_async()
    connectors = AsyncBase44._for(context(0)).as_service_role.connectors
    ours: list[float] = []
    bare: list[float] = []
    try:
        await asyncio.sleep(at - time.monotonic())
        for _ in range(times):
            began = time.perf_counter()
            await connectors.get_current_app_user_connection(ConnectorID(connector))
            between = time.perf_counter()
            with suppress(RedisError):
                await client.get(key)
            ours.append(between - began)
            bare.append(time.perf_counter() - between)
    finally:
        await client.aclose()
    return _percentiles(ours, bare)


def blocking_hits(at: float, times: int, connector: str, key: str) -> list[float]:
    """As `hits`, blocking."""
    from redis import RedisError

    ours: list[float] = []
    bare: list[float] = []
    connectors = AsyncBase44._for(context(0)).sync.as_service_role.connectors
    with _stores().open() as client:
        time.sleep(max(0.0, at - time.monotonic()))
        for _ in range(times):
            began = time.perf_counter()
            connectors.get_current_app_user_connection(ConnectorID(connector))
            between = time.perf_counter()
            with suppress(RedisError):
                client.get(key)
            ours.append(between - began)
            bare.append(time.perf_counter() - between)
    return _percentiles(ours, bare)


def _stores() -> Any:
    """What makes the clients of the store, with the same options."""
    store = ENGINE.settings.connection_store
    assert store is not None
    return stores_of(store, None)


def _percentiles(ours: list[float], bare: list[float]) -> list[float]:
    return [percentile(each, percent) for percent in (50, 99) for each in (ours, bare)]


if __name__ == "__main__":
    STEPS = {each.__name__: each for each in (know, guard, settle, at_once, for_a_while, hits)}
    with asyncio.Runner() as runner:

        def do(order: list[Any]) -> Any:
            name, *arguments = order
            if name == blocking_hits.__name__:
                return blocking_hits(*arguments)
            return runner.run(STEPS[name](*arguments))

        obey(do)
        runner.run(ENGINE.aclose())
