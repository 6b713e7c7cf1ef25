"""Who is asking: verified by the platform or by keys, remembered, and never twice at the same time."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
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
    ConfigurationError,
    ServerError,
    Settings,
    UnverifiedClaims,
)
from base44_web._core.claims import Token
from base44_web._core.connections import statuses as _statuses
from base44_web._core.engine.context import Context
from base44_web._core.engine.engine import Engine
from base44_web._core.identity import memory as _memory
from base44_web._core.incoming.caller import Caller
from base44_web._core.platform.io import AWAITING
from base44_web._core.secret import Secret
from base44_web.testing import CALENDAR_ID, Emulator, Fault
from tests.drivers import Driver

crypto = pytest.importorskip("cryptography")
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa  # noqa: E402

SECRET = "an hmac secret of more than 32 bytes!"


def me_calls(emulator: Emulator) -> int:
    return sum(request.target.endswith("/User/me") for request in emulator.requests)


def fresh(settings: Settings, **fields: Any) -> Settings:
    return Settings(**{**settings._given, **fields})


# --- the platform says


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
        each.join(20)
    assert {user and user.email for user in users} == {"ada@test.example"}
    assert len(users) == 20 + 3 * count
    assert me_calls(emulator) == 1


def test_a_leader_who_is_cancelled(settings: Settings, emulator: Emulator) -> None:
    token = emulator.sign_in(emulator.add_user("ada@test.example"))
    emulator.fault(Fault(delay=5), path="*/User/me")

    async def main() -> None:
        async with AsyncBase44(settings=settings, token=token) as base44:
            leader = asyncio.create_task(base44.user())
            while not me_calls(emulator):
                await asyncio.sleep(0.01)
            followers = [asyncio.create_task(base44.user()) for _ in range(5)]
            await asyncio.sleep(0.05)
            followers[0].cancel()
            leader.cancel()
            done = await asyncio.gather(*followers, return_exceptions=True)
            assert isinstance(done[0], asyncio.CancelledError)
            assert [getattr(user, "email", user) for user in done[1:]] == ["ada@test.example"] * 4

    asyncio.run(main())
    assert me_calls(emulator) == 2


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
    assert me_calls(emulator) == 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What the memory of identities takes for the monotonic clock; `later` puts it forward."""
    clock = SimpleNamespace(later=0.0, time=time.time)
    clock.monotonic = lambda: time.monotonic() + clock.later
    monkeypatch.setattr(_memory, "time", clock)
    return clock


def test_remembered_and_forgotten(settings: Settings, emulator: Emulator, clock: SimpleNamespace) -> None:
    ada = emulator.add_user("ada@test.example")
    with Base44(settings=fresh(settings, identity_ttl=50), token=emulator.sign_in(ada)) as base44:
        for _ in range(3):
            assert base44.user() == ada
        assert me_calls(emulator) == 1
        clock.later = 51
        base44.user()
        assert me_calls(emulator) == 2
    with Base44(settings=fresh(settings, identity_ttl=0), token=emulator.sign_in(ada)) as base44:
        base44.user()
        base44.user()
    assert me_calls(emulator) == 4


def test_never_past_exp(settings: Settings, emulator: Emulator) -> None:
    ada = emulator.add_user("ada@test.example")
    token = emulator.sign_in(ada, lifetime=3)
    with Base44(settings=settings, token=token) as base44:
        assert base44.user() == ada
        time.sleep(3.2)
        with pytest.raises(Base44Error):
            base44.user()
    assert me_calls(emulator) == 2


def test_refused_tokens_are_remembered_for_a_while(driver: Driver, emulator: Emulator) -> None:
    forged = [("authorization", f"Bearer {jwt.encode({'sub': 'x'}, SECRET, algorithm='HS256')}")]
    for _ in range(5):
        assert driver.request("GET", "/me", forged).status_code == 401
        assert driver.request("GET", "/guarded", forged).status_code == 401
    assert me_calls(emulator) == 1


