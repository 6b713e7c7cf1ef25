"""Where calls wait: for a place, and for an answer that somebody else is fetching."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from base44_web import AppUser, AsyncBase44, Base44Error, Connection, RequestTimeoutError, Settings
from base44_web._core.claims import Token
from base44_web._core.engine.context import Context
from base44_web._core.engine.engine import Engine
from base44_web._core.guards.admit import admit
from base44_web._core.incoming.caller import Caller
from base44_web._core.incoming.request import Incoming
from base44_web._core.platform.io import AWAITING, BLOCKING, run
from base44_web._core.platform.queues import Limiter, SingleFlight
from base44_web._core.secret import Secret
from base44_web._core.transport.message import PlatformRequest, PlatformResponse
from base44_web.testing import CALENDAR_ID, Emulator
from tests.checks import bearer
from tests.conftest import Clock
from tests.serving import PATIENCE
from tests.transports import Held, Meeting, Scripted

ORIGIN = "https://base44.app"


def caller(token: str | None = None) -> Caller:
    return Caller(
        "demo-app", ORIGIN, ORIGIN, token=None if token is None else Token(Secret(token)), service_token=Secret("s")
    )


def connection(context: Context, kind: str) -> Connection:
    client = AsyncBase44._for(context)
    if kind == "blocking":
        return client.sync.as_service_role.connectors.get_connection("slack")
    return asyncio.run(client.as_service_role.connectors.get_connection("slack"))


@pytest.mark.parametrize("kind", ["blocking", "awaiting"])
def test_who_waits_too_long_for_a_place_is_told(kind: str) -> None:
    engine = Engine(Settings(app_id="demo-app", timeout=0.1), Scripted(lambda request, timeout: pytest.fail("sent")))
    engine.platform.limiter = Limiter(1, 10)
    assert engine.platform.limiter.ask() is None  # somebody is inside, and stays
    with pytest.raises(RequestTimeoutError) as caught:
        connection(Context(engine, caller()), kind)
    assert caught.value.code == "timeout"
    assert not engine.platform.limiter._queue
    engine.platform.limiter.leave()
    assert engine.platform.limiter._inside == 0


@pytest.mark.parametrize("kind", ["blocking", "awaiting"])
def test_a_place_that_comes_too_late(kind: str, clock: Clock) -> None:
    engine = Engine(Settings(app_id="demo-app"), Scripted(lambda request, timeout: pytest.fail("sent")))

    class Late(Limiter):
        def ask(self) -> None:
            clock.forward(20)

    engine.platform.limiter = Late(1, 10)
    engine.platform.limiter._inside = 1
    with pytest.raises(RequestTimeoutError):
        connection(Context(engine, caller()), kind)
    assert engine.platform.limiter._inside == 0


def test_a_place_goes_to_who_still_waits() -> None:
    limiter = Limiter(1, 10)
    assert limiter.ask() is None
    given_up, waits, late = limiter.ask(), limiter.ask(), limiter.ask()
    assert given_up is not None
    assert waits is not None
    assert late is not None
    given_up.cancel()  # and has not come to say so
    limiter.leave()
    assert waits.done()
    limiter.refuse(waits)  # it gives up with its place in hand
    assert late.done()
    limiter.leave()
    assert limiter._inside == 0


def test_a_flight_brings_its_outcome_and_leaves_the_childs_own_alone() -> None:
    flights = SingleFlight()
    flight, waiting = flights.join("a")
    assert waiting is None  # who is first leads
    same, waiting = flights.join("a")
    assert same is flight
    assert waiting is not None
    flights.after_fork()
    other, leads = flights.join("a")
    assert leads is None
    assert other is not flight
    with flight:
        flight.outcome = 1
    assert waiting.result(PATIENCE) == 1
    assert flights.flying("a")  # the child's own


def test_a_flight_that_brought_nothing_is_led_by_another() -> None:
    flights = SingleFlight()
    flight, _ = flights.join("a")
    _, waiting = flights.join("a")
    assert waiting is not None
    with pytest.raises(KeyError), flight:
        raise KeyError
    assert waiting.result(PATIENCE) is None
    _, leads = flights.join("a")
    assert leads is None


def test_who_waits_too_long_for_anothers_answer_is_told(emulator: Emulator, ada: AppUser, clock: Clock) -> None:
    clock.stop()  # or a busy machine might not even begin in time

    async def main() -> None:
        held = Held(emulator, lambda request: True)
        engine = Engine(Settings(app_id=emulator.app_id, timeout=0.1), held)
        who = caller(emulator.sign_in(ada))
        leader = asyncio.create_task(AsyncBase44._for(Context(engine, who)).user())
        await held.arrived(1)
        with pytest.raises(RequestTimeoutError):
            await AsyncBase44._for(Context(engine, who)).user()
        assert not leader.done()
        held.let_go()
        assert await leader == ada

    asyncio.run(main())


# --- blocking code


def test_blocking_code_awaits_nothing() -> None:
    async def steps() -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="awaited"):
        run(steps())


def test_blocking_calls_on_an_event_loop_are_made_one_by_one(emulator: Emulator, ada: AppUser) -> None:
    """What others wait for could be a task of that very loop, and the thread is the loop's."""
    emulator.connect(ada, CALENDAR_ID)
    threads: set[str] = set()
    inner = emulator.transport.open()

    def answer(request: PlatformRequest, timeout: float) -> PlatformResponse:
        threads.add(threading.current_thread().name)
        return inner.send(request, timeout=timeout, connect_timeout=timeout)

    settings = Settings(
        app_id=emulator.app_id, service_token=emulator.service_token, app_user_connectors={"calendar": CALENDAR_ID}
    )
    context = Context(Engine(settings, Scripted(answer)), Incoming("GET", bearer(emulator.sign_in(ada))))

    async def main() -> AppUser:
        return run(admit(BLOCKING, context, ("calendar",)))

    assert asyncio.run(main()).id == ada.id
    assert threads == {threading.current_thread().name}


