"""Connections that are used again: whose they are, for how long, and what ends them."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import jwt
import pytest

from base44_web import (
    AppUser,
    AsyncBase44,
    AuthenticationError,
    Base44,
    Base44Error,
    ConfigurationError,
    ConnectorID,
    NotConnectedError,
    ServiceRoleUnavailableError,
    Settings,
    connection_counts,
)
from base44_web._core.claims import Token
from base44_web._core.connections.memory import CONNECTING, ConnectionMemory, Entry
from base44_web._core.engine.context import Context
from base44_web._core.engine.engine import Engine
from base44_web._core.guards.admit import admit
from base44_web._core.incoming.caller import Caller
from base44_web._core.platform.io import AWAITING, BLOCKING, run
from base44_web._core.secret import Secret
from base44_web._core.transport.message import PlatformRequest, PlatformResponse
from base44_web._core.values import ConnectionRecord
from base44_web.testing import CALENDAR_ID, Emulator, Fault
from tests.conftest import Clock
from tests.drivers import changed
from tests.relayed import SECRET
from tests.serving import PATIENCE
from tests.transports import Held, Scripted

ROUTES = {
    "get_connection": ("slack",),
    "get_workspace_connection": ("workspace",),
    "get_current_app_user_connection": ("calendar",),
}


@pytest.fixture
def cached(settings: Settings) -> Settings:
    return changed(settings, connection_ttl=30)


@pytest.fixture
def engine(cached: Settings, emulator: Emulator, clock: Clock) -> Iterator[Engine]:
    emulator.share("slack")
    emulator.share_workspace("workspace")
    engine = Engine(cached, emulator.transport)
    yield engine
    engine.close()


@pytest.fixture
def connected(emulator: Emulator, ada: AppUser) -> AppUser:
    emulator.connect(ada, CALENDAR_ID)
    return ada


def caller_of(emulator: Emulator, settings: Settings, user: AppUser | None, **more: Any) -> Caller:
    assert settings.app_id is not None
    token = None if user is None else Token(Secret(emulator.sign_in(user)))
    usual = Caller(
        settings.app_id, settings.server_url, settings.server_url, token=token, service_token=settings.service_token
    )
    return replace(usual, **more)


def client_of(engine: Engine, emulator: Emulator, user: AppUser | None, **more: Any) -> Base44:
    return Base44._for(Context(engine, caller_of(emulator, engine.settings, user, **more)))


class Asking:
    """One way of asking, and how many calls that cost."""

    def __init__(self, kind: str, emulator: Emulator) -> None:
        self._kind = kind
        self._emulator = emulator

    def get(self, client: Base44, method: str = "get_connection", **options: Any) -> str:
        if self._kind == "blocking":
            found = getattr(client.as_service_role.connectors, method)(*ROUTES[method], **options)
        else:
            found = asyncio.run(getattr(client.aio.as_service_role.connectors, method)(*ROUTES[method], **options))
        return str(found.access_token)

    def calls(self) -> int:
        """To the token routes, since this was asked last."""
        count = sum("/User/me" not in request.target for request in self._emulator.requests)
        self._emulator.requests.clear()
        return count


@pytest.fixture(params=["blocking", "awaiting"])
def asking(request: pytest.FixtureRequest, emulator: Emulator) -> Asking:
    return Asking(request.param, emulator)


# --- how long, and of whom


@pytest.mark.parametrize("method", ROUTES)
def test_a_connection_is_used_again_for_its_time(
    engine: Engine, emulator: Emulator, connected: AppUser, clock: Clock, asking: Asking, method: str
) -> None:
    clock.stop()
    client = client_of(engine, emulator, connected)
    assert client.user() is not None
    first = asking.get(client, method)
    assert [asking.get(client, method) for _ in range(3)] == [first] * 3
    assert asking.calls() == 1
    clock.forward(29)
    assert asking.get(client, method) == first
    assert asking.calls() == 0
    clock.forward(1.1)  # sums of floats
    assert asking.get(client, method) == first
    assert asking.calls() == 1


def test_without_a_time_each_asks(settings: Settings, emulator: Emulator, connected: AppUser, asking: Asking) -> None:
    engine = Engine(changed(settings, connection_ttl=0), emulator.transport)
    client = client_of(engine, emulator, connected)
    assert client.user() is not None
    for method in ("get_connection", "get_current_app_user_connection"):
        asking.get(client, method)
        asking.get(client, method)
    assert asking.calls() == 4
    assert not engine.connections.memory._kept


@pytest.mark.parametrize("seconds", [301, 600, -1, "soon"])
def test_times_that_are_refused(settings: Settings, seconds: Any) -> None:
    with pytest.raises(ConfigurationError, match="BASE44_CONNECTION_TTL"):
        changed(settings, connection_ttl=seconds)
    assert changed(settings, connection_ttl=300).connection_ttl == 300


def test_the_default_is_half_a_minute() -> None:
    assert Settings(app_id="a").connection_ttl == 30


def test_no_user_gets_what_is_anothers(engine: Engine, emulator: Emulator, connected: AppUser, asking: Asking) -> None:
    grace = emulator.add_user("grace@test.example")
    emulator.connect(grace, CALENDAR_ID)
    clients = [client_of(engine, emulator, user) for user in (connected, grace)]
    tokens: list[set[str]] = [set(), set()]
    for _ in range(3):
        for client, found in zip(clients, tokens, strict=True):
            assert client.user() is not None
            found.add(asking.get(client, "get_current_app_user_connection"))
    assert [len(found) for found in tokens] == [1, 1]
    assert tokens[0] != tokens[1]
    assert asking.calls() == 2
    nobody = client_of(engine, emulator, None)
    with pytest.raises(AuthenticationError):
        asking.get(nobody, "get_current_app_user_connection")


def test_a_users_other_token_finds_it(engine: Engine, emulator: Emulator, connected: AppUser, asking: Asking) -> None:
    for _ in range(2):
        client = client_of(engine, emulator, connected)
        assert client.user() is not None
        asking.get(client, "get_current_app_user_connection")
    assert asking.calls() == 1


def test_who_is_not_verified_is_not_in_it(
    engine: Engine, emulator: Emulator, connected: AppUser, asking: Asking
) -> None:
    client = client_of(engine, emulator, connected)
    for _ in range(2):
        asking.get(client, "get_current_app_user_connection")
    assert asking.calls() == 2
    assert not engine.connections.memory._kept


def test_with_verification_none_no_user_is_in_it(
    cached: Settings, emulator: Emulator, connected: AppUser, asking: Asking
) -> None:
    engine = Engine(changed(cached, verification="none"), emulator.transport)
    client = client_of(engine, emulator, connected)
    for _ in range(2):
        asking.get(client, "get_current_app_user_connection")
        asking.get(client)
    assert asking.calls() == 3
    assert [entry.route for entry in engine.connections.memory._kept] == ["shared"]


def test_shared_connections_are_everybodys(
    engine: Engine, emulator: Emulator, connected: AppUser, asking: Asking
) -> None:
    """The service role can always leave the user out."""
    tokens = {
        asking.get(client_of(engine, emulator, user))
        for user in (connected, None, emulator.add_user("grace@test.example"))
    }
    assert len(tokens) == 1
    assert asking.calls() == 1


def test_without_a_service_token_nothing_is_found(
    engine: Engine, emulator: Emulator, connected: AppUser, asking: Asking
) -> None:
    client = client_of(engine, emulator, connected)
    assert client.user() is not None
    for method in ROUTES:
        asking.get(client, method)
    without = caller_of(emulator, engine.settings, connected, service_token=None)
    with pytest.raises(ServiceRoleUnavailableError):
        asking.get(Base44._for(Context(engine, without)))
    with pytest.raises(ServiceRoleUnavailableError):
        run(admit(BLOCKING, Context(engine, without), ("calendar",)))


OTHERS: dict[str, dict[str, Any]] = {
    "data environment": {"data_env": "dev"},
    "app": {"app_id": "another"},
    "server": {"server_url": "https://other.example"},
}


@pytest.mark.parametrize("more", OTHERS.values(), ids=OTHERS)
def test_what_is_another_entry(more: dict[str, Any], emulator: Emulator, cached: Settings) -> None:
    asked: list[str] = []

    def answer(request: PlatformRequest, timeout: float) -> PlatformResponse:
        asked.append(request.url)
        return PlatformResponse(200, {}, b'{"access_token": "t%d"}' % len(asked))

    engine = Engine(cached, Scripted(answer))
    clients = [client_of(engine, emulator, None), client_of(engine, emulator, None, **more)]
    tokens = [client.as_service_role.connectors.get_connection("slack").access_token for client in clients * 2]
    assert tokens == ["t1", "t2", "t1", "t2"]


@pytest.mark.parametrize(("trusted", "calls"), [("trust", 2), ("ignore", 1)])
def test_service_tokens_that_requests_bring(
    trusted: str, calls: int, cached: Settings, emulator: Emulator, asking: Asking
) -> None:
    """Nobody has verified them: who invents one finds nothing. A configured one is the app's own."""
    allowed = {"allowed_api_urls": [cached.server_url]} if trusted == "trust" else {}
    engine = Engine(changed(cached, platform_headers=trusted, **allowed), emulator.transport)
    good, bad = (client_of(engine, emulator, None, service_token=Secret(t)) for t in (emulator.service_token, "bad"))
    asking.get(good)
    if trusted == "trust":
        with pytest.raises(AuthenticationError):
            asking.get(bad)
    asking.get(good)
    assert asking.calls() == calls


