"""Connections in a Redis that servers share: whose they are, what ends them, and that its failures are nobody's."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from base44_web import (
    AlreadyConnectedError,
    AppUser,
    AsyncBase44,
    Base44,
    Base44Error,
    ConfigurationError,
    NotConnectedError,
    Secret,
    Settings,
)
from base44_web._core.connections import redis_clients
from base44_web._core.connections import store as store_module
from base44_web._core.connections.known import Wanted
from base44_web._core.connections.memory import Entry
from base44_web._core.engine.engine import Engine
from base44_web._core.platform.io import BLOCKING, run
from base44_web._core.values import ConnectionRecord
from base44_web.testing import CALENDAR_ID, Emulator, Fault
from tests.certificates import certificate
from tests.conftest import Clock
from tests.core.test_connections import Asking, client_of
from tests.drivers import changed
from tests.redis_server import RedisServer
from tests.serving import PATIENCE, eventually
from tests.transports import Held, Scripted

pytest.importorskip("redis")
pytest.importorskip("cryptography")
SECRET = "a secret that all servers of the fleet have"
OTHER = "another secret, which comes after the first one"
CALENDAR = "get_current_app_user_connection"


@pytest.fixture(autouse=True)
def patience(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine can take longer over a command than requests wait for one, and over a call than a lock holds."""
    if request.node.get_closest_marker("as_quick_as_it_is") is None:
        monkeypatch.setattr(redis_clients, "SECONDS", PATIENCE)
        for name in ("_LOCK", "_FAILED", "_QUEUE"):
            monkeypatch.setattr(store_module, name, PATIENCE)


@pytest.fixture
def shared(settings: Settings, redis: str) -> Settings:
    return changed(settings, connection_ttl=30, connection_store=redis, secret=SECRET)


@pytest.fixture
def server(shared: Settings, emulator: Emulator) -> Iterator[Callable[..., Base44]]:
    """Makes a client of another server of the fleet, for a user."""
    made: list[Engine] = []
    emulator.share("slack")
    emulator.share_workspace("workspace")

    def make(user: AppUser | None, transport: Any = None, *, known: bool = True, **more: Any) -> Base44:
        engine = Engine(changed(shared, **more).complete(), transport or emulator.transport)
        made.append(engine)
        client = client_of(engine, emulator, user)
        if user is not None and known:
            client.user()
        emulator.requests.clear()
        return client

    yield make
    for engine in made:
        engine.close()


@pytest.fixture
def connected(emulator: Emulator, ada: AppUser) -> AppUser:
    emulator.connect(ada, CALENDAR_ID)
    return ada


@pytest.fixture(params=["blocking", "awaiting"])
def asking(request: pytest.FixtureRequest, emulator: Emulator) -> Asking:
    return Asking(request.param, emulator)


def store_of(client: Base44) -> Any:
    return client._context.engine.connections.store


def client_to(server: RedisServer, **options: Any) -> Any:
    from redis import Redis

    return Redis.from_url(server.url, **options)


# --- what is shared, and with whom


@pytest.mark.parametrize("method", ["get_connection", "get_workspace_connection", CALENDAR])
def test_one_server_asks_for_all(
    server: Any, emulator: Emulator, connected: AppUser, asking: Asking, method: str
) -> None:
    first, second = server(connected), server(connected)
    token = asking.get(first, method)
    assert [asking.get(client, method) for client in (second, first, second)] == [token] * 3
    assert asking.calls() == 1
    assert asking.get(second, method, fresh=True) == token
    assert asking.calls() == 1


def test_it_is_kept_for_its_time(server: Any, connected: AppUser, asking: Asking, redis_server: RedisServer) -> None:
    first, second = server(connected), server(connected, connection_ttl=4)
    asking.get(first, CALENDAR)
    with client_to(redis_server) as redis:
        (value,) = [key for key in redis.scan_iter() if not key.endswith(b"generation")]
        assert 20_000 < redis.pttl(value) <= 30_000
        redis.delete(value)
        asking.get(second, CALENDAR)
        assert 0 < redis.pttl(value) <= 4_000
        assert eventually(lambda: not redis.exists(value))
    asking.calls()
    asking.get(second, CALENDAR)
    assert asking.calls() == 1


def test_what_is_not_shared(
    server: Any, emulator: Emulator, connected: AppUser, asking: Asking, subtests: pytest.Subtests
) -> None:
    grace = emulator.add_user("grace@test.example")
    adas = asking.get(server(connected), CALENDAR)
    with subtests.test("another user"):
        graces = emulator.connect(grace, CALENDAR_ID)
        assert asking.get(server(grace), CALENDAR) == graces != adas
    asking.calls()
    for what, more in {
        "a server with another secret": {"secret": OTHER},
        "a user verified in another way": {
            "verification": "keys",
            "verification_key": "k" * 40,
            "algorithms": ["HS256"],
        },
        "another platform": {"server_url": "http://localhost:9"},  # the transport is the emulator's all the same
        "another app": {"app_id": "another"},
        "no memory": {"connection_ttl": 0},
    }.items():
        with subtests.test(what):
            asking.get(server(None), "get_connection")
            asking.calls()
            with contextlib.suppress(Base44Error):  # the emulator knows no such app, but is asked
                asking.get(server(None, **more), "get_connection")
            assert asking.calls() == 1