def encoded(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.urlsafe_b64encode(text.encode("utf-8", "surrogateescape")).rstrip(b"=").decode()


TWICE = '{"sub": "a", "sub": "b"}'
DEAD = {
    "no JWT": "opaque",
    "two parts": "a.b",
    "four parts": "e30.e30.e30.e30",
    "no base64": "e30.!.x".replace("!", "*"),
    "a header that is no object": f"{encoded([])}.{encoded({})}.x",
    "a payload that is no object": f"{encoded({})}.{encoded('1')}.x",
    "deeply nested": f"{encoded({})}.{encoded('[' * 3000)}.x",
    "a name twice": f"{encoded({})}.{encoded(TWICE)}.x",
    "not UTF-8": f"{encoded({})}.gICA.x",
    "expired": f"{encoded({})}.{encoded({'exp': 1})}.x",
    "dots": "." * 8000,
    "too long": "a" * 9000,
}


@pytest.mark.parametrize("name", DEAD)
def test_dead_tokens_cost_no_call(driver: Driver, emulator: Emulator, name: str) -> None:
    headers = [("authorization", f"Bearer {DEAD[name]}")]
    for path in ("/me", "/guarded"):
        assert driver.request("GET", path, headers).status_code == 401
    assert emulator.requests == []


def test_a_good_token_that_is_too_long(driver: Driver, emulator: Emulator) -> None:
    token = emulator.sign_in(emulator.add_user("ada@test.example"), more="x" * 7000)
    assert driver.request("GET", "/me", [("authorization", f"Bearer {token}")]).status_code == 401
    assert emulator.requests == []


def test_forged_tokens_leave_known_users_alone(settings: Settings, emulator: Emulator) -> None:
    """1,000 of them, with the platform slow, take 5 seconds; a known user's requests wait for none."""
    driver = Driver("starlette-async", settings)
    headers = [("authorization", f"Bearer {emulator.sign_in(emulator.add_user('ada@test.example'))}")]
    assert driver.request("GET", "/me", headers).status_code == 200
    emulator.fault(Fault(delay=0.1), path="*/User/me", times=None)
    forged = [
        [("authorization", f"Bearer {jwt.encode({'sub': 'x', 'n': n}, SECRET, algorithm='HS256')}")]
        for n in range(1000)
    ]

    async def main() -> list[int]:
        flood = asyncio.gather(*(driver.send("GET", "/me", headers) for headers in forged))
        while me_calls(emulator) < 2:
            await asyncio.sleep(0.01)
        for _ in range(20):
            assert (await driver.send("GET", "/me", headers)).status_code == 200
        assert not flood.done()
        return [answer.status_code for answer in await flood]

    assert driver._runner is not None
    statuses = driver._runner.run(main())
    assert set(statuses) <= {401, 503}
    assert 401 in statuses
    driver.close()


def test_forged_tokens_at_a_guard_leave_known_users_alone(settings: Settings, emulator: Emulator) -> None:
    """Each would cost a call with the service token, too: those wait elsewhere than a known user's."""
    from base44_web._core.guards.admit import admit

    known = emulator.add_user("ada@test.example")
    emulator.connect(known, CALENDAR_ID)
    tokens = [jwt.encode({"sub": "x", "n": n}, SECRET, algorithm="HS256") for n in range(300)]

    async def main() -> None:
        engine = Engine(fresh(settings, timeout=60))
        origin = settings.server_url

        def context(token: str) -> Context:
            service = Secret(emulator.service_token)
            return Context(
                engine, Caller(emulator.app_id, origin, origin, token=Token(Secret(token)), service_token=service)
            )

        ada = emulator.sign_in(known)
        await admit(AWAITING, context(ada), ("calendar",))
        emulator.fault(Fault(delay=0.3), times=None)
        flood = [asyncio.create_task(admit(AWAITING, context(token), ("calendar",))) for token in tokens]
        while len(emulator.requests) < 10:
            await asyncio.sleep(0.01)
        assert engine.platform.limiter._inside == 0
        assert (await admit(AWAITING, context(ada), ("calendar",))).id == known.id
        assert not any(task.done() and not task.exception() for task in flood)
        assert sum(task.done() for task in flood) < 100
        for task in flood:
            task.cancel()
        await asyncio.gather(*flood, return_exceptions=True)
        await engine.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("part", ["app_id", "server_url", "data_env", "token"])
def test_what_is_remembered_is_of_one_app_server_and_environment(
    settings: Settings, emulator: Emulator, part: str
) -> None:
    ada = emulator.add_user("ada@test.example")
    engine = Engine(fresh(settings, max_retries=0))
    origin = settings.server_url
    caller = Caller(emulator.app_id, origin, origin, token=Token(Secret(emulator.sign_in(ada))))
    assert Base44._for(Context(engine, caller)).user() == ada
    assert Base44._for(Context(engine, caller)).user() == ada
    assert me_calls(emulator) == 1
    elsewhere = origin.replace("127.0.0.1", "localhost")
    changed = {
        "app_id": "another",
        "server_url": elsewhere,
        "data_env": "dev",
        "token": Token(Secret(emulator.sign_in(ada) + "x")),
    }
    other = Base44._for(Context(engine, replace(caller, **{part: changed[part]})))  # type: ignore[arg-type]
    calls = len(emulator.requests)
    with contextlib.suppress(Base44Error):
        assert other.user() == ada
        assert part in ("server_url", "data_env")
    assert len(emulator.requests) == calls + 1
    engine.close()


def test_memories_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_memory, "_MOST", 10)
    monkeypatch.setattr(_statuses, "_MOST", 10)
    users, statuses = _memory.KnownTokens(60), _statuses.Statuses()
    user = AppUser.from_record({"id": "u", "app_id": "a"})
    known = Caller("a", "https://a", "https://a", token=Token(Secret("known")))
    users.put(known, user)
    for n in range(100):
        forged = Caller("a", "https://a", "https://a", token=Token(Secret(str(n))))
        users.put(forged, AuthenticationError("no"))
        statuses.put((n,), True, asked=time.monotonic())
        statuses.end((n, "x"))
    assert users.get(known) == user  # refused tokens take no user's place
    assert (len(users._refused), len(statuses._known), len(statuses._ended)) == (10, 10, 10)