def test_a_request_with_a_state_goes_past_it(engine: Engine, emulator: Emulator, asking: Asking) -> None:
    asking.get(client_of(engine, emulator, None))
    for _ in range(2):
        asking.get(client_of(engine, emulator, None, state=Secret("state")))
    assert asking.calls() == 3
    assert len(engine.connections.memory._kept) == 1


def test_each_acts_with_credentials_of_their_own(engine: Engine, emulator: Emulator, connected: AppUser) -> None:
    """What Ada's request has brought into the cache is bound to Grace's as it is handed to her."""
    grace = emulator.add_user("grace@test.example")
    ada, other = (client_of(engine, emulator, user) for user in (connected, grace))
    ada.as_service_role.connectors.get_connection("slack")
    connection = other.as_service_role.connectors.get_connection("slack")
    emulator.requests.clear()
    other.renew(connection)
    (request,) = emulator.requests
    assert other.token is not None
    assert request.header("on-behalf-of") == f"Bearer {other.token.reveal()}"


def test_what_a_guard_fetched_while_it_verified_is_kept(engine: Engine, emulator: Emulator, connected: AppUser) -> None:
    for io in (BLOCKING, AWAITING):
        engine.connections.after_fork()
        engine.identity.known.clear()
        for _ in range(2):
            context = Context(engine, caller_of(emulator, engine.settings, connected))
            steps = admit(io, context, ("calendar",))
            emulator.requests.clear()
            assert (run(steps) if io is BLOCKING else asyncio.run(steps)) == connected
            assert context.at_hand(CALENDAR_ID) is not None
        assert emulator.requests == []