def test_who_is_not_verified_is_not_in_it(server: Any, connected: AppUser, asking: Asking) -> None:
    known = server(connected)
    asking.get(known, CALENDAR)
    stranger = server(connected)
    stranger._context.engine.identity.known.clear()
    stranger._context.drop(None)
    asking.calls()
    asking.get(stranger, CALENDAR)
    assert asking.calls() == 1


def test_who_reads_the_store_learns_nothing(
    server: Any, emulator: Emulator, connected: AppUser, redis_server: RedisServer
) -> None:
    emulator.share("snowflake", config={"subdomain": "canaryconfig"})
    client = server(connected)
    tokens = [
        client.as_service_role.connectors.get_current_app_user_connection("calendar").access_token,
        client.as_service_role.connectors.get_connection("snowflake").access_token,
    ]
    with client_to(redis_server) as redis:
        everything = b" ".join(part for key in redis.scan_iter() for part in (key, redis.get(key)))
        for known in (
            *tokens,
            connected.id,
            connected.email,
            CALENDAR_ID,
            "snowflake",
            "canaryconfig",
            emulator.app_id,
        ):
            assert str(known).encode() not in everything
        assert all(key.startswith(b"base44:{") for key in redis.scan_iter())


def test_two_secrets_while_one_takes_the_others_place(
    server: Any, emulator: Emulator, connected: AppUser, asking: Asking
) -> None:
    old, both = server(connected, secret=[SECRET]), server(connected, secret=[SECRET, OTHER])
    turned, new = server(connected, secret=[OTHER, SECRET]), server(connected, secret=[OTHER])
    token = asking.get(old, CALENDAR)
    assert [asking.get(client, CALENDAR) for client in (both, turned)] == [token] * 2
    assert asking.calls() == 1
    emulator.connect(connected, CALENDAR_ID)
    newer = asking.get(new, CALENDAR)
    assert newer != token
    turned.connectors.disconnect_app_user("calendar")
    asking.calls()
    for client in (both, turned, new):  # gone at the place of each
        with pytest.raises(NotConnectedError):
            asking.get(client, CALENDAR)


# --- what ends it


@pytest.mark.parametrize("ends", ["disconnect", "connect", "forget", "forget by ID", "who is not known yet"])
def test_what_ends_it_ends_it_everywhere(
    server: Any, emulator: Emulator, connected: AppUser, asking: Asking, ends: str
) -> None:
    here, there = server(connected), server(connected)
    old = asking.get(there, CALENDAR)
    grace = emulator.add_user("grace@test.example")
    emulator.connect(grace, CALENDAR_ID)
    graces = server(grace)
    asking.get(graces, CALENDAR)
    if ends == "who is not known yet":
        here._context.engine.identity.known.clear()
        here._context.drop(None)
    match ends:
        case "connect":
            emulator.disconnect(connected, CALENDAR_ID)
            here.connectors.connect_app_user("calendar")
        case "forget":
            here.forget()
        case "forget by ID":
            here.forget(connected.id)
        case _:
            here.connectors.disconnect_app_user("calendar")
    emulator.connect(connected, CALENDAR_ID)
    asking.calls()
    assert asking.get(there, CALENDAR) != old
    assert asking.calls() == 1
    assert asking.get(graces, CALENDAR)
    assert asking.calls() == 0
    asking.get(there, CALENDAR)
    assert asking.calls() == (1 if ends == "connect" else 0)  # they are at the provider's pages


def test_no_fill_in_flight_brings_it_back(server: Any, emulator: Emulator, connected: AppUser) -> None:
    here, there = server(connected), server(connected)
    get = there.as_service_role.connectors.get_current_app_user_connection

    def old(request: Any, timeout: float) -> Any:
        answer = emulator.transport.open().send(request, timeout=timeout, connect_timeout=timeout)
        if "/token" in request.url:  # as the answer is on its way
            here.connectors.disconnect_app_user("calendar")
            emulator.connect(connected, CALENDAR_ID)
        return answer

    slow = server(connected, Scripted(old))
    first = slow.as_service_role.connectors.get_current_app_user_connection("calendar").access_token
    assert get("calendar").access_token != first


def test_a_rejected_token_is_dropped_if_it_is_still_there(
    server: Any, emulator: Emulator, connected: AppUser, asking: Asking
) -> None:
    here, there = server(connected), server(connected)
    held = here.as_service_role.connectors.get_current_app_user_connection("calendar")
    emulator.connect(connected, CALENDAR_ID)
    asking.calls()
    newer = here.renew(held)
    assert newer.access_token != held.access_token
    assert asking.get(there, CALENDAR) == newer.access_token
    assert asking.calls() == 1
    assert there.renew(held).access_token == newer.access_token  # somebody has already
    assert asking.calls() == 0


