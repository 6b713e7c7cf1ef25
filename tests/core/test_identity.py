"""Who is asking: verified by the platform, remembered, and never twice at the same time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import httpx2
import jwt
import pytest

from base44_web import (
    AppUser,
    AsyncBase44,
    AuthenticationError,
    Base44,
    Base44Error,
    NotFoundError,
    Secret,
    Settings,
    UnverifiedClaims,
)
from base44_web._core import clock as _clock
from base44_web._core.claims import Token
from base44_web._core.clock import Clock as RealClock
from base44_web._core.connections import statuses as _statuses
from base44_web._core.engine.context import Context
from base44_web._core.engine.engine import Engine
from base44_web._core.guards.admit import admit
from base44_web._core.identity import memory as _memory
from base44_web._core.incoming.caller import Caller
from base44_web._core.incoming.request import Incoming
from base44_web._core.platform import perform
from base44_web._core.platform.io import AWAITING
from base44_web.testing import CALENDAR_ID, Emulator, Fault
from tests.apps.calls import encode_call
from tests.checks import (
    Headers,
    bearer,
    calls,
)
from tests.conftest import Clock
from tests.drivers import changed, make_app
from tests.serving import PATIENCE
from tests.tokens import SECRET
from tests.transports import Held


@pytest.mark.parametrize("count", [60])
def test_one_call_for_all_who_ask_at_the_same_time(settings: Settings, emulator: Emulator, count: int) -> None:
    """Threads and several event loops, on one engine."""
    token = emulator.sign_in(emulator.add_user("ada@test.example"))
    emulator.fault(Fault(delay=0.5), path="*/User/me", times=None)
    engine = Engine(settings)
    caller = Caller(emulator.app_id, settings.server_url, settings.server_url, token=Token(Secret(token)))
    users: list[AppUser | None] = []

    def thread() -> None:
        users.append(Base44._for(Context(engine, caller)).user())

    def loop() -> None:
        async def main() -> None:
            clients = [AsyncBase44._for(Context(engine, caller)) for _ in range(count)]
            users.extend(await asyncio.gather(*(client.user() for client in clients)))
            await engine.aclose()

        asyncio.run(main())

    threads = [threading.Thread(target=target) for target in [thread] * 20 + [loop] * 3]
    for each in threads:
        each.start()
    for each in threads:
        each.join(PATIENCE)
    assert {user and user.email for user in users} == {"ada@test.example"}
    assert len(users) == 20 + 3 * count
    assert calls(emulator, "/User/me") == 1


def test_a_leader_who_is_cancelled(settings: Settings, emulator: Emulator) -> None:
    token = emulator.sign_in(emulator.add_user("ada@test.example"))
    emulator.fault(Fault(delay=600), path="*/User/me")

    async def main() -> None:
        async with AsyncBase44(settings=settings, token=token) as base44:
            leader = asyncio.create_task(base44.user())
            while not calls(emulator, "/User/me"):
                await asyncio.sleep(0.01)
            followers = [asyncio.create_task(base44.user()) for _ in range(5)]
            await asyncio.sleep(0)  # they wait now
            followers[0].cancel()
            leader.cancel()
            done = await asyncio.gather(*followers, return_exceptions=True)
            assert isinstance(done[0], asyncio.CancelledError)
            assert [getattr(user, "email", user) for user in done[1:]] == ["ada@test.example"] * 4

    asyncio.run(main())
    assert calls(emulator, "/User/me") == 2


def test_everybody_gets_an_error_of_their_own(settings: Settings, emulator: Emulator) -> None:
    token = emulator.sign_in(emulator.add_user("ada@test.example"))
    emulator.fault(Fault(status=500, delay=0.2), path="*/User/me", times=None)

    async def main() -> None:
        async with AsyncBase44(settings=settings, token=token) as base44:
            errors = await asyncio.gather(*(base44.user() for _ in range(5)), return_exceptions=True)
        assert {type(error).__name__ for error in errors} == {"ServerError"}
        assert len({id(error) for error in errors}) == 5
        assert len({id(error.__traceback__) for error in errors if isinstance(error, Exception)}) == 5

    asyncio.run(main())
    assert calls(emulator, "/User/me") == 1


def test_remembered_and_forgotten(settings: Settings, emulator: Emulator, ada: AppUser, clock: Clock) -> None:
    clock.stop()
    with Base44(settings=changed(settings, identity_ttl=50), token=emulator.sign_in(ada)) as base44:
        for seconds in (0, 25, 24.9):
            clock.forward(seconds)
            assert base44.user() == ada
        assert calls(emulator, "/User/me") == 1
        clock.forward(0.2)
        base44.user()
        assert calls(emulator, "/User/me") == 2
    with Base44(settings=changed(settings, identity_ttl=0), token=emulator.sign_in(ada)) as base44:
        base44.user()
        base44.user()
    assert calls(emulator, "/User/me") == 4


def test_never_past_exp(settings: Settings, emulator: Emulator, ada: AppUser, clock: Clock) -> None:
    with Base44(settings=settings, token=emulator.sign_in(ada, lifetime=30)) as base44:
        assert base44.user() == ada
        clock.forward(31)
        emulator.fault(Fault(status=401))  # as it does when its clock says so
        with pytest.raises(AuthenticationError):
            base44.user()
    assert calls(emulator, "/User/me") == 2


def test_forged_tokens_leave_known_users_alone(emulator: Emulator, adas: Headers) -> None:
    """1,000 of them, about which the platform says nothing: a known user's requests wait for none."""
    forged = [bearer(jwt.encode({"sub": "x", "n": n}, SECRET, algorithm="HS256")) for n in range(1000)]

    async def main() -> None:
        held = Held(emulator, lambda request: False)
        settings = Settings(app_id=emulator.app_id, service_token=emulator.service_token, timeout=600)
        app = make_app("core-awaiting", settings, held)

        async def me(headers: Headers) -> int:
            answer = await app(httpx2.Request("GET", "http://testserver/me", headers=headers))
            return int(answer.status_code)

        assert await me(adas) == 200
        held.holds = lambda request: True
        flood = asyncio.gather(*(me(headers) for headers in forged))
        await held.arrived(perform._UNVERIFIED_CALLS)
        for _ in range(20):
            assert await me(adas) == 200
        assert not flood.done()
        assert held.waiting == perform._UNVERIFIED_CALLS
        held.let_go()
        assert set(await flood) == {401}

    asyncio.run(main())