def test_who_comes_when_too_many_wait_is_told_at_once(settings: Settings, emulator: Emulator) -> None:
    from base44_web._core.platform import perform as _engine

    emulator.fault(Fault(delay=30), path="*/User/me", times=None)
    most, waiting = _engine._UNVERIFIED_CALLS, _engine._WAITING
    tokens = [jwt.encode({"sub": "x", "n": n}, SECRET, algorithm="HS256") for n in range(most + waiting + 10)]

    async def main() -> None:
        engine = Engine(fresh(settings, timeout=30))
        origin = settings.server_url
        clients = [
            AsyncBase44._for(Context(engine, Caller(emulator.app_id, origin, origin, token=Token(Secret(token)))))
            for token in tokens
        ]
        tasks = [asyncio.create_task(client.user()) for client in clients]
        while sum(task.done() for task in tasks) < 10:
            await asyncio.sleep(0.05)
        over = [task for task in tasks if task.done()]
        codes = [task.exception().code for task in over]  # type: ignore[union-attr]
        assert codes == ["overloaded"] * 10
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        emulator.clear_faults()
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


def test_nobody_verifies(driver_name: str, settings: Settings, emulator: Emulator) -> None:
    driver = Driver(driver_name, fresh(settings, verification="none"))
    ada = emulator.add_user("ada@test.example")
    emulator.connect(ada, CALENDAR_ID)
    headers = [("authorization", f"Bearer {emulator.sign_in(ada)}")]
    for path in ("/me", "/guarded"):
        assert driver.request("GET", path, headers).status_code == 503
    found = driver.call("service", "get_current_app_user_connection", CALENDAR_ID, headers=dict(headers))
    assert found.error is None  # the platform itself judges the token there
    driver.close()


