"""Keys that are fetched: once for all, again when one is unknown, and never none in place of some."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import httpx2
import pytest

from base44_web import (
    AsyncBase44,
    AuthenticationError,
    Base44,
    ConfigurationError,
    RequestTimeoutError,
    Secret,
    ServerError,
    Settings,
)
from base44_web._core.claims import Token
from base44_web._core.engine.context import Context
from base44_web._core.engine.engine import Engine
from base44_web._core.identity import keys as _keys
from base44_web._core.incoming.caller import Caller
from base44_web.testing import Emulator, Fault
from tests.checks import (
    Headers,
    bearer,
    calls,
)
from tests.conftest import Clock
from tests.drivers import changed, make_app
from tests.tokens import EC, OTHER_RSA, RSA, WEAK_RSA, claims, encoded, forged, jwk, signed
from tests.transports import Held


@pytest.fixture
def jwks(settings: Settings, emulator: Emulator, platform: str) -> Settings:
    serve_keys(emulator, jwk(RSA, "one"))
    url = f"{platform}/jwks"
    return changed(settings, verification="keys", verification_key=url, algorithms=["RS256"], audience="demo-app")


def serve_keys(emulator: Emulator, *keys: dict[str, Any], **fault: Any) -> None:
    emulator.clear_faults()
    body = json.dumps({"keys": list(keys)}).encode()
    emulator.fault(Fault(**{"status": 200, "body": body, **fault}), path="/jwks", times=None)


def test_unknown_kids_fetch_once(jwks: Settings, emulator: Emulator) -> None:
    """1,000 requests with random key IDs: one fetch in 30 s, and valid users unaffected."""
    good = bearer(signed(claims(), RSA, "RS256", kid="one"))
    bad = [bearer(forged({"alg": "RS256", "kid": f"k{n}"}, claims(), b"x")) for n in range(1000)]

    async def main() -> None:
        app = make_app("core-awaiting", jwks)

        async def me(headers: Headers) -> int:
            answer = await app(httpx2.Request("GET", "http://testserver/me", headers=headers))
            return int(answer.status_code)

        assert await me(good) == 200
        (key,) = [request for request in emulator.requests if request.target == "/jwks"]
        assert key.header("authorization") is None
        statuses = await asyncio.gather(*(me(headers) for headers in [*bad, *[good] * 50]))
        assert statuses == [401] * 1000 + [200] * 50

    asyncio.run(main())
    assert calls(emulator, "/jwks") == 1


def test_rotation_and_failed_refreshes(jwks: Settings, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(changed(jwks, max_retries=0))

    def user(kid: str, key: Any) -> bool:
        token = signed(claims(jti=str(time.monotonic())), key, "RS256", kid=kid)
        origin = jwks.server_url
        caller = Caller(emulator.app_id, origin, origin, token=Token(Secret(token)))
        try:
            return Base44._for(Context(engine, caller)).user() is not None
        except (AuthenticationError, ServerError):
            return False

    assert user("one", RSA)
    monkeypatch.setattr(_keys, "_COOLDOWN", 0.0)
    weak = jwk(WEAK_RSA, "two")
    symmetric = {"kty": "oct", "k": encoded("x" * 40), "kid": "two", "alg": "HS256"}
    for fault in (
        {"status": 500}, {"status": 302, "headers": {"Location": "/elsewhere"}}, {"body": b"<html>"}, {"body": b"[]"},
        {"body": b'{"keys": 7}'}, {"body": b'{"keys": []}'}, {"drop": "before"}, {"body": b"x" * 2_000_000},
        {"body": json.dumps({"keys": [weak, symmetric, 7, {"kty": "RSA"}]}).encode()},
    ):  # fmt: skip
        serve_keys(emulator, jwk(OTHER_RSA, "two"), **fault)
        assert not user("two", OTHER_RSA), fault
        assert user("one", RSA), fault
    serve_keys(emulator, jwk(OTHER_RSA, "two"))
    assert user("two", OTHER_RSA)
    assert not user("one", RSA)
    engine.close()


def test_a_fetch_of_keys_that_hangs(jwks: Settings, emulator: Emulator, clock: Clock) -> None:
    """Whose key is there waits for nobody's fetch; whose key is not is told that the platform fails."""

    async def main() -> None:
        held = Held(emulator, lambda request: False)
        engine = Engine(changed(jwks, identity_ttl=0), held)

        async def user(kid: str) -> Any:
            token = signed(claims(jti=str(time.monotonic()), exp=int(time.time()) + 3000), RSA, "RS256", kid=kid)
            caller = Caller(emulator.app_id, "", "", token=Token(Secret(token)))
            return await AsyncBase44._for(Context(engine, caller)).user()

        assert await user("one")
        clock.forward(601)  # what is there is too old
        held.holds = lambda request: True
        leader = asyncio.create_task(user("one"))
        await held.arrived(1)
        for _ in range(5):
            assert await user("one")
        assert not leader.done()
        held.let_go(RequestTimeoutError("", code="timeout"))
        assert await leader
        clock.forward(31)
        held.holds = lambda request: False
        serve_keys(emulator, status=500)
        with pytest.raises(ServerError):
            await user("two")
        await engine.aclose()

    asyncio.run(main())