def test_a_404_is_not_kept(server: Any, emulator: Emulator, ada: AppUser, asking: Asking) -> None:
    client = server(ada)
    for _ in range(2):
        with pytest.raises(NotConnectedError):
            asking.get(client, CALENDAR)
    assert asking.calls() == 2
    token = emulator.connect(ada, CALENDAR_ID)
    assert asking.get(server(ada), CALENDAR) == token


# --- one flight over processes


def _fleet(settings: Settings, token: str, count: int, start: Any, results: Any) -> None:
    async def main() -> list[str]:
        async with AsyncBase44(settings=settings, token=token) as base44:
            await base44.user()
            start.wait(PATIENCE)
            get = base44.as_service_role.connectors.get_current_app_user_connection
            found = await asyncio.gather(*(get("calendar") for _ in range(count)), return_exceptions=True)
            return [each.access_token if hasattr(each, "access_token") else type(each).__name__ for each in found]

    results.put(asyncio.run(main()))


@pytest.fixture
def fleet(shared: Settings, emulator: Emulator, ada: AppUser) -> Any:
    def run(processes: int, count: int) -> list[str]:
        context = multiprocessing.get_context("fork")
        start, results = context.Barrier(processes), context.Queue()
        arguments = (shared, emulator.sign_in(ada), count, start, results)
        workers = [context.Process(target=_fleet, args=arguments) for _ in range(processes)]
        for worker in workers:
            worker.start()
        found = [each for _ in workers for each in results.get(timeout=PATIENCE)]
        for worker in workers:
            worker.join(PATIENCE)
        return found

    return run


def fails(client: Base44) -> type[Exception]:
    with pytest.raises(Base44Error) as caught:
        client.as_service_role.connectors.get_current_app_user_connection("calendar")
    return caught.type


def evaluated(server: RedisServer) -> int:
    with client_to(server) as redis:
        return int(redis.info("commandstats").get("cmdstat_eval", {"calls": 0})["calls"])


def asked(emulator: Emulator) -> int:
    return sum(request.target.endswith("/token") for request in emulator.requests)


def test_four_processes_of_two_hundred_are_one_call(fleet: Any, emulator: Emulator, connected: AppUser) -> None:
    found = fleet(4, 200)
    assert len(found) == 800
    assert len(set(found)) == 1
    assert asked(emulator) == 1