# --- keys say

RSA = rsa.generate_private_key(65537, 2048)
OTHER_RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def pem(key: Any) -> str:
    public = key.public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()  # type: ignore[no-any-return]


def jwk(key: Any, kid: str | None = None) -> dict[str, Any]:
    names = {rsa.RSAPrivateKey: "RS256", ec.EllipticCurvePrivateKey: "ES256", ed25519.Ed25519PrivateKey: "EdDSA"}
    name = next(name for kind, name in names.items() if isinstance(key, kind))
    found: dict[str, Any] = jwt.get_algorithm_by_name(name).to_jwk(key.public_key(), as_dict=True)  # type: ignore[call-overload]
    return found | {"alg": name} | ({"kid": kid} if kid else {})


def claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    found = {"sub": "u1", "email": "ada@test.example", "iat": now, "exp": now + 300, "aud": "demo-app", "role": "admin"}
    return {name: value for name, value in (found | more).items() if value is not None}


def signed(payload: dict[str, Any], key: Any = RSA, algorithm: str = "RS256", **headers: Any) -> str:
    return jwt.encode(payload, key, algorithm=algorithm, headers=headers or None)


def forged(header: dict[str, Any], payload: dict[str, Any], key: bytes | None) -> str:
    """A token that PyJWT would not make."""
    import hashlib
    import hmac

    signing = f"{encoded(header)}.{encoded(payload)}"
    signature = b"" if key is None else hmac.digest(key, signing.encode(), hashlib.sha256)
    return f"{signing}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def twice(payload: dict[str, Any]) -> str:
    """Well signed, and with two subjects."""
    text = json.dumps(payload).replace("{", '{"sub": "somebody", ', 1)
    signing = f"{encoded({'alg': 'RS256', 'typ': 'JWT'})}.{encoded(text)}"
    signature = RSA.sign(signing.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signing}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def public_octets(encoding: Any, form: Any) -> bytes:
    octets: bytes = RSA.public_key().public_bytes(encoding, form)
    return octets