def test_forged_tokens_at_a_guard_leave_known_users_alone(emulator: Emulator, ada: AppUser) -> None:
    """Each would cost a call with the service token, too: those wait elsewhere than a known user's."""
    emulator.connect(ada, CALENDAR_ID)
    known = emulator.sign_in(ada)
    tokens = [jwt.encode({"sub": "x", "n": n}, SECRET, algorithm="HS256") for n in range(300)]
    origin = "https://base44.app"

    async def main() -> None:
        held = Held(emulator, lambda request: known not in str(request.plain_headers()))
        settings = Settings(app_id=emulator.app_id, app_user_connectors={"calendar": CALENDAR_ID}, timeout=600)
        engine = Engine(settings, held)

        def context(token: str) -> Context:
            service = Secret(emulator.service_token)
            caller = Caller(emulator.app_id, origin, origin, token=Token(Secret(token)), service_token=service)
            return Context(engine, caller)

        await admit(AWAITING, context(known), ("calendar",))
        flood = [asyncio.create_task(admit(AWAITING, context(token), ("calendar",))) for token in tokens]
        await held.arrived(perform._UNVERIFIED_CALLS)
        assert engine.platform.limiter._inside == 0
        assert (await admit(AWAITING, context(known), ("calendar",))).id == ada.id
        assert not any(task.done() for task in flood)
        assert held.waiting == perform._UNVERIFIED_CALLS
        for task in flood:
            task.cancel()
        await asyncio.gather(*flood, return_exceptions=True)
        await engine.aclose()

    asyncio.run(main())


