"""What it costs to know who is asking: a remembered token beside PyJWT's verification, and a token that is garbage.

    python benchmarks/identity.py

Processor time of one thread, the least of several rounds, all in one run: compare ratios. Exits with status 1 where a
budget is broken.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from report import Report, parser

from base44_web import AsyncBase44
from base44_web._core.claims import Token
from base44_web._core.clock import Clock
from base44_web._core.engine.context import Context
from base44_web._core.engine.engine import Engine
from base44_web._core.identity.memory import KnownTokens
from base44_web._core.incoming.caller import Caller
from base44_web._core.incoming.read import read_caller
from base44_web._core.incoming.request import Incoming
from base44_web._core.secret import Secret
from base44_web._core.values import AppUser
from base44_web.errors import AuthenticationError
from base44_web.settings import Settings
from base44_web.testing import Emulator, Fault


def least(call: Callable[[], Any], times: int, rounds: int = 7) -> float:
    """Microseconds a call."""
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time_ns()
        for _ in range(times):
            call()
        best = min(best, (time.process_time_ns() - began) / times / 1000)
    return best


def main() -> int:
    report, now = Report(parser(__doc__).parse_args().json), int(time.time())
    report.table("Who is asking")
    claims = {"sub": "ada@example.com", "iat": now, "exp": now + 3600, "aud": "app"}
    secret = "s" * 48
    token = jwt.encode(claims, secret, algorithm="HS256")
    caller = Caller("app", "https://base44.app", "https://base44.app", token=Token(Secret(token)))
    users = KnownTokens(60.0, Clock())
    users.put(caller, AppUser("1", "ada@example.com", None, None, is_verified=True, app_id="app", raw={}))
    hit = least(lambda: users.get(caller), 20_000)
    report.tell("a remembered token", hit, "µs", at_most=3)
    keys: dict[str, Any] = {
        "RS256": rsa.generate_private_key(65537, 2048),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }
    pairs = [("HS256", secret, secret), *((name, key, key.public_key()) for name, key in keys.items())]
    for name, private, public in pairs:
        made = jwt.encode(claims, private, algorithm=name)
        cost = least(lambda m=made, p=public, n=name: jwt.decode(m, p, algorithms=[n], audience="app"), 500)  # type: ignore[misc]
        report.tell(f"PyJWT's verification, {name}", cost, "µs")
        report.tell(f"PyJWT's verification, {name} / a remembered token", cost / hit, "×")
    settings = Settings(app_id="app")
    garbage = Incoming("GET", [("authorization", "Bearer " + "a.b." * 250_000)])

    def refuse() -> None:
        try:
            read_caller(garbage, settings)
        except AuthenticationError:
            return
        raise AssertionError

    report.tell("a token of 1 MB, refused", least(refuse, 500), "µs", at_most=1000)
    milliseconds, fetches = asyncio.run(stall())
    report.tell("1,000 random key IDs, longest stall", milliseconds, "ms", at_most=5)
    report.tell("fetches of the JWKS for them", fetches, "", at_most=1)
    return report.end()


async def stall() -> tuple[float, int]:
    """Milliseconds of processor time for which 1,000 random key IDs hold up an event loop; and their fetches."""
    with Emulator() as emulator:
        key = rsa.generate_private_key(65537, 2048)
        jwk = jwt.get_algorithm_by_name("RS256").to_jwk(key.public_key(), as_dict=True)
        body = json.dumps({"keys": [{**jwk, "kid": "one", "alg": "RS256"}]}).encode()
        emulator.fault(Fault(status=200, body=body), path="*jwks", times=None)
        settings = Settings(
            app_id="app",
            verification="keys",
            verification_key="https://keys.example/jwks",
            algorithms=["RS256"],
            audience="app",
        )
        engine = Engine(settings, emulator.transport)
        claims = {"sub": "a", "exp": int(time.time()) + 600, "aud": "app"}
        tokens = [jwt.encode(claims, key, algorithm="RS256", headers={"kid": f"k{n}"}) for n in range(1000)]
        longest, ended = 0.0, False

        async def tick() -> None:
            nonlocal longest
            while not ended:
                began = time.thread_time()
                await asyncio.sleep(0)
                longest = max(longest, time.thread_time() - began)

        async def ask(token: str) -> None:
            caller = Caller("app", "https://base44.app", "https://base44.app", token=Token(Secret(token)))
            with contextlib.suppress(AuthenticationError):
                await AsyncBase44._for(Context(engine, caller)).user()

        async def connection(tokens: list[str]) -> None:
            for token in tokens:
                await ask(token)
                await asyncio.sleep(0)  # as a server does between two requests

        await ask(tokens[0])
        ticking = asyncio.create_task(tick())
        await asyncio.gather(*(connection(tokens[n::10]) for n in range(10)))
        ended = True
        await ticking
        await engine.aclose()
        return longest * 1000, sum(request.target.endswith("jwks") for request in emulator.requests)


if __name__ == "__main__":
    sys.exit(main())