E = serialization.Encoding
F = serialization.PublicFormat
# Cases 1 to 8, by number; each must be refused.
REFUSED: dict[str, Callable[[], str]] = {
    "E-1 alg none": lambda: forged({"alg": "none"}, claims(), None),
    "E-1 alg None": lambda: forged({"alg": "None"}, claims(), None),
    "E-1 alg nOnE": lambda: forged({"alg": "nOnE"}, claims(), None),
    "E-1 alg missing": lambda: forged({}, claims(), None),
    "E-2 HMAC with the public key as PEM": lambda: forged({"alg": "HS256"}, claims(), pem(RSA).encode()),
    "E-2 as DER": lambda: forged({"alg": "HS256"}, claims(), public_octets(E.DER, F.SubjectPublicKeyInfo)),
    "E-2 as JWK": lambda: forged({"alg": "HS256"}, claims(), json.dumps(jwk(RSA)).encode()),
    "E-2 as SSH": lambda: forged({"alg": "HS256"}, claims(), public_octets(E.OpenSSH, F.OpenSSH)),
    "E-3 an algorithm not in the list": lambda: signed(claims(), RSA, "RS512"),
    "E-3 another kind of key": lambda: signed(claims(), EC, "ES256"),
    "E-4 jwk in the header": lambda: signed(claims(), OTHER_RSA, "RS256", jwk=jwk(OTHER_RSA)),
    "E-4 jku in the header": lambda: signed(claims(), OTHER_RSA, "RS256", jku="http://127.0.0.1:9/keys"),
    "E-4 x5u in the header": lambda: signed(claims(), OTHER_RSA, "RS256", x5u="http://127.0.0.1:9/keys"),
    "E-4 x5c in the header": lambda: signed(claims(), OTHER_RSA, "RS256", x5c=["MIIB"]),
    "E-5 unknown crit": lambda: signed(claims(), RSA, "RS256", crit=["exp2"], exp2=1),
    "E-5 b64 false": lambda: signed(claims(), RSA, "RS256", b64=False, crit=["b64"]),
    "E-6 no exp": lambda: signed(claims(exp=None)),
    "E-6 no sub": lambda: signed(claims(sub=None)),
    "E-6 no aud": lambda: signed(claims(aud=None)),
    "E-6 expired": lambda: signed(claims(exp=int(time.time()) - 40)),
    "E-6 nbf to come": lambda: signed(claims(nbf=int(time.time()) + 100)),
    "E-6 iat to come": lambda: signed(claims(iat=int(time.time()) + 100)),
    "E-6 exp infinite": lambda: signed(claims(exp=float("inf"))),
    "E-6 exp NaN": lambda: signed(claims(exp=float("nan"))),
    "E-6 exp a string": lambda: signed(claims(exp="9999999999")),
    "E-6 exp a bool": lambda: signed(claims(exp=True)),
    "E-6 exp 10^30": lambda: signed(claims(exp=10**30)),
    "E-6 nbf a list": lambda: signed(claims(nbf=[1])),
    "E-7 another aud": lambda: signed(claims(aud="other-app")),
    "E-7 aud with ours as a part": lambda: signed(claims(aud="demo-app-2")),
    "E-7 a list without ours": lambda: signed(claims(aud=["a", "b"])),
    "E-8 another typ": lambda: signed(claims(), RSA, "RS256", typ="logout+jwt"),
    "another key": lambda: signed(claims(), OTHER_RSA),
    "kid that is a list": lambda: forged({"alg": "RS256", "kid": ["a"]}, claims(), b"x"),
    "sub that is a number": lambda: forged({"alg": "RS256"}, claims(sub=7), b"x"),
    "a name twice": lambda: twice(claims()),
    "changed": lambda: signed(claims())[:-6] + "AAAAAA",
}


@pytest.fixture
def verifying(driver_name: str, settings: Settings) -> Iterator[Callable[..., Driver]]:
    made: list[Driver] = []

    def verifying(**fields: Any) -> Driver:
        fields = {"verification": "keys", "verification_key": pem(RSA), "algorithms": ["RS256"], **fields}
        if "app_claim" not in fields:
            fields = {"audience": "demo-app", **fields}
        made.append(Driver(driver_name, fresh(settings, **fields)))
        return made[-1]

    yield verifying
    for driver in made:
        driver.close()


def me(driver: Driver, token: str) -> httpx2.Response:
    return driver.request("GET", "/me", [("authorization", f"Bearer {token}")])


def test_tokens_that_keys_refuse(verifying: Any, emulator: Emulator) -> None:
    driver = verifying()
    for name, token in REFUSED.items():
        answer = me(driver, token())
        assert answer.status_code == 401, (name, answer.text)
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert emulator.requests == []
    assert me(driver, signed(claims())).json() == {"id": "u1", "email": "ada@test.example"}


def test_what_keys_accept(verifying: Any) -> None:
    for key, algorithm in ((RSA, "RS256"), (RSA, "PS256"), (EC, "ES256"), (ED, "EdDSA")):
        for given in (
            pem(key),
            json.dumps(jwk(key) | {"alg": algorithm}),
            json.dumps({"keys": [jwk(key) | {"alg": algorithm}]}),
        ):
            driver = verifying(verification_key=given, algorithms=[algorithm])
            assert me(driver, signed(claims(aud=["x", "demo-app"]), key, algorithm)).status_code == 200, algorithm
    hmac = verifying(verification_key=SECRET, algorithms=["HS256"], audience=None)
    assert (
        me(hmac, signed(claims(aud=None, email=None, sub="a@b.example"), SECRET, "HS256")).json()["email"]
        == "a@b.example"
    )
    by_claim = verifying(app_claim="app", issuer="https://base44.app")
    good = claims(aud=None, app="demo-app", iss="https://base44.app")
    assert me(by_claim, signed(good)).status_code == 200
    for wrong in (
        {"app": "other"},
        {"app": None},
        {"iss": "https://base44.app.evil"},
        {"iss": None},
        {"iss": "https://base44"},
    ):
        assert (
            me(
                by_claim,
                signed(
                    good | wrong
                    if None not in wrong.values()
                    else {k: v for k, v in (good | wrong).items() if v is not None}
                ),
            ).status_code
            == 401
        )