def test_a_key_that_has_gone_is_forgotten(jwks: Settings, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_keys, "_COOLDOWN", 0.0)
    old = signed(claims(), RSA, "RS256", kid="one")
    engine = Engine(jwks)

    def user(token: str) -> Any:
        return Base44._for(Context(engine, Caller(emulator.app_id, "", "", token=Token(Secret(token))))).user()

    assert user(old)
    serve_keys(emulator, jwk(RSA, "one"), jwk(OTHER_RSA, "two"))
    assert user(signed(claims(), OTHER_RSA, "RS256", kid="two"))
    assert user(old)
    serve_keys(emulator, jwk(OTHER_RSA, "three"))
    assert user(signed(claims(), OTHER_RSA, "RS256", kid="three"))
    with pytest.raises(AuthenticationError):
        user(old)
    engine.close()


def test_a_cancelled_fetch_of_keys_blocks_nobody(jwks: Settings, emulator: Emulator) -> None:
    token = signed(claims(), RSA, "RS256", kid="one")
    serve_keys(emulator, jwk(RSA, "one"), delay=0.5)

    async def main() -> None:
        async with AsyncBase44(settings=jwks, token=token) as base44:
            leader = asyncio.create_task(base44.user())
            while not calls(emulator, "/jwks"):
                await asyncio.sleep(0.01)
            leader.cancel()
            await asyncio.gather(leader, return_exceptions=True)
            assert await base44.user() is not None

    asyncio.run(main())


def test_a_failed_first_fetch_is_tried_again_soon(jwks: Settings, emulator: Emulator, clock: Clock) -> None:
    serve_keys(emulator, status=500)
    clock.stop()
    with Base44(settings=jwks, token=signed(claims(), RSA, "RS256", kid="one")) as base44:
        with pytest.raises(ServerError):
            base44.user()
        serve_keys(emulator, jwk(RSA, "one"))
        with pytest.raises(ServerError):
            base44.user()
        clock.forward(2.1)
        assert base44.user() is not None


def test_keys_of_several_kinds(jwks: Settings, emulator: Emulator) -> None:
    """Keys without `alg`, of a family that is not the first one set; and entries that are nonsense."""
    bare = {name: value for name, value in jwk(EC, "ec").items() if name != "alg"}
    serve_keys(emulator, {**jwk(RSA), "kid": ["a"]}, bare, jwk(RSA, "rsa"))
    both = changed(jwks, algorithms=["RS256", "ES256"])
    for key, algorithm, kid in ((EC, "ES256", "ec"), (RSA, "RS256", "rsa")):
        with Base44(settings=both, token=signed(claims(), key, algorithm, kid=kid)) as base44:
            assert base44.user() is not None


