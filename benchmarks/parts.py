"""Where the microseconds of a guarded request go, in this process, with a transport that answers at once.

    python benchmarks/parts.py [--times 20000]

Each part alone, in a tight loop: in a server, where other code runs in between, each takes longer.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Callable
from typing import Any

import jwt
from report import Report, parser

from base44_web import Base44, PlatformRequest, PlatformResponse, Settings
from base44_web._core import telemetry
from base44_web._core.connections.known import Wanted
from base44_web._core.engine.context import Context
from base44_web._core.engine.engine import Engine
from base44_web._core.guards.admit import admit
from base44_web._core.incoming.read import read_caller
from base44_web._core.incoming.request import Incoming
from base44_web._core.platform.io import BLOCKING, run
from base44_web._core.values import AppUser

TOKEN = jwt.encode({"sub": "ada", "exp": int(time.time()) + 3600}, "a key of the benchmark, and of nobody else")
HEADERS = [("host", "testserver"), ("authorization", f"Bearer {TOKEN}")]


class AtOnce:
    """A platform that says yes."""

    def open(self) -> Any:
        return self

    def send(self, request: PlatformRequest, *, timeout: float, connect_timeout: float) -> PlatformResponse:
        if request.url.endswith("/me"):
            return PlatformResponse(200, {}, b'{"id": "ada", "app_id": "app"}')
        return PlatformResponse(200, {}, b'{"access_token": "token", "integration_type": "googlecalendar"}')

    def close(self) -> None:
        """Nothing is held."""


class AtOnceAwaiting(AtOnce):
    def open_async(self) -> Any:
        return self

    async def send(  # type: ignore[override]
        self, request: PlatformRequest, *, timeout: float, connect_timeout: float
    ) -> PlatformResponse:
        return AtOnce.send(self, request, timeout=timeout, connect_timeout=connect_timeout)

    async def aclose(self) -> None:
        """Nothing is held."""


class Platform:
    def open(self) -> AtOnce:
        return AtOnce()

    def open_async(self) -> AtOnceAwaiting:
        return AtOnceAwaiting()


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--times", type=int, default=20_000)
    options = arguments.parse_args()
    times, report = options.times, Report(options.json)
    report.table("Parts of a guarded request, each alone in a loop: microseconds of the processor's time")

    def tell(what: str, call: Callable[[], object]) -> None:
        call()
        gc.disable()
        began = time.process_time()
        for _ in range(times):
            call()
        report.tell(what, (time.process_time() - began) / times * 1e6, "µs")
        gc.enable()

    settings = Settings(app_id="app", service_token="service", app_user_connectors={"calendar": "c"}).complete()
    engine = Engine(settings, Platform())
    incoming = Incoming("GET", HEADERS)
    context = Context(engine, incoming)
    run(admit(BLOCKING, context, ("calendar",)))
    caller = read_caller(incoming, settings)
    user = engine.identity.known.get(caller)
    assert isinstance(user, AppUser)
    wanted = Wanted("app_user", "c")
    tell("what came in, before a header is read", lambda: Incoming("GET", HEADERS))
    tell("who is asking: the token, and where calls go", lambda: read_caller(incoming, settings))
    tell("the user, as remembered", lambda: engine.identity.known.get(caller))
    tell("the connection, as kept", lambda: engine.connections.at_hand(context.caller, wanted, user))

    def guard() -> None:
        run(admit(BLOCKING, Context(engine, Incoming("GET", HEADERS)), ("calendar",)))

    tell("a guard: all of that", guard)
    with Base44(settings=settings, token=TOKEN, transport=Platform()) as base44:
        base44.user()
        connectors = base44.as_service_role.connectors
        found, telemetry._otel = telemetry._otel, None
        tell("get_connection, kept, without OpenTelemetry", lambda: connectors.get_connection("slack"))
        telemetry._otel = found
        tell("get_connection, kept", lambda: connectors.get_connection("slack"))
        tell("get_current_app_user_connection, kept", lambda: connectors.get_current_app_user_connection("calendar"))

        async def awaited() -> None:
            connectors = base44.aio.as_service_role.connectors
            await connectors.get_connection("slack")
            began = time.process_time()
            for _ in range(times):
                await connectors.get_connection("slack")
            report.tell("get_connection, kept, awaited", (time.process_time() - began) / times * 1e6, "µs")

        asyncio.run(awaited())
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