def test_what_is_remembered_is_of_one_app_server_and_environment(
    settings: Settings, emulator: Emulator, ada: AppUser, subtests: pytest.Subtests
) -> None:
    for part in ("app_id", "server_url", "data_env", "token"):
        with subtests.test(part):
            emulator.requests.clear()
            is_remembered_of_one(part, settings, emulator, ada)


def is_remembered_of_one(part: str, settings: Settings, emulator: Emulator, ada: AppUser) -> None:
    engine = Engine(changed(settings, max_retries=0))
    origin = settings.server_url
    caller = Caller(emulator.app_id, origin, origin, token=Token(Secret(emulator.sign_in(ada))))
    assert Base44._for(Context(engine, caller)).user() == ada
    assert Base44._for(Context(engine, caller)).user() == ada
    assert calls(emulator, "/User/me") == 1
    elsewhere = origin.replace("127.0.0.1", "localhost")
    different = {
        "app_id": "another",
        "server_url": elsewhere,
        "data_env": "dev",
        "token": Token(Secret(emulator.sign_in(ada) + "x")),
    }
    other = Base44._for(Context(engine, replace(caller, **{part: different[part]})))  # type: ignore[arg-type]
    before = len(emulator.requests)
    with contextlib.suppress(Base44Error):
        assert other.user() == ada
        assert part in ("server_url", "data_env")
    assert len(emulator.requests) == before + 1
    engine.close()


def test_memories_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_memory, "_MOST", 10)
    monkeypatch.setattr(_statuses, "_MOST", 10)
    users, statuses = _memory.KnownTokens(60, RealClock()), _statuses.Statuses(RealClock())
    user = AppUser.from_record({"id": "u", "app_id": "a"})
    known = Caller("a", "https://a", "https://a", token=Token(Secret("known")))
    users.put(known, user)
    for n in range(100):
        forged = Caller("a", "https://a", "https://a", token=Token(Secret(str(n))))
        users.put(forged, AuthenticationError("no"))
        statuses.put((str(n),), True, asked=time.monotonic())
        statuses.end((str(n), "x"))
    assert users.get(known) == user  # refused tokens take no user's place
    assert (len(users._refused), len(statuses._known), len(statuses._ended)) == (10, 10, 10)


def test_who_comes_when_too_many_wait_is_told_at_once(emulator: Emulator) -> None:
    most = perform._UNVERIFIED_CALLS + perform._WAITING
    tokens = [jwt.encode({"sub": "x", "n": n}, SECRET, algorithm="HS256") for n in range(most + 10)]
    origin = "https://base44.app"

    async def main() -> None:
        held = Held(emulator, lambda request: True)
        engine = Engine(Settings(app_id=emulator.app_id, timeout=600), held)
        clients = [
            AsyncBase44._for(Context(engine, Caller(emulator.app_id, origin, origin, token=Token(Secret(token)))))
            for token in tokens
        ]
        tasks = [asyncio.create_task(client.user()) for client in clients]
        while sum(task.done() for task in tasks) < 10:
            await asyncio.sleep(0)
        errors = [task.exception() for task in tasks if task.done()]
        assert [getattr(error, "code", None) for error in errors] == ["overloaded"] * 10
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert engine.platform.unverified._inside == 0
        assert not engine.platform.unverified._queue
        await engine.aclose()

    asyncio.run(main())


def test_unverified_claims(settings: Settings, emulator: Emulator) -> None:
    token = emulator.sign_in(emulator.add_user("ada@test.example"), language="en")
    with Base44(settings=settings, token=token) as base44:
        claims = base44.unverified_claims
        assert isinstance(claims, UnverifiedClaims)
        assert not isinstance(claims, AppUser)
        assert claims["language"] == "en"
        assert base44.aio.unverified_claims is not None
        assert "en" not in repr(claims).replace("language", "")
    with Base44(settings=settings) as base44:
        assert base44.unverified_claims is None
    with Base44(settings=settings, token="opaque") as base44:
        assert base44.unverified_claims is None
    assert emulator.requests == []