def test_where_there_are_no_threads(emulator: Emulator, ada: AppUser, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in WebAssembly."""
    emulator.connect(ada, CALENDAR_ID)
    settings = Settings(
        app_id=emulator.app_id, service_token=emulator.service_token, app_user_connectors={"calendar": CALENDAR_ID}
    )
    context = Context(Engine(settings, emulator.transport), Incoming("GET", bearer(emulator.sign_in(ada))))

    def refuse(self: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert run(admit(BLOCKING, context, ("calendar",))).id == ada.id


@pytest.mark.parametrize("io", [BLOCKING, AWAITING], ids=["blocking", "awaiting"])
def test_what_is_no_error_of_ours_is_raised(io: Any) -> None:
    async def fine() -> int:
        return 1

    async def broken() -> int:
        raise KeyError("a mistake")

    async def refused() -> int:
        raise Base44Error("no")

    async def gather(*calls: Any) -> Any:
        return await io.gather(*calls)

    def go(*calls: Any) -> Any:
        return run(gather(*calls)) if io is BLOCKING else asyncio.run(gather(*calls))

    found = go(fine, refused, fine)
    assert (found[0], str(found[1]), found[2]) == (1, "no", 1)
    with pytest.raises(KeyError):
        go(fine, broken)


def test_meeting_needs_all(emulator: Emulator) -> None:
    """That `Meeting` notices who asks alone: the tests that use it rest on it."""
    meeting = Meeting(emulator, 2)
    meeting._barrier = threading.Barrier(2, timeout=0.01)
    request = PlatformRequest("GET", f"{ORIGIN}/x", ())
    assert PATIENCE > 1
    meeting._barrier.abort()
    with pytest.raises(threading.BrokenBarrierError):
        meeting.open().send(request, timeout=1, connect_timeout=1)