@pytest.mark.parametrize("hang_up", [1, 5])
def test_who_hangs_up_takes_the_keys_from_nobody(jwks: Settings, emulator: Emulator, hang_up: int) -> None:
    """Their fetch goes on: there is one, whoever began it, and who waits for it has its keys."""
    good = signed(claims(), RSA, "RS256", kid="one")

    async def main() -> None:
        held = Held(emulator, lambda request: request.url.endswith("/jwks"))
        engine = Engine(changed(jwks, timeout=600), held)

        def user(token: str) -> Any:
            caller = Caller(emulator.app_id, "", "", token=Token(Secret(token)))
            return asyncio.create_task(AsyncBase44._for(Context(engine, caller)).user())

        gone = [user(forged({"alg": "RS256", "kid": f"x{n}"}, claims(), b"x")) for n in range(hang_up)]
        await held.arrived(1)
        waits = user(good)
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        again = user(forged({"alg": "RS256", "kid": "y"}, claims(), b"x"))
        await asyncio.sleep(0)
        assert held.waiting == 1
        assert not waits.done()
        held.let_go()
        assert await waits
        with pytest.raises(AuthenticationError) as caught:
            await again
        assert caught.value.code == "unknown_key"
        assert await user(good)
        assert calls(emulator, "/jwks") == 1
        await engine.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("how", ["cancelled before it began", "on trio"])
def test_a_fetch_of_keys_that_never_began_blocks_nobody(jwks: Settings, emulator: Emulator, how: str) -> None:
    engine = Engine(jwks.complete())
    who = Caller(emulator.app_id, "", "", token=Token(Secret(signed(claims(), RSA, "RS256", kid="one"))))

    async def user() -> object:
        return await AsyncBase44._for(Context(engine, who)).user()

    if how == "on trio":
        trio = pytest.importorskip("trio")
        with pytest.raises(ConfigurationError):
            trio.run(user)
    else:
        begun = []

        async def ends_at_once() -> None:  # so the task of the fetch is made, and cancelled before its first step
            begun.append(asyncio.create_task(user()))

        asyncio.run(ends_at_once())
    assert asyncio.run(user()) is not None
    engine.close()


def test_an_unknown_key_is_not_remembered(jwks: Settings, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be fetched by the next time: of a token that was refused for it, nothing is known."""
    monkeypatch.setattr(_keys, "_COOLDOWN", 0.0)
    new = signed(claims(), OTHER_RSA, "RS256", kid="two")
    with Base44(settings=jwks, token=new) as base44:
        for _ in range(2):
            with pytest.raises(AuthenticationError) as caught:
                base44.user()
            assert caught.value.code == "unknown_key"
        serve_keys(emulator, jwk(RSA, "one"), jwk(OTHER_RSA, "two"))
        assert base44.user() is not None


@pytest.mark.parametrize("given", ["a JWKS", "its URL"])
def test_a_token_without_a_key_id(jwks: Settings, emulator: Emulator, given: str) -> None:
    """It is optional (RFC 7517 section 4.5), where there is one key that it can be of."""
    for kids, kid, fits in (
        (("one",), None, True), ((None,), None, True), ((None,), "one", True), (("one",), "other", False),
        (("one", "two"), None, False), (("one", None), None, True), (("one", None), "other", False),
    ):  # fmt: skip
        keys = {None: RSA, "one": OTHER_RSA if None in kids else RSA, "two": OTHER_RSA}
        served = [jwk(keys[each], each) for each in kids]
        serve_keys(emulator, *served)
        settings = jwks if given == "its URL" else changed(jwks, verification_key=json.dumps({"keys": served}))
        token = signed(claims(), RSA, "RS256", **({} if kid is None else {"kid": kid}))
        with Base44(settings=settings, token=token) as base44:
            try:
                assert (base44.user() is not None) is fits, (kids, kid)
            except AuthenticationError:
                assert not fits, (kids, kid)