def test_custom_fields_never_override(settings: Settings, emulator: Emulator) -> None:
    ada = emulator.add_user("ada@test.example", role="user", raw="x", is_admin=True)
    with Base44(settings=settings, token=emulator.sign_in(ada)) as base44:
        user = base44.user()
    assert user is not None
    assert (user.role, user.raw["is_admin"], user.raw["raw"]) == ("user", True, "x")


def test_a_user_who_is_refused_by_now_is_asked_about_once(
    settings: Settings, emulator: Emulator, ada: AppUser, clock: Clock
) -> None:
    with Base44(settings=changed(settings, identity_ttl=50), token=emulator.sign_in(ada)) as base44:
        base44.user()
        clock.forward(51)
        clock.stop()  # a refusal is remembered for ten seconds
        emulator.fault(Fault(status=401), path="*/User/me", times=None)
        for _ in range(3):
            with pytest.raises(AuthenticationError):
                base44.user()
        assert calls(emulator, "/User/me") == 2
        clock.forward(11)
        with pytest.raises(AuthenticationError):
            base44.user()
    assert calls(emulator, "/User/me") == 3


def test_one_deadline_for_who_waited_and_then_leads(emulator: Emulator, ada: AppUser, clock: Clock) -> None:
    async def main() -> None:
        held = Held(emulator, lambda request: True)
        settings, token = Settings(app_id=emulator.app_id, timeout=60), emulator.sign_in(ada)
        async with AsyncBase44(settings=settings, token=token, transport=held) as base44:
            leader = asyncio.create_task(base44.user())
            await held.arrived(1)
            follower = asyncio.create_task(base44.user())
            await asyncio.sleep(0)  # it waits now
            clock.forward(40)
            leader.cancel()
            await held.arrived(2)
            assert held.timeouts[1] <= 20
            held.let_go()
            assert await follower == ada
            await asyncio.gather(leader, return_exceptions=True)

    asyncio.run(main())


# --- nobody's flood or memory is another's trouble


UNGUARDED = [
    ("client", "user", (), {}),
    ("user", "connect_app_user", ("calendar",), {}),
    ("user", "disconnect_app_user", ("calendar",), {}),
    ("service", "call_api", ("slack",), {"path": "/"}),
    ("service", "get_current_app_user_connection", ("calendar",), {}),
]


@pytest.mark.parametrize("known_for", [0, 61])
def test_forged_tokens_at_unguarded_views_take_no_known_users_place(
    emulator: Emulator, ada: AppUser, clock: Clock, known_for: int
) -> None:
    """Nor that of a user who was verified a minute ago, about whom the platform is asked again."""
    emulator.connect(ada, CALENDAR_ID)
    token = emulator.sign_in(ada)
    known = bearer(token)
    tokens = [jwt.encode({"sub": "x", "n": n}, SECRET, algorithm="HS256") for n in range(perform._CALLS + 50)]

    async def flooded(module: str, method: str, args: tuple[str, ...], options: dict[str, str]) -> None:
        held = Held(emulator, lambda request: token not in str(request.plain_headers()))
        settings = Settings(
            app_id=emulator.app_id, service_token=emulator.service_token, app_user_connectors={"calendar": CALENDAR_ID},
            timeout=600,
        )  # fmt: skip
        app = make_app("core-awaiting", settings, held)

        async def get(path: str, headers: Headers) -> int:
            url = f"http://testserver{path}"
            answer = await app(
                httpx2.Request("GET", url, headers=[*headers, *encode_call(module, method, args, options)])
            )
            return int(answer.status_code)

        assert await get("/me", known) == 200
        clock.forward(known_for)
        flood = [asyncio.create_task(get("/run", bearer(each))) for each in tokens]
        await held.arrived(perform._UNVERIFIED_CALLS)
        for path in ("/me", "/run", "/me", "/run"):
            assert await asyncio.wait_for(get(path, known), PATIENCE) == 200, (method, path)
        assert held.waiting == perform._UNVERIFIED_CALLS
        assert not any(task.done() for task in flood)
        for task in flood:
            task.cancel()
        await asyncio.gather(*flood, return_exceptions=True)

    for call in UNGUARDED:
        asyncio.run(flooded(*call))


