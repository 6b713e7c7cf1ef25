"""Calls to the platform: within one deadline, at a place in the queue, once more where that may help, one for all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import Future
from typing import Any, Final, TypeVar, cast, final

from ...errors import Base44Error, RequestTimeoutError
from .. import telemetry
from ..clock import Clock
from ..config import Settings
from ..secret import Opaque
from ..transport.message import PlatformRequest, PlatformResponse
from ..transport.pools import Pools
from ..transport.protocol import AsyncTransport, Transport, TransportFactory
from .io import IO
from .queues import Flight, Limiter, SingleFlight
from .retries import pause_before
from .wire import Call

T = TypeVar("T")

_CALLS: Final = 100  # at once; also what the default transports have connections for
_UNVERIFIED_CALLS: Final = 20  # at once: forged tokens must not take the places of everything else
_WAITING: Final = 1000  # for a place, of each kind


@final
class Platform(Opaque):
    """The way to the platform, of one `Settings`.

    Attributes:
        clock: the time.
        pools: the connections.
        limiter: places for calls.
        unverified: places for calls about tokens that nobody has verified yet.
        flights: calls that several wait for.
    """

    __slots__ = ("clock", "flights", "limiter", "pools", "settings", "unverified")

    def __init__(self, settings: Settings, transport: TransportFactory) -> None:
        self.settings = settings
        self.clock = Clock()
        self.pools: Pools[Transport, AsyncTransport] = Pools(transport)
        self.limiter = Limiter(_CALLS, _WAITING)
        self.unverified = Limiter(_UNVERIFIED_CALLS, _WAITING)
        self.flights = SingleFlight()

    def after_fork(self) -> None:
        """In the child: nothing of the parent's goes on."""
        for each in (self.pools, self.limiter, self.unverified, self.flights):
            each.after_fork()


async def perform(
    io: IO, platform: Platform, call: Call[T], *, limiter: Limiter | None = None, end: float | None = None
) -> T | Base44Error:
    """Make a call; its result, or its error as a value, after as many tries as it may have.

    Args:
        io: how to wait.
        platform: the way there.
        call: what to send, and how to read the answer.
        limiter: where to queue, by default with all calls.
        end: when it must have ended (monotonic clock), by default `Settings.timeout` from now.
    """
    settings = platform.settings
    end = platform.clock.monotonic() + settings.timeout if end is None else end
    attempt = 0
    while True:
        outcome = await _try(io, platform, call, limiter or platform.limiter, end, attempt)
        if not isinstance(outcome, Base44Error):
            return outcome
        left = end - platform.clock.monotonic()
        pause = pause_before(attempt, call.request.method, outcome, most=settings.max_retries, left=left)
        if pause is None:
            return outcome
        await io.sleep(pause)
        attempt += 1


async def _try(
    io: IO, platform: Platform, call: Call[T], limiter: Limiter, end: float, attempt: int
) -> T | Base44Error:
    with telemetry.attempt(call.request, attempt) as observed:
        status: int | None = None
        outcome: T | Base44Error
        try:
            place = limiter.ask()
            if place is not None:
                await take(place, io, limiter, end - platform.clock.monotonic())
            try:
                answer: PlatformResponse = await io.use(platform.pools, _sending(platform, call.request, end))
            finally:
                limiter.leave()
            status, outcome = answer.status, call.read(answer)
        except Base44Error as error:
            outcome = error
        observed.answered(status, type(outcome).__name__ if isinstance(outcome, Base44Error) else None)
        return outcome


def _sending(platform: Platform, request: PlatformRequest, end: float) -> Callable[[Any], Any]:
    """How to send a request in the time that is left.

    Raises:
        RequestTimeoutError: none is.
    """
    left = end - platform.clock.monotonic()
    if left <= 0:
        raise _too_late()
    return lambda transport: transport.send(request, timeout=left, connect_timeout=platform.settings.connect_timeout)


def _too_late() -> RequestTimeoutError:
    return RequestTimeoutError("No call to the platform ended in time for this one to begin.", code="timeout")


async def take(place: Future[None], io: IO, limiter: Limiter, seconds: float) -> None:
    """Wait for the place that a limiter promised.

    Raises:
        RequestTimeoutError: it was not free in time.
    """
    try:
        await io.wait(place, seconds)
    except TimeoutError:
        limiter.refuse(place)
    except BaseException:
        limiter.refuse(place)
        raise
    else:
        return
    raise _too_late()


async def fly(
    io: IO,
    platform: Platform,
    key: Hashable,
    ask: Callable[[], Awaitable[T | Base44Error]],
    *,
    end: float,
    detached: bool = False,
) -> T | Base44Error:
    """One call for all who want the same answer at the same time.

    Args:
        io: how to wait.
        platform: where they meet.
        key: what they want.
        ask: gives the answer, an error as a value.
        end: when it must be there (monotonic clock).
        detached: whether the call goes on if who leads is cancelled; else one of those who wait leads then.
    """
    boarded = await board(io, platform, key, end=end)
    if not isinstance(boarded, Flight):
        return cast("T | Base44Error", boarded)
    flight = boarded

    async def lead() -> T | Base44Error:
        flight.outcome = outcome = await ask()
        return outcome

    if detached:
        return await io.detached(lead, flight.land)
    with flight:
        return await lead()


async def board(io: IO, platform: Platform, key: Hashable, *, end: float) -> object:
    """What somebody else's call for the same answer has brought by `end`, or the `Flight` that the caller leads."""
    while True:
        flight, waiting = io.join(platform.flights, key)
        if waiting is None:
            return flight
        try:
            outcome: object = await io.wait(waiting, end - platform.clock.monotonic())
        except TimeoutError:
            return RequestTimeoutError("The platform did not answer in time.", code="timeout")
        if outcome is not None:
            return outcome