def test_nobody_queues_for_what_is_not_connected(
    server: Any, emulator: Emulator, ada: AppUser, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first has failed all ask at the same time, not one after the other."""
    monkeypatch.setattr(store_module, "_LOCK", 1000)
    others, all_wait, all_ask = 3, threading.Event(), threading.Barrier(3)
    first = threading.Lock()

    def answer(request: Any, timeout: float) -> Any:
        if "/token" in request.url:
            if first.acquire(blocking=False):
                assert all_wait.wait(PATIENCE)
            else:
                all_ask.wait(20)
        return emulator.transport.open().send(request, timeout=timeout, connect_timeout=timeout)

    clients = [server(ada, Scripted(answer)) for _ in range(1 + others)]
    with ThreadPoolExecutor(len(clients)) as pool:
        found = [pool.submit(fails, client) for client in clients]
        assert eventually(lambda: evaluated(redis_server) >= 40)  # three wait, and look again and again
        all_wait.set()
        assert [each.result(PATIENCE) for each in found] == [NotConnectedError] * 4
    assert asked(emulator) == 4


def entry_of(client: Base44, user: AppUser) -> Entry:
    context = client._context
    return context.engine.connections.entry_of(context.caller, Wanted("app_user", CALENDAR_ID), user.id)


def spot_of(client: Base44, user: AppUser) -> Any:
    return store_of(client)._sealings[0].spot(entry_of(client, user))


def test_a_leader_that_is_killed(
    server: Any, emulator: Emulator, connected: AppUser, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one asks as the lock ends."""
    monkeypatch.setattr(store_module, "_LOCK", 0.5)
    alive = server(connected)
    with client_to(redis_server) as redis:
        redis.set(spot_of(alive, connected).lock, b"of a process that is gone", px=500)
        assert alive.as_service_role.connectors.get_current_app_user_connection("calendar").access_token
    assert evaluated(redis_server) > 3  # it waited
    assert asked(emulator) == 1


def test_a_leader_that_hangs_up(
    server: Any, emulator: Emulator, connected: AppUser, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lock goes with it: another server asks at once."""
    monkeypatch.setattr(store_module, "_LOCK", 1000)

    class HangsUp(BaseException):
        pass

    def answer(request: Any, timeout: float) -> Any:
        if "/token" in request.url:
            raise HangsUp
        return emulator.transport.open().send(request, timeout=timeout, connect_timeout=timeout)

    gone = server(connected, Scripted(answer))
    with pytest.raises(HangsUp):
        gone.as_service_role.connectors.get_current_app_user_connection("calendar")
    assert eventually(lambda: not [key for key in keys(gone) if key.endswith(b":lock")])
    assert asking.get(server(connected), CALENDAR)


def test_a_cancelled_leader_leaves_no_lock(
    server: Any, emulator: Emulator, connected: AppUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_LOCK", 1000)

    async def main() -> None:
        held = Held(emulator, lambda request: "/token" in request.url)
        client = server(connected, held, known=False, timeout=600)
        await client.aio.user()
        for fresh in (False, True):
            get = client.aio.as_service_role.connectors.get_current_app_user_connection
            asks = asyncio.create_task(get("calendar", fresh=fresh))
            await held.arrived(1)
            asks.cancel()
            await asyncio.gather(asks, return_exceptions=True)
            while [key for key in keys(client) if key.endswith(b":lock")]:
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_a_loop_that_ends_under_a_leader_says_nothing_of_the_store(
    server: Any, emulator: Emulator, connected: AppUser
) -> None:
    """Often enough: how far its last command came is chance."""
    calls = []

    async def main(client: Base44, held: Held) -> None:
        connectors = client.aio.as_service_role.connectors
        calls.append(asyncio.ensure_future(connectors.get_current_app_user_connection("calendar")))
        await held.arrived(1)

    for _ in range(20):
        held = Held(emulator, lambda request: "/token" in request.url)
        client = server(connected, held, known=False, timeout=600)
        client._context.keep_user(connected)
        asyncio.run(main(client, held))
        assert not store_of(client).breaker.is_open
    assert all(call.cancelled() for call in calls)


def test_a_server_does_not_wait_for_itself(
    server: Any, connected: AppUser, redis_server: RedisServer, clock: Clock
) -> None:
    """A blocking call on an event loop's thread would hold up the call that it waits for."""
    client = server(connected)
    store = store_of(client)
    entry = entry_of(client, connected)
    found = ConnectionRecord(Secret("a-token"), None, None)
    end = clock.monotonic() + 60

    async def asks_again() -> Any:
        async def ask() -> Any:
            return found

        return await store.fetch(BLOCKING, entry, ask, bool, end=end)

    assert run(store.fetch(BLOCKING, entry, asks_again, bool, end=end)) is found
    assert evaluated(redis_server) <= 4


def keys(client: Base44) -> list[bytes]:
    from redis import Redis

    store = client._context.engine.settings.connection_store
    assert isinstance(store, Secret)
    with contextlib.closing(Redis.from_url(store.reveal())) as redis:
        return list(redis.scan_iter())


def test_nobody_queues_while_a_user_connects(
    server: Any, emulator: Emulator, connected: AppUser, redis_server: RedisServer
) -> None:
    """Nothing will be kept of it: all ask at the same time."""
    clients = [server(connected) for _ in range(3)]
    emulator.disconnect(connected, CALENDAR_ID)
    clients[0].connectors.connect_app_user("calendar")
    emulator.connect(connected, CALENDAR_ID)
    emulator.requests.clear()
    with client_to(redis_server) as redis:
        redis.set(spot_of(clients[0], connected).lock, b"of another server", px=600_000)
        before = evaluated(redis_server)
        for client in clients:
            assert client.as_service_role.connectors.get_current_app_user_connection("calendar").access_token
        assert evaluated(redis_server) - before <= 3  # nobody looked twice
        assert asked(emulator) == 3
        assert not redis.exists(spot_of(clients[0], connected).value)


def test_how_long_a_user_is_taken_to_connect(
    server: Any, emulator: Emulator, connected: AppUser, redis_server: RedisServer
) -> None:
    """Minutes, once they were sent there; while it is not known, as long as it can take to be; and a mark is not cut."""
    client = server(connected, timeout=10)
    with client_to(redis_server) as redis:
        for was_sent, seconds in ((False, 15), (True, 300), (False, 300)):
            if was_sent:
                emulator.disconnect(connected, CALENDAR_ID)
                client.connectors.connect_app_user("calendar")
                emulator.connect(connected, CALENDAR_ID)
            else:
                with pytest.raises(AlreadyConnectedError):
                    client.connectors.connect_app_user("calendar")
            left = redis.pttl(spot_of(client, connected).connecting) / 1000
            assert seconds - 2 * PATIENCE < left <= seconds
            assert left > 0
            marks = client._context.engine.connections.memory._connecting
            assert bool([until for until in marks.values() if until > time.monotonic() + 100]) == (seconds == 300)


@pytest.mark.as_quick_as_it_is
def test_who_ended_it_while_the_store_was_down_does_not_use_it_again(
    server: Any, emulator: Emulator, connected: AppUser, redis_server: RedisServer
) -> None:
    client = server(connected)
    get = client.as_service_role.connectors.get_current_app_user_connection
    old = get("calendar").access_token
    redis_server.freeze()
    get("calendar")  # so nothing is sent there any more
    client.connectors.disconnect_app_user("calendar")
    redis_server.thaw()
    assert eventually(lambda: not store_of(client).breaker.is_open)
    with pytest.raises(NotConnectedError):
        get("calendar")
    emulator.connect(connected, CALENDAR_ID)
    assert get("calendar").access_token != old


def test_a_disconnect_by_who_was_not_verified_in_time(
    server: Any, emulator: Emulator, connected: AppUser, caplog: pytest.LogCaptureFixture
) -> None:
    """The platform has done it, and nobody knows of whom: the operator is told."""
    client = server(connected, known=False, max_retries=0)
    emulator.fault(Fault(status=503), path="*/User/me")
    client.connectors.disconnect_app_user("calendar")
    assert "cannot be told" in caplog.text


def test_a_full_store_still_learns_of_an_end(
    server: Any, emulator: Emulator, connected: AppUser, redis_server: RedisServer
) -> None:
    here, there = server(connected), server(connected)
    get = there.as_service_role.connectors.get_current_app_user_connection
    get("calendar")
    with client_to(redis_server) as redis:
        redis.config_set("maxmemory", "1")
        here.connectors.disconnect_app_user("calendar")
        with pytest.raises(NotConnectedError):
            get("calendar")
        redis.config_set("maxmemory", "0")


@pytest.mark.as_quick_as_it_is
def test_a_server_that_was_closed_while_it_was_down_uses_it_again(
    server: Any, connected: AppUser, asking: Asking, redis_server: RedisServer
) -> None:
    client = server(connected)
    redis_server.stop()
    assert asking.get(client, CALENDAR)
    assert store_of(client).breaker.is_open
    client._context.engine.close()
    redis_server.start()
    asking.calls()
    assert eventually(lambda: asking.get(client, CALENDAR) and asking.calls() == 0)


@pytest.mark.parametrize("has_store", [True, False])
def test_an_older_answer_does_not_overtake_a_renewal(
    server: Any, emulator: Emulator, connected: AppUser, redis_server: RedisServer, has_store: bool
) -> None:
    """What was asked for before is kept in its place in no process and no store, nor does it let the lock go."""
    has_old, may_land, armed = threading.Event(), threading.Event(), threading.Event()

    def answer(request: Any, timeout: float) -> Any:
        given = emulator.transport.open().send(request, timeout=timeout, connect_timeout=timeout)
        if "/token" in request.url and armed.is_set() and not has_old.is_set():
            has_old.set()
            assert may_land.wait(PATIENCE)
        return given

    more: dict[str, Any] = {} if has_store else {"connection_store": None}
    client = server(connected, Scripted(answer), **more)
    get = client.as_service_role.connectors.get_current_app_user_connection
    held = get("calendar", fresh=True)
    client.forget()
    client.user()
    armed.set()
    with ThreadPoolExecutor(2) as pool:
        older = pool.submit(get, "calendar")
        assert has_old.wait(PATIENCE)
        emulator.connect(connected, CALENDAR_ID)
        before = evaluated(redis_server)
        renewing = pool.submit(client.renew, held)
        if has_store:
            assert eventually(lambda: evaluated(redis_server) > before + 3)  # it waits for the other's lock
        else:
            renewing.result(PATIENCE)
        may_land.set()
        assert older.result(PATIENCE).access_token == held.access_token
        renewed = renewing.result(PATIENCE)
    assert renewed.access_token != held.access_token
    assert get("calendar").access_token == renewed.access_token


def test_a_leader_that_came_too_late_overwrites_nothing(
    server: Any, emulator: Emulator, connected: AppUser, redis_server: RedisServer
) -> None:
    other = server(connected)

    def late(request: Any, timeout: float) -> Any:
        answer = emulator.transport.open().send(request, timeout=timeout, connect_timeout=timeout)
        if "/token" in request.url:
            with client_to(redis_server) as redis:  # as its time is over
                redis.delete(*[key for key in redis.scan_iter() if key.endswith(b":lock")])
            emulator.connect(connected, CALENDAR_ID)
            other.as_service_role.connectors.get_current_app_user_connection("calendar")
        return answer

    old = server(connected, Scripted(late)).as_service_role.connectors.get_current_app_user_connection("calendar")
    new = other.as_service_role.connectors.get_current_app_user_connection("calendar")
    assert old.access_token != new.access_token


def test_a_leader_that_is_cancelled(
    server: Any, emulator: Emulator, connected: AppUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own server goes on at once; the lock is its own."""
    monkeypatch.setattr(store_module, "_LOCK", 1000)

    async def main() -> None:
        held = Held(emulator, lambda request: "/token" in request.url)
        client = server(connected, held, known=False, timeout=600).aio
        await client.user()
        get = client.as_service_role.connectors.get_current_app_user_connection
        first = asyncio.create_task(get("calendar"))
        await held.arrived(1)
        first.cancel()
        second = asyncio.create_task(get("calendar"))
        await asyncio.wait_for(held.arrived(2), PATIENCE)
        held.let_go()
        assert (await second).access_token

    asyncio.run(main())
    assert asked(emulator) == 1


def test_a_leader_that_is_set_up_wrongly(server: Any, connected: AppUser, redis: str) -> None:
    """Its error is its own, and nobody waits for it."""

    class Closed:
        def open(self) -> Any:
            raise RuntimeError("it cannot be opened here")

        open_async = open

    wrong = server(connected, Closed(), known=False)
    wrong._context.keep_user(connected)
    with pytest.raises(ConfigurationError, match="No HTTP client can be made"):
        wrong.as_service_role.connectors.get_current_app_user_connection("calendar")
    from redis import Redis

    with contextlib.closing(Redis.from_url(redis)) as client:
        assert [key for key in client.keys("base44:*") if key.endswith(b":lock")] == []
    assert server(connected).as_service_role.connectors.get_current_app_user_connection("calendar").access_token


def test_fresh_takes_the_lead(server: Any, emulator: Emulator, connected: AppUser) -> None:
    """What somebody asked for before is not waited for, nor kept in its place."""
    fresh_asks, old_is_through = threading.Event(), threading.Event()
    asks: list[Any] = []
    here = threading.get_ident()

    def answer(request: Any, timeout: float) -> Any:
        answer = emulator.transport.open().send(request, timeout=timeout, connect_timeout=timeout)
        if "/token" in request.url and threading.get_ident() == here:
            new = emulator.connect(connected, CALENDAR_ID)
            asks.append(pool.submit(lambda: get("calendar", fresh=True).access_token == new))
            assert fresh_asks.wait(PATIENCE)
        elif "/token" in request.url:
            fresh_asks.set()
            assert old_is_through.wait(PATIENCE)
        return answer

    get = server(connected, Scripted(answer)).as_service_role.connectors.get_current_app_user_connection
    with ThreadPoolExecutor(1) as pool:
        old = get("calendar").access_token
        old_is_through.set()
        assert asks[0].result(PATIENCE)
    calls = asked(emulator)
    assert get("calendar").access_token != old
    assert asked(emulator) == calls


# --- down, slow, full, empty, and lying


@pytest.mark.as_quick_as_it_is
def test_frozen_and_lost(
    server: Any, emulator: Emulator, connected: AppUser, asking: Asking, redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    client = server(connected)
    asking.get(client, CALENDAR)
    redis_server.freeze()
    asking.calls()
    for _ in range(3):
        assert asking.get(client, CALENDAR)
    assert asking.calls() == 3  # of app users nothing is kept here
    for _ in range(3):
        assert asking.get(client)
    assert asking.calls() == 1  # of shared ones for some seconds
    assert sum("connection_store" in record.message for record in caplog.records) == 1
    assert store_of(client).breaker.is_open
    redis_server.thaw()
    assert eventually(lambda: not store_of(client).breaker.is_open)
    redis_server.stop()
    assert asking.get(client, CALENDAR)
    redis_server.start()
    assert eventually(lambda: not store_of(client).breaker.is_open)
    other = server(connected)

    def one_asks_for_both() -> bool:  # a busy machine may take longer over a command than they wait for it
        asking.calls()
        token = asking.get(client, CALENDAR)
        same = asking.get(other, CALENDAR) == token and asking.calls() <= 1
        return same and not any(store_of(each).breaker.is_open for each in (client, other))

    assert eventually(one_asks_for_both)


def test_shared_ones_are_kept_for_five_seconds_while_it_is_down(
    server: Any, asking: Asking, redis_server: RedisServer, clock: Clock
) -> None:
    client = server(None)
    clock.stop()
    redis_server.stop()
    asking.get(client)
    clock.forward(4.9)
    asking.get(client)
    assert asking.calls() == 1
    clock.forward(0.2)
    asking.get(client)
    assert asking.calls() == 1


@pytest.mark.as_quick_as_it_is
def test_a_disconnect_that_it_does_not_learn_of(
    server: Any, emulator: Emulator, connected: AppUser, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    client = server(connected)
    redis_server.freeze()
    client.connectors.disconnect_app_user("calendar")
    redis_server.thaw()
    assert any("cannot be told" in record.message and "30" in record.message for record in caplog.records)


def test_what_it_should_not_hold(
    server: Any, emulator: Emulator, connected: AppUser, asking: Asking, redis_server: RedisServer,
    subtests: pytest.Subtests,
) -> None:  # fmt: skip
    grace = emulator.add_user("grace@test.example")
    emulator.connect(grace, CALENDAR_ID)
    clients, elsewhere = ([server(connected), server(grace)] for _ in range(2))

    def values(redis: Any) -> list[bytes]:
        return [key for key in redis.scan_iter() if key.count(b":") == 2 and not key.endswith(b"generation")]

    for what in ("garbage", "nothing", "a list", "another's", "an old one", "cut short", "a changed bit"):
        with subtests.test(what), client_to(redis_server) as redis:
            redis.flushall()
            tokens = [asking.get(client, CALENDAR) for client in clients]
            one, two = values(redis)
            sealed = redis.get(one)
            match what:
                case "garbage":
                    redis.set(one, os.urandom(200))
                case "nothing":
                    redis.set(one, b"")
                case "a list":
                    redis.delete(one)
                    redis.rpush(one, b"a")
                case "another's":
                    redis.set(one, redis.get(two))
                    redis.set(two, sealed)
                case "an old one":
                    elsewhere[0].forget()
                    elsewhere[1].forget()
                    redis.set(one, sealed)
                case "cut short":
                    redis.set(one, sealed[:20])
                case _:
                    redis.set(one, sealed[:-1] + bytes([sealed[-1] ^ 1]))
            asking.calls()
            assert [asking.get(client, CALENDAR) for client in clients] == tokens
            assert asking.calls() >= 1
            for client in clients:
                assert eventually(lambda client=client: not store_of(client).breaker.is_open)


def test_what_came_too_late_to_be_kept_lets_go_of_the_lock(
    server: Any, emulator: Emulator, connected: AppUser, clock: Clock, redis_server: RedisServer
) -> None:
    def slow(request: Any, timeout: float) -> Any:
        clock.forward(2 if "/token" in request.url else 0)
        return emulator.transport.open().send(request, timeout=timeout, connect_timeout=timeout)

    client = server(connected, Scripted(slow), connection_ttl=1)
    assert client.as_service_role.connectors.get_current_app_user_connection("calendar").access_token
    with client_to(redis_server) as redis:
        assert not [key for key in redis.scan_iter() if key.endswith(b":lock")]


def test_what_is_too_old(
    server: Any, connected: AppUser, asking: Asking, clock: Clock, redis_server: RedisServer
) -> None:
    """Who writes to the store can bring it back, but not for long."""
    client = server(connected)
    asking.get(client, CALENDAR)
    with client_to(redis_server) as redis:
        for key in redis.scan_iter():
            redis.persist(key)
    clock.forward(41)
    asking.calls()
    asking.get(client, CALENDAR)
    assert asking.calls() == 1


def test_each_entry_has_a_key_of_its_own(server: Any, connected: AppUser) -> None:
    store = store_of(server(connected))
    connections = server(connected)._context.engine.connections
    entries = [
        connections.entry_of(server(connected)._context.caller, Wanted("app_user", connector), connected.id)
        for connector in ("one", "two")
    ]
    (sealing,) = store._sealings
    one, two = (sealing.spot(entry) for entry in entries)
    sealed = one.aead.encrypt(b"a" * 12, b"text", None)
    with pytest.raises(sealing._tampered):
        two.aead.decrypt(b"a" * 12, sealed, None)


def test_a_full_one_and_one_that_forbids(
    settings: Settings, server: Any, connected: AppUser, asking: Asking, redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture, subtests: pytest.Subtests,
) -> None:  # fmt: skip
    with client_to(redis_server) as redis:
        with subtests.test("full"):
            redis.config_set("maxmemory", "1")
            client = server(connected)
            assert asking.get(client, CALENDAR)
            assert "maxmemory" in caplog.text
            redis.config_set("maxmemory", "0")
            assert eventually(lambda: not store_of(client).breaker.is_open)
        rights = ["~base44:*", "+mget", "+get", "+set", "+del", "+exists", "+pexpire", "+ping", "+client", "+hello"]
        for name, more in {"noeval": [], "enough": ["+eval"]}.items():
            redis.execute_command("ACL", "SETUSER", name, "on", ">pw-of-a-test", *rights, *more)
            caplog.clear()
            with subtests.test(name):
                url = f"redis://{name}:pw-of-a-test@127.0.0.1:{redis_server.port}/0"
                clients = [server(connected, connection_store=url) for _ in range(2)]
                asking.calls()
                assert len({asking.get(client, CALENDAR) for client in clients}) == 1
                assert asking.calls() == (2 if name == "noeval" else 1)
                assert ("+eval" in caplog.text) == (name == "noeval")
                assert "pw-of-a-test" not in caplog.text


def test_a_wrong_password_is_not_told(
    server: Any, connected: AppUser, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    with client_to(redis_server) as redis:
        redis.config_set("requirepass", "the right one")
    client = server(connected, connection_store=f"redis://:canarypassword@127.0.0.1:{redis_server.port}/0")
    assert client.as_service_role.connectors.get_current_app_user_connection("calendar").access_token
    assert "AuthenticationError" in caplog.text
    assert "canary" not in caplog.text
    assert "canary" not in repr(client._context.engine.settings)


def test_over_tls_its_certificate_counts(
    settings: Settings, emulator: Emulator, connected: AppUser, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority, key = certificate(tmp_path)
    words = ("--tls-cert-file", str(authority), "--tls-key-file", str(key), "--tls-auth-clients", "no")
    server = RedisServer(tmp_path, "--port", "0", "--tls-port", "{port}", *words, url="rediss://localhost:{port}/0")
    server._arguments = tuple(word.format(port=server.port) for word in server._arguments)
    server.start(ssl_ca_certs=str(authority))
    try:
        for ca_file in (str(authority), None):
            caplog.clear()
            more: dict[str, Any] = {"connection_ttl": 30, "secret": SECRET, "connection_store": server.url}
            engine = Engine(changed(settings, ca_file=ca_file, **more).complete(), emulator.transport)
            client = client_of(engine, emulator, connected)
            client.user()
            for _ in range(2):
                assert client.as_service_role.connectors.get_current_app_user_connection("calendar").access_token
            assert store_of(client).breaker.is_open == (ca_file is None)
            assert ("connection_store" in caplog.text) == (ca_file is None)
            engine.close()
    finally:
        server.stop()


# --- settings, and other clients


def test_settings_that_are_refused(settings: Settings, subtests: pytest.Subtests) -> None:
    for given, message in {
        "http://127.0.0.1": "redis://", "redis://": "redis://", "redis://h:port": "no URL",
        "rediss://h?ssl_cert_reqs=none": "ssl_cert_reqs", "rediss://h?ssl_check_hostname=false": "ssl_check_hostname",
        "redis://h?socket_timeout=5": "option", "": None,
    }.items():  # fmt: skip
        with subtests.test(given):
            if message is None:
                assert changed(settings, connection_store=given or None).connection_store is None
                continue
            with pytest.raises(ConfigurationError, match=message) as caught:
                changed(settings, connection_store=given.replace("//", "//:canary@") if "//h" in given else given)
            assert "canary" not in str(caught.value)
    for pair in ((print,), (print, 7), 7):
        with subtests.test(str(pair)), pytest.raises(ConfigurationError, match="pair of functions"):
            changed(settings, connection_store=pair)
    for secret in (None, "short"):
        with subtests.test(f"secret {secret}"), pytest.raises(ConfigurationError, match="BASE44_SECRET"):
            changed(settings, connection_store="redis://h", secret=secret).complete()
    with subtests.test("the framework's own secret key"), pytest.raises(ConfigurationError, match="same on all"):
        Settings.load(changed(settings, connection_store="redis://h"), fallback={"secret": SECRET})


@pytest.mark.parametrize("library", ["redis", "valkey"])
def test_clients_of_ones_own(server: Any, connected: AppUser, asking: Asking, redis: str, library: str) -> None:
    module = pytest.importorskip(library)
    pytest.importorskip(f"{library}.asyncio")
    kinds = {"redis": "Redis", "valkey": "Valkey"}

    def blocking() -> Any:
        return getattr(module, kinds[library]).from_url(redis)

    def awaiting() -> Any:
        return getattr(module.asyncio, kinds[library]).from_url(redis)

    first, second = (server(connected, connection_store=(blocking, awaiting)) for _ in range(2))
    token = asking.get(first, CALENDAR)
    assert asking.get(second, CALENDAR) == token
    assert asking.calls() == 1


def test_factories_that_make_nothing(
    server: Any, connected: AppUser, asking: Asking, caplog: pytest.LogCaptureFixture
) -> None:
    client = server(connected, connection_store=(lambda: None, lambda: None))
    assert asking.get(client, CALENDAR)
    assert "factories must make" in caplog.text
    asyncio.run(client._context.engine.aclose())


def test_a_cancelled_command_is_nobody_elses_answer(
    server: Any, emulator: Emulator, connected: AppUser, redis_server: RedisServer
) -> None:
    """As redis-py had it in March 2023: what was answered to one was read by the next."""
    grace = emulator.add_user("grace@test.example")
    tokens = {user.id: emulator.connect(user, CALENDAR_ID) for user in (connected, grace)}

    async def main() -> None:
        clients = {user.id: server(user).aio for user in (connected, grace)}
        for client in clients.values():
            client._context.engine.connections.store = store_of(next(iter(clients.values())).sync)
            await client.as_service_role.connectors.get_current_app_user_connection("calendar")
        for turn in range(40):
            for user_id, client in clients.items():
                get = client.as_service_role.connectors.get_current_app_user_connection
                task = asyncio.create_task(get("calendar"))
                for _ in range(turn % 8):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                other = clients[grace.id if user_id == connected.id else connected.id]
                found = await other.as_service_role.connectors.get_current_app_user_connection("calendar")
                assert found.access_token == tokens[grace.id if user_id == connected.id else connected.id]

    asyncio.run(main())


def test_a_forked_child_has_connections_of_its_own(server: Any, connected: AppUser) -> None:
    client = server(connected)
    get = client.as_service_role.connectors.get_current_app_user_connection
    token = get("calendar").access_token
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, b"1" if get("calendar").access_token == token else b"0")
        os._exit(0)
    assert get("calendar").access_token == token
    assert os.read(read, 1) == b"1"
    os.waitpid(child, 0)
    os.close(read)
    os.close(write)