def test_what_is_remembered_is_bounded_in_bytes(settings: Settings, emulator: Emulator) -> None:
    """100 users with records of 1 MB, and as many refusals with as much to say."""
    engine = Engine(settings, emulator.transport)
    users = engine.identity.known._users
    for n in range(100):
        token = emulator.sign_in(emulator.add_user(f"u{n}@test.example", more="x" * 900_000))
        caller = Caller(emulator.app_id, settings.server_url, settings.server_url, token=Token(Secret(token)))
        user = Base44._for(Context(engine, caller)).user()
        assert user is not None
        assert len(user.raw["more"]) == 900_000
    assert 0 < sum(len(str(user.raw)) for user, _ in users.values()) < 64 * 1024 * 1024 / 2
    assert engine.identity.known.get(caller) == user  # the last is known
    body = json.dumps({"message": "m" * 400_000, "more": ["x" * 400_000]}).encode()
    emulator.fault(Fault(status=401, body=body), times=None)
    refused = [jwt.encode({"sub": "x", "n": n}, SECRET, algorithm="HS256") for n in range(20)]
    for each in refused:
        caller = Caller(emulator.app_id, settings.server_url, settings.server_url, token=Token(Secret(each)))
        for _ in range(2):
            with pytest.raises(AuthenticationError):
                Base44._for(Context(engine, caller)).user()
    kept = engine.identity.known._refused
    assert len(kept) == 20
    assert sum(len(str(vars(error))) + len(str(error.args)) for error, _ in kept.values()) < 20 * 5000


@pytest.mark.parametrize("verification", ["platform", "keys"])
def test_a_wall_clock_that_is_put_back_lets_no_token_past_its_end(
    settings: Settings, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, verification: str
) -> None:
    real, passed = time.time(), [0.0]
    fake = SimpleNamespace(
        monotonic=lambda: 1000.0 + passed[0], time=lambda: real + passed[0] - (3600.0 if passed[0] else 0.0)
    )
    monkeypatch.setattr(_clock, "time", fake)
    emulator.add_user("ada@test.example")
    token = jwt.encode({"sub": "ada@test.example", "exp": int(real) + 300}, SECRET, algorithm="HS256")
    if verification == "platform":
        token = emulator.sign_in(emulator.add_user("ada@test.example"), lifetime=300)
    keys = (
        {"verification": "keys", "verification_key": SECRET, "algorithms": ["HS256"]} if verification == "keys" else {}
    )
    with Base44(settings=changed(settings, **keys), token=token, transport=emulator.transport) as base44:
        assert base44.user() is not None
        passed[0] = 400.0  # and an hour back
        with pytest.raises(AuthenticationError):
            base44.user()


# --- what the platform and the local dev server say of a user


def test_no_such_user_is_nobody_and_logged(
    settings: Settings, emulator: Emulator, ada: AppUser, caplog: pytest.LogCaptureFixture
) -> None:
    """A 404 of User/me: of a user who is gone, or of an app that is not there."""
    emulator.fault(Fault(status=404, body=b'{"detail": "User not found"}'), path="*/User/me", times=None)
    with Base44(settings=settings, token=emulator.sign_in(ada)) as base44:
        with pytest.raises(AuthenticationError) as caught:
            base44.user()
        assert base44.token is not None
    assert "BASE44_APP_ID" in caplog.text
    assert base44.token.reveal() not in caplog.text
    assert not isinstance(caught.value, NotFoundError)


