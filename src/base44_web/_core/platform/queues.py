"""Where threads and event loops queue: for a place, and for an answer that somebody else is fetching.

Own code, because threads and several event loops must meet at one place: asyncio's and threading's primitives
each know only their own kind.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Hashable
from concurrent.futures import Future
from typing import Any, final

from ...errors import RequestFailedError
from ..secret import Opaque


@final
class Limiter:
    """Lets `most` through at once and `waiting` more wait; who comes then is told at once to come back.

    Args:
        most: how many at once.
        waiting: how many may wait.
    """

    def __init__(self, most: int, waiting: int) -> None:
        self._most, self._waiting = most, waiting
        self.after_fork()

    def after_fork(self) -> None:
        """In the child: nobody is inside."""
        self._lock = threading.Lock()
        self._inside = 0
        self._queue: deque[Future[None]] = deque()

    def ask(self) -> Future[None] | None:
        """`None`: go through. Else what to wait for; who does not wait to the end must `refuse` it.

        Raises:
            RequestFailedError: too many are waiting.
        """
        with self._lock:
            if self._inside < self._most:
                self._inside += 1
                return None
        ticket: Future[None] = Future()  # out here: the collector may end a call that takes this lock
        with self._lock:
            if self._inside < self._most:
                self._inside += 1
                return None
            if len(self._queue) >= self._waiting:
                raise RequestFailedError(
                    "Too many calls to the platform are waiting already: it is slow, or down.", code="overloaded"
                )
            self._queue.append(ticket)
            return ticket

    def refuse(self, ticket: Future[None]) -> None:
        """Give up waiting; a place that was given meanwhile goes on to the next."""
        if ticket.cancel():
            with self._lock, contextlib.suppress(ValueError):
                self._queue.remove(ticket)
        else:
            self.leave()

    def leave(self) -> None:
        """Whoever was let through must leave."""
        with self._lock:
            while self._queue:
                ticket = self._queue.popleft()
                if ticket.set_running_or_notify_cancel():
                    ticket.set_result(None)
                    return
            self._inside -= 1


@final
class Flight(Opaque):
    """A call that others may wait for; who leads makes it within `with flight`, once, and sets its `outcome`, a value.

    As the block ends, those who wait have it. `None` is what they find where there is none, and one of them leads. What
    they wait for is made as the first of them comes: most often none does.
    """

    __slots__ = ("_flights", "_key", "has_landed", "outcome", "waiting")

    def __init__(self, flights: SingleFlight, key: Hashable) -> None:
        self._flights = flights
        self._key = key
        self.waiting: Future[Any] | None = None
        self.has_landed = False
        self.outcome: Any = None

    def __enter__(self) -> None:
        pass

    def __exit__(self, *ended: object) -> None:
        self.land()

    def land(self) -> None:
        """End it: as `with` does, for who cannot be within a block as it ends."""
        self._flights._land(self._key, self)


@final
class SingleFlight(Opaque):
    """One call for all who want the same answer at the same time."""

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        """In the child: whoever led is not here."""
        self._lock = threading.Lock()
        self._flying: dict[Hashable, Flight] = {}

    def join(self, key: Hashable) -> tuple[Flight, Future[Any] | None]:
        """The flight for a key, and what to wait for; `None`: the caller leads it."""
        new = Flight(self, key)
        with self._lock:
            flight = self._flying.setdefault(key, new)
        if flight is new:
            return new, None
        waiting: Future[Any] = Future()  # out here: the collector may end a call that takes this lock
        with self._lock:
            if not flight.has_landed:
                flight.waiting = waiting = flight.waiting or waiting
                return flight, waiting
        waiting.set_result(flight.outcome)
        return flight, waiting

    def flying(self, key: Hashable) -> bool:
        """Whether somebody leads a flight for a key right now."""
        return key in self._flying

    def _land(self, key: Hashable, flight: Flight) -> None:
        with self._lock:
            if self._flying.get(key) is flight:
                del self._flying[key]
            flight.has_landed = True
        if flight.waiting is not None:
            flight.waiting.set_result(flight.outcome)