def test_claims_give_no_role(settings: Settings) -> None:
    keys = fresh(settings, verification="keys", verification_key=pem(RSA), algorithms=["RS256"], audience="demo-app")
    with Base44(settings=keys, token=signed(claims(is_verified=True))) as base44:
        user = base44.user()
    assert user is not None
    assert (user.role, user.is_verified, user.app_id) == (None, False, "demo-app")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "verification_key"),
        ({"verification_key": SECRET}, "needs algorithms"),
        ({"verification_key": SECRET, "algorithms": ["none"]}, "needs algorithms"),
        ({"verification_key": pem(RSA), "algorithms": ["RS256", "HS256"]}, "mixes"),
        ({"verification_key": pem(RSA), "algorithms": ["HS256"]}, "public key"),
        ({"verification_key": json.dumps(jwk(RSA)), "algorithms": ["HS256"]}, "public key"),
        ({"verification_key": "short", "algorithms": ["HS256"]}, "32 bytes"),
        ({"verification_key": "LOCAL_DEV_SECRET", "algorithms": ["HS256"]}, "everybody knows"),
        ({"verification_key": pem(RSA), "algorithms": ["RS256"]}, "audience"),
        ({"verification_key": SECRET, "algorithms": ["RS256"], "audience": "a"}, "no public key"),
        ({"verification_key": pem(EC), "algorithms": ["RS256"], "audience": "a"}, "no public key"),
        ({"verification_key": pem(rsa.generate_private_key(65537, 1024)), "algorithms": ["RS256"], "audience": "a"}, "2048"),
        ({"verification_key": "http://evil.example/jwks", "algorithms": ["RS256"], "audience": "a"}, "https"),
        ({"verification_key": "https://a@evil.example/jwks", "algorithms": ["RS256"], "audience": "a"}, "https"),
        ({"verification_key": "file:///etc/passwd", "algorithms": ["RS256"], "audience": "a"}, "no public key"),
        ({"verification_key": "-----BEGIN PRIVATE KEY-----", "algorithms": ["RS256"], "audience": "a"}, "private key"),
    ],
)  # fmt: skip
def test_settings_that_are_refused(settings: Settings, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        Base44(settings=fresh(settings, verification="keys", **fields))
    assert SECRET not in str(caught.value)


@pytest.mark.filterwarnings("ignore:The HMAC key is 16 bytes long")
def test_the_local_dev_secret(settings: Settings) -> None:
    local = fresh(
        settings, verification="keys", verification_key="LOCAL_DEV_SECRET", algorithms=["HS256"], development=True
    )
    token = jwt.encode({"sub": "ada@test.example", "exp": time.time() + 9}, "LOCAL_DEV_SECRET", algorithm="HS256")  # type: ignore[arg-type]
    with Base44(settings=local, token=token) as base44:
        user = base44.user()
    assert user is not None
    assert user.email == "ada@test.example"
    with pytest.raises(ConfigurationError, match="everybody knows"):
        Base44(settings=fresh(local, server_url="https://base44.app"))


# --- a JWKS


def jwks_calls(emulator: Emulator) -> int:
    return sum(request.target == "/jwks" for request in emulator.requests)


@pytest.fixture
def jwks(settings: Settings, emulator: Emulator, platform: str) -> Settings:
    serve_keys(emulator, jwk(RSA, "one"))
    url = f"{platform}/jwks"
    return fresh(settings, verification="keys", verification_key=url, algorithms=["RS256"], audience="demo-app")


def serve_keys(emulator: Emulator, *keys: dict[str, Any], **fault: Any) -> None:
    emulator.clear_faults()
    body = json.dumps({"keys": list(keys)}).encode()
    emulator.fault(Fault(**{"status": 200, "body": body, **fault}), path="/jwks", times=None)


def test_unknown_kids_fetch_once(jwks: Settings, emulator: Emulator) -> None:
    """1,000 requests with random key IDs: one fetch in 30 s, and valid users unaffected."""
    driver = Driver("starlette-async", jwks)
    good = [("authorization", f"Bearer {signed(claims(), RSA, 'RS256', kid='one')}")]
    assert driver.request("GET", "/me", good).status_code == 200
    assert jwks_calls(emulator) == 1
    key = next(request for request in emulator.requests if request.target == "/jwks")
    assert key.header("authorization") is None
    bad = [
        [("authorization", f"Bearer {forged({'alg': 'RS256', 'kid': f'k{n}'}, claims(), b'x')}")] for n in range(1000)
    ]

    async def main() -> list[int]:
        answers = await asyncio.gather(*(driver.send("GET", "/me", headers) for headers in [*bad, *[good] * 50]))
        return [answer.status_code for answer in answers]

    assert driver._runner is not None
    statuses = driver._runner.run(main())
    assert statuses == [401] * 1000 + [200] * 50
    assert jwks_calls(emulator) == 1
    driver.close()


def test_rotation_and_failed_refreshes(jwks: Settings, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    from base44_web._core.identity import keys as _keys

    engine = Engine(fresh(jwks, max_retries=0, timeout=1))

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
    weak = jwk(rsa.generate_private_key(65537, 1024), "two")
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


def test_a_fetch_of_keys_that_hangs(jwks: Settings, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose key is there waits for nobody's fetch; whose key is not is told that the platform fails."""
    from base44_web._core.identity import keys as _keys

    async def main() -> None:
        engine = Engine(fresh(jwks, identity_ttl=0, timeout=2, max_retries=0))

        async def user(kid: str) -> Any:
            token = signed(claims(jti=str(time.monotonic())), RSA, "RS256", kid=kid)
            caller = Caller(emulator.app_id, "", "", token=Token(Secret(token)))
            return await AsyncBase44._for(Context(engine, caller)).user()

        assert await user("one")
        monkeypatch.setattr(_keys, "_FRESH", -1.0)  # from now on what is there is too old
        monkeypatch.setattr(_keys, "_COOLDOWN", 0.0)
        serve_keys(emulator, jwk(RSA, "one"), delay=30)
        leader = asyncio.create_task(user("one"))
        while jwks_calls(emulator) < 2:
            await asyncio.sleep(0.01)
        for _ in range(5):
            assert await user("one")
        assert not leader.done()
        assert await leader
        with pytest.raises(ServerError):
            await user("two")
        await engine.aclose()

    asyncio.run(main())


def test_a_key_that_has_gone_is_forgotten(jwks: Settings, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    from base44_web._core.identity import keys as _keys

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


def test_without_any_keys_nobody_gets_in(driver_name: str, jwks: Settings, emulator: Emulator) -> None:
    serve_keys(emulator, status=500)
    driver = Driver(driver_name, jwks)
    assert me(driver, signed(claims(), RSA, "RS256", kid="one")).status_code == 503
    driver.close()


def test_two_apps_share_nothing(settings: Settings, emulator: Emulator) -> None:
    """Case 16: another engine has other keys, and another memory."""
    one = fresh(settings, verification="keys", verification_key=pem(RSA), algorithms=["RS256"], audience="demo-app")
    two = fresh(one, verification_key=pem(OTHER_RSA))
    token = signed(claims())
    with Base44(settings=one, token=token) as base44:
        assert base44.user() is not None
    with Base44(settings=two, token=token) as base44, pytest.raises(Base44Error):
        base44.user()


# --- failures in between


def test_a_cancelled_fetch_of_keys_blocks_nobody(jwks: Settings, emulator: Emulator) -> None:
    token = signed(claims(), RSA, "RS256", kid="one")
    serve_keys(emulator, jwk(RSA, "one"), delay=0.5)

    async def main() -> None:
        async with AsyncBase44(settings=jwks, token=token) as base44:
            leader = asyncio.create_task(base44.user())
            await asyncio.sleep(0.1)
            leader.cancel()
            await asyncio.gather(leader, return_exceptions=True)
            assert await base44.user() is not None

    asyncio.run(main())


def test_a_failed_first_fetch_is_tried_again_soon(
    jwks: Settings, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from base44_web._core.identity import keys as _keys

    monkeypatch.setattr(_keys, "_COLD", 0.1)
    serve_keys(emulator, status=500)
    with Base44(settings=jwks, token=signed(claims(), RSA, "RS256", kid="one")) as base44:
        with pytest.raises(ServerError):
            base44.user()
        serve_keys(emulator, jwk(RSA, "one"))
        time.sleep(0.15)
        assert base44.user() is not None


def test_keys_of_several_kinds(jwks: Settings, emulator: Emulator) -> None:
    """Keys without `alg`, of a family that is not the first one set; and entries that are nonsense."""
    bare = {name: value for name, value in jwk(EC, "ec").items() if name != "alg"}
    serve_keys(emulator, {**jwk(RSA), "kid": ["a"]}, bare, jwk(RSA, "rsa"))
    both = fresh(jwks, algorithms=["RS256", "ES256"])
    for key, algorithm, kid in ((EC, "ES256", "ec"), (RSA, "RS256", "rsa")):
        with Base44(settings=both, token=signed(claims(), key, algorithm, kid=kid)) as base44:
            assert base44.user() is not None


def test_the_request_names_the_app_and_so_must_the_token(settings: Settings, platform: str) -> None:
    several = {
        "app_id": None, "service_token": None, "allowed_app_ids": ["a", "b"], "platform_headers": "trust", "allowed_api_urls": [platform],
        "verification": "keys", "verification_key": SECRET, "algorithms": ["HS256"], "audience": "me",
    }  # fmt: skip
    with pytest.raises(ConfigurationError, match="app_claim"):
        Engine(fresh(settings, **several).complete())
    Engine(fresh(settings, **several, app_claim="app").complete())


def test_a_user_who_is_refused_by_now_is_asked_about_once(
    settings: Settings, emulator: Emulator, clock: SimpleNamespace
) -> None:
    ada = emulator.add_user("ada@test.example")
    with Base44(settings=fresh(settings, identity_ttl=50), token=emulator.sign_in(ada)) as base44:
        base44.user()
        clock.later = 51
        emulator.fault(Fault(status=401), path="*/User/me", times=None)
        for _ in range(3):
            with pytest.raises(AuthenticationError):
                base44.user()
    assert me_calls(emulator) == 2


def test_one_deadline_for_who_waited_and_then_leads(settings: Settings, emulator: Emulator) -> None:
    emulator.fault(Fault(delay=5), path="*/User/me", times=None)
    token = emulator.sign_in(emulator.add_user("ada@test.example"))

    async def main() -> float:
        async with AsyncBase44(settings=fresh(settings, timeout=1), token=token) as base44:
            leader = asyncio.create_task(base44.user())
            await asyncio.sleep(0.05)
            began = time.monotonic()
            follower = asyncio.create_task(base44.user())
            await asyncio.sleep(0.8)
            leader.cancel()
            await asyncio.gather(leader, follower, return_exceptions=True)
            return time.monotonic() - began

    assert asyncio.run(main()) < 1.6