def test_a_swapped_app_id_says_so_and_nobody_fills_the_log(
    settings: Settings,
    emulator: Emulator,
    caplog: pytest.LogCaptureFixture,
    clock: Clock,
    subtests: pytest.Subtests,
) -> None:
    """Everybody is of another app, then; one who is has another app's token, and may come again and again."""
    keys = changed(settings, verification="keys", verification_key=SECRET, algorithms=["HS256"], app_claim="app")
    for kind in (settings, keys):
        with subtests.test(kind.verification):
            caplog.clear()
            engine = Engine(kind)
            for number in range(3):
                is_of_another_app(engine, emulator, number)
            clock.forward(61)
            is_of_another_app(engine, emulator, 3)
            assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
            first, later = (record.getMessage() for record in caplog.records)
            assert "than 'demo-app'. If" in first
            assert "BASE44_APP_ID" in first
            assert "(3 times" in later


def is_of_another_app(engine: Engine, emulator: Emulator, number: int) -> None:
    token = emulator.sign_in(emulator.add_user(f"u{number}@test.example", app_id="another"))
    if engine.identity.keys is not None:
        token = jwt.encode({"sub": "u", "app": "another", "exp": int(time.time()) + 900 + number}, SECRET, "HS256")
    base44 = Base44._for(Context(engine, Incoming("GET", bearer(token))))
    with pytest.raises(AuthenticationError) as caught:
        base44.user()
    assert caught.value.code == "other_app"


# Whether development is on, where the server is, what the record says of its app, whether the user is let in.
WHERE_WITHOUT_APP: list[tuple[bool, str | None, dict[str, Any], bool]] = [
    (True, None, {}, True),
    (False, None, {}, False),
    (True, "https://base44.app", {}, False),
    (True, None, {"app_id": "another"}, False),
    (True, None, {"app_id": None}, False),
]


def test_a_record_without_an_app_counts_under_development_on_loopback_alone(
    settings: Settings, subtests: pytest.Subtests
) -> None:
    for development, server_url, said, lets_in in WHERE_WITHOUT_APP:
        with subtests.test(development=development, server_url=server_url, said=said):
            lets_in_without_app(settings, development, server_url, said, lets_in)


def lets_in_without_app(
    settings: Settings, development: bool, server_url: str | None, said: dict[str, Any], lets_in: bool
) -> None:
    with Emulator(mode="dev") as dev:
        token = dev.sign_in(dev.add_user("ada@test.example"))
        if said:  # which the local dev server never does
            record = {"id": "u1", "email": "ada@test.example", "disabled": None, **said}
            dev.fault(Fault(status=200, body=json.dumps(record).encode()), path="*/User/me", times=None)
        fields = {
            "development": development,
            "app_id": dev.app_id,
            **({"server_url": server_url} if server_url else {}),
        }
        with Base44(settings=changed(settings, **fields), token=token, transport=dev.transport) as base44:
            if lets_in:
                user = base44.user()
                assert user is not None
                assert (user.email, user.app_id) == ("ada@test.example", dev.app_id)
            else:
                with pytest.raises(AuthenticationError) as caught:
                    base44.user()
                assert caught.value.code == "other_app"


def test_which_claim_is_the_users_id(settings: Settings) -> None:
    keys = changed(settings, verification="keys", verification_key=SECRET, algorithms=["HS256"], id_claim="uid")
    for payload, found in (
        ({"uid": "u7", "sub": "mail"}, "u7"),
        ({"sub": "mail"}, None),
        ({"uid": 7}, None),
        ({"uid": ""}, None),
    ):
        token = jwt.encode({**payload, "exp": int(time.time()) + 300}, SECRET, algorithm="HS256")
        with Base44(settings=keys, token=token) as base44:
            if found is None:
                with pytest.raises(AuthenticationError):
                    base44.user()
            else:
                user = base44.user()
                assert user is not None
                assert user.id == found