# --- one flight


@pytest.mark.parametrize("what", ["connection", "user"])
def test_who_comes_as_the_others_have_just_ended(
    engine: Engine, emulator: Emulator, connected: AppUser, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """What was missed in the cache is there by the time that one would ask: nobody does."""
    client = client_of(engine, emulator, connected)
    get = client.user
    if what == "connection":
        assert client.user()
        get = partial(client.as_service_role.connectors.get_current_app_user_connection, "calendar")
    emulator.requests.clear()
    flights = engine.platform.flights
    join = flights.join

    def late(key: Any) -> Any:
        monkeypatch.setattr(flights, "join", join)
        assert get()
        return join(key)

    monkeypatch.setattr(flights, "join", late)
    assert get()
    assert len(emulator.requests) == 1


def test_two_hundred_callers_are_one_call(engine: Engine, emulator: Emulator, connected: AppUser) -> None:
    """In threads and on two event loops."""
    emulator.fault(Fault(delay=1), path="*/token*", times=None)
    client = client_of(engine, emulator, connected)
    assert client.user() is not None
    emulator.requests.clear()
    ready = threading.Barrier(102)

    def blocking(_: int) -> str:
        ready.wait(PATIENCE)
        return client.as_service_role.connectors.get_current_app_user_connection("calendar").access_token

    def awaiting(_: int) -> list[str]:
        async def main() -> list[str]:
            get = client.aio.as_service_role.connectors.get_current_app_user_connection
            return [each.access_token for each in await asyncio.gather(*(get("calendar") for _ in range(50)))]

        ready.wait(PATIENCE)
        return asyncio.run(main())

    with ThreadPoolExecutor(102) as threads:
        loops, singles = threads.map(awaiting, range(2)), threads.map(blocking, range(100))
        found = [token for each in loops for token in each] + list(singles)
    assert len(found) == 200
    assert len(set(found)) == 1
    assert len(emulator.requests) == 1


@pytest.mark.parametrize("ttl", [30, 0])
def test_who_asks_while_another_does_shares_the_answer(cached: Settings, emulator: Emulator, ttl: int) -> None:
    emulator.share("slack")

    async def main() -> None:
        held = Held(emulator, lambda request: True)
        engine = Engine(changed(cached, connection_ttl=ttl), held)
        client = client_of(engine, emulator, None).aio
        tasks = [asyncio.create_task(client.as_service_role.connectors.get_connection("slack")) for _ in range(20)]
        await held.arrived(1)
        held.let_go()
        assert len({each.access_token for each in await asyncio.gather(*tasks)}) == 1
        assert len(emulator.requests) == 1

    asyncio.run(main())


@pytest.mark.parametrize("ttl", [30, 0])
@pytest.mark.parametrize("status", [400, 401, 403, 422])
def test_one_bad_leader_and_fifty_good_followers(cached: Settings, emulator: Emulator, status: int, ttl: int) -> None:
    """The error of who leads with a bad token is theirs alone; the others lead anew, once."""
    good = [Token(Secret(jwt.encode({"sub": str(n)}, SECRET))) for n in range(50)]
    bad = Token(Secret(jwt.encode({"sub": "bad"}, SECRET)))
    asked: list[str] = []
    go = asyncio.Event()

    class Platform:
        def open_async(self) -> Any:
            return self

        def open(self) -> Any:
            raise AssertionError

        async def send(self, request: PlatformRequest, *, timeout: float, connect_timeout: float) -> PlatformResponse:
            behalf = dict(request.plain_headers())["on-behalf-of"]
            asked.append(behalf)
            if behalf == bad.secret.bearer():
                await go.wait()
                return PlatformResponse(status, {}, b'{"message": "no"}')
            await asyncio.sleep(0.01)
            return PlatformResponse(200, {}, b'{"access_token": "t"}')

        async def aclose(self) -> None:
            """Nothing is held."""

    async def main() -> None:
        engine = Engine(changed(cached, max_retries=0, connection_ttl=ttl), Platform())  # type: ignore[arg-type]

        def get(token: Token) -> Any:
            caller = replace(caller_of(emulator, cached, None), token=token)
            client = AsyncBase44._for(Context(engine, caller))
            return asyncio.create_task(client.as_service_role.connectors.get_connection("slack"))

        leader = get(bad)
        while not asked:
            await asyncio.sleep(0)
        followers, twin = [get(token) for token in good], get(bad)
        await asyncio.sleep(0)
        go.set()
        found = await asyncio.gather(*followers)
        assert [each.access_token for each in found] == ["t"] * 50
        for task in (leader, twin):
            with pytest.raises(Base44Error):
                await task
        assert len(asked) == 2

    asyncio.run(main())


def test_a_leader_who_goes_away(cached: Settings, emulator: Emulator) -> None:
    emulator.share("slack")

    async def main() -> None:
        held = Held(emulator, lambda request: True)
        client = client_of(Engine(cached, held), emulator, None).aio
        tasks = [asyncio.create_task(client.as_service_role.connectors.get_connection("slack")) for _ in range(20)]
        await held.arrived(1)
        tasks[0].cancel()
        await held.arrived(2)
        held.let_go()
        assert len({each.access_token for each in await asyncio.gather(*tasks[1:])}) == 1

    asyncio.run(main())


def test_an_error_that_is_the_connectors_is_shared_by_all(
    engine: Engine, emulator: Emulator, connected: AppUser
) -> None:
    """200 callers for what is not connected: one call, and no queue of those who lead anew."""

    async def main() -> None:
        tokens = [Token(Secret(emulator.sign_in(connected, lifetime=1000 + n))) for n in range(200)]
        callers = [replace(caller_of(emulator, engine.settings, None), token=token) for token in tokens]
        clients = [AsyncBase44._for(Context(engine, caller)) for caller in callers]
        for client in clients:
            await client.user()
        emulator.requests.clear()
        gets = [client.as_service_role.connectors.get_current_app_user_connection for client in clients]
        get = gets[0]
        outcomes = await asyncio.gather(*(get(ConnectorID("other")) for get in gets), return_exceptions=True)
        assert {type(each) for each in outcomes} == {NotConnectedError}
        assert len({id(each) for each in outcomes}) == 200  # each is raised where somebody waits
        assert len(emulator.requests) == 1
        with pytest.raises(NotConnectedError):  # and a 404 is never kept
            await get(ConnectorID("other"))
        assert len(emulator.requests) == 2

    asyncio.run(main())


# --- what ends it


def test_disconnecting_ends_it(engine: Engine, emulator: Emulator, connected: AppUser, asking: Asking) -> None:
    client = client_of(engine, emulator, connected)
    assert client.user() is not None
    asking.get(client, "get_current_app_user_connection")
    client.connectors.disconnect_app_user("calendar")
    with pytest.raises(NotConnectedError):
        asking.get(client, "get_current_app_user_connection")


def test_disconnecting_by_who_is_not_known_ends_it(
    engine: Engine, emulator: Emulator, connected: AppUser, asking: Asking
) -> None:
    client = client_of(engine, emulator, connected)
    assert client.user() is not None
    asking.get(client, "get_current_app_user_connection")
    other = client_of(engine, emulator, connected)  # another token of hers, which nobody has verified
    other.connectors.disconnect_app_user("calendar")
    with pytest.raises(NotConnectedError):
        asking.get(client, "get_current_app_user_connection")


def test_who_is_nobody_ends_nothing(engine: Engine, emulator: Emulator, connected: AppUser, asking: Asking) -> None:
    """Else anybody could have the platform asked about everybody."""
    client = client_of(engine, emulator, connected)
    assert client.user() is not None
    asking.get(client, "get_current_app_user_connection")
    forged = replace(caller_of(emulator, engine.settings, None), token=Token(Secret(jwt.encode({"sub": "x"}, SECRET))))
    with pytest.raises(AuthenticationError):
        Base44._for(Context(engine, forged)).connectors.disconnect_app_user("calendar")
    asking.calls()
    asking.get(client, "get_current_app_user_connection")
    assert asking.calls() == 0


def test_connecting_another_account(
    engine: Engine, emulator: Emulator, connected: AppUser, clock: Clock, asking: Asking
) -> None:
    """Between the page and the provider's answer the old account is still there: it must not be kept meanwhile."""
    client = client_of(engine, emulator, connected)
    assert client.user() is not None
    old = asking.get(client, "get_current_app_user_connection")
    emulator.disconnect(connected, CALENDAR_ID)
    client.connectors.connect_app_user("calendar")
    emulator.connect(connected, CALENDAR_ID)
    first = asking.get(client, "get_current_app_user_connection")
    assert first != old
    emulator.connect(connected, CALENDAR_ID)  # the provider's pages are done
    assert asking.get(client, "get_current_app_user_connection") != first
    clock.forward(CONNECTING + 1)
    assert client.user() is not None
    asking.calls()
    asking.get(client, "get_current_app_user_connection")
    asking.get(client, "get_current_app_user_connection")
    assert asking.calls() == 1


class Turns:
    """A platform with one connection, whose answers come after a random number of turns of the loop."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.generation: int | None = 0
        self.count = 0

    def open_async(self) -> Any:
        return self

    def open(self) -> Any:
        raise AssertionError

    async def turns(self) -> None:
        for _ in range(self.random.randrange(6)):
            await asyncio.sleep(0)

    async def send(self, request: PlatformRequest, *, timeout: float, connect_timeout: float) -> PlatformResponse:
        await self.turns()
        if request.method == "DELETE":
            self.generation, answer = None, PlatformResponse(200, {}, b"{}")
        elif request.method == "POST":
            self.count += 1
            self.generation = self.count
            answer = PlatformResponse(200, {}, b'{"redirect_url": "https://provider.example/"}')
        elif "User/me" in request.url:
            answer = PlatformResponse(200, {}, b'{"id": "u1", "app_id": "demo-app"}')
        elif self.generation is None:
            answer = PlatformResponse(404, {}, b"{}")
        else:
            answer = PlatformResponse(200, {}, b'{"access_token": "t%d"}' % self.generation)
        await self.turns()
        return answer

    async def aclose(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize("verified", [True, False])
def test_a_dead_token_is_never_served(cached: Settings, emulator: Emulator, ada: AppUser, verified: bool) -> None:
    """1,000 interleavings of who disconnects, who connects again, and who asks."""
    cached = changed(cached, app_id="demo-app")

    async def once(seed: int) -> None:
        platform = Turns(seed)
        engine = Engine(cached, platform)  # type: ignore[arg-type]
        client = client_of(engine, emulator, ada).aio
        if verified:
            await client.user()

        async def asks() -> None:
            for _ in range(4):
                await platform.turns()
                least = over[0]
                try:
                    found = await client.as_service_role.connectors.get_current_app_user_connection("calendar")
                except NotConnectedError:
                    continue
                assert int(found.access_token[1:]) >= least, (seed, found.access_token, least)

        over = [0]  # tokens below are dead, and whoever killed them knows

        async def ends() -> None:
            for _ in range(2):
                await platform.turns()
                await client.connectors.disconnect_app_user("calendar")
                over[0] = platform.count + 1
                await platform.turns()
                if seed % 2:
                    await client.connectors.connect_app_user("calendar")
                else:  # by another server
                    platform.count += 1
                    platform.generation = platform.count

        await asyncio.gather(*(asks() for _ in range(3)), ends())

    async def main() -> None:
        for seed in range(500):
            await once(seed)

    asyncio.run(main())


def test_forget_drops_a_user_everywhere(engine: Engine, emulator: Emulator, connected: AppUser, asking: Asking) -> None:
    grace = emulator.add_user("grace@test.example")
    emulator.connect(grace, CALENDAR_ID)
    clients = {user.id: client_of(engine, emulator, user) for user in (connected, grace)}

    def calls() -> int:
        emulator.requests.clear()
        for client in clients.values():
            assert client.user() is not None
            asking.get(client, "get_current_app_user_connection")
        asking.get(client)
        return len(emulator.requests)

    assert calls() == 5
    assert calls() == 0
    clients[connected.id].forget()
    assert calls() == 2  # hers: who she is, and her calendar
    asyncio.run(clients[grace.id].aio.forget(connected))
    assert calls() == 2
    clients[grace.id].forget(connected.id)
    assert calls() == 2
    client_of(engine, emulator, None).forget()
    assert calls() == 0


def test_forgetting_who_is_refused_by_now(engine: Engine, emulator: Emulator, connected: AppUser, clock: Clock) -> None:
    client = client_of(engine, emulator, connected)
    assert client.user() is not None
    clock.forward(61)
    emulator.fault(Fault(status=401), path="*/User/me", times=None)
    client.forget()
    emulator.clear_faults()
    emulator.fault(Fault(status=500), path="*/User/me", times=None)
    with pytest.raises(Base44Error):
        client.forget()


# --- fresh


@pytest.mark.parametrize("method", ROUTES)
def test_fresh_asks_the_platform(
    engine: Engine, emulator: Emulator, connected: AppUser, asking: Asking, method: str
) -> None:
    client = client_of(engine, emulator, connected)
    assert client.user() is not None
    asking.get(client, method)
    asking.get(client, method, fresh=True)
    assert asking.calls() == 2
    emulator.connect(connected, CALENDAR_ID)
    new = asking.get(client, method, fresh=True)
    assert asking.get(client, method) == new  # and what it found is there for the others
    assert asking.calls() == 1


def test_fresh_goes_past_what_an_outer_guard_has_at_hand(
    engine: Engine, emulator: Emulator, connected: AppUser
) -> None:
    context = Context(engine, caller_of(emulator, engine.settings, connected))
    run(admit(BLOCKING, context, ("calendar",)))
    emulator.connect(connected, CALENDAR_ID)
    old = context.at_hand(CALENDAR_ID)
    run(admit(BLOCKING, context, ("calendar",)))
    again = context.at_hand(CALENDAR_ID)
    run(admit(BLOCKING, context, ("calendar",), fresh=True))
    new = context.at_hand(CALENDAR_ID)
    assert old is not None
    assert again is not None
    assert new is not None
    assert again.access_token == old.access_token != new.access_token


def test_fresh_joins_nobody_who_asked_before(cached: Settings, emulator: Emulator) -> None:
    emulator.share("slack")

    async def main() -> None:
        held = Held(emulator, lambda request: True)
        connectors = client_of(Engine(cached, held), emulator, None).aio.as_service_role.connectors
        first = asyncio.create_task(connectors.get_connection("slack"))
        await held.arrived(1)
        second = asyncio.create_task(connectors.get_connection("slack", fresh=True))
        await held.arrived(2)
        held.let_go()
        await asyncio.gather(first, second)

    asyncio.run(main())


# --- bounds, and counts


def entry_of(n: int) -> Entry:
    return Entry("app_user", "c", "https://base44.app", "app", None, f"user{n}", None)


def record_of(config: dict[str, str] | None = None) -> ConnectionRecord:
    record = ConnectionRecord(Secret("t" * 100), config, "googlecalendar")
    record.asked = 1.0
    return record


def test_it_is_bounded_in_entries_and_bytes(clock: Clock) -> None:
    clock.stop()
    memory = ConnectionMemory(300, clock)  # type: ignore[arg-type]

    def fill(count: int, config: dict[str, str] | None) -> int:
        for n in range(count):
            record = record_of(config)
            record.asked = clock.monotonic()
            memory.put(entry_of(n), record)
        return len(memory._kept)

    assert fill(20_000, None) <= 10_000
    assert fill(1_000, {"k": "x" * 100_000}) < 100
    memory.after_fork()
    assert fill(1, {"k": "x" * 10_000_000}) == 0  # one alone would push out all others


def test_what_became_of_who_asked(engine: Engine, emulator: Emulator, clock: Clock) -> None:
    clock.stop()
    before = connection_counts()
    client = client_of(engine, emulator, None)
    get = client.as_service_role.connectors.get_connection
    connection = get("slack")
    clock.forward(7)
    get("slack")
    clock.forward(3)
    get("slack")
    get("slack", fresh=True)
    client.renew(connection)
    after = connection_counts()
    assert [now - then for now, then in zip(after, before, strict=True)][:6] == [2, 1, 0, 1, 1, pytest.approx(17)]
    assert after.oldest >= 9.999  # sums of floats


def test_counts_stay_as_an_engine_goes(settings: Settings, emulator: Emulator) -> None:
    """For metrics: a counter that goes down looks like a restart."""
    before = connection_counts().bypasses
    client = client_of(Engine(settings, emulator.transport), emulator, None)
    client.as_service_role.connectors.get_connection("slack")
    assert connection_counts().bypasses == before + 1
    gone = weakref.ref(client._context.engine)
    del client
    gc.collect()
    assert gone() is None
    assert connection_counts().bypasses == before + 1


def test_a_forked_child_begins_without(engine: Engine, emulator: Emulator) -> None:
    client = client_of(engine, emulator, None)
    client.as_service_role.connectors.get_connection("slack")
    with engine.connections.memory._lock:  # as another thread may have had it
        engine._after_fork()
        client.as_service_role.connectors.get_connection("slack")
    assert len(emulator.requests) == 2
