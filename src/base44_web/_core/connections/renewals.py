"""What was renewed a short time ago: once for all who hold a dead token, and seldom where nothing helps."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, final

from cachetools import LRUCache

from ..clock import Clock
from ..secret import Opaque
from ..values import ConnectionRecord

_MOST: Final = 10_000
_FIRST: Final = 10.0  # seconds that the newest token is taken for good, though the provider refuses it
_LONGEST: Final = 300.0
_IN_A_ROW: Final = 3  # new tokens that may die at once
_STRAGGLERS: Final = 60.0  # seconds for which the renewed record is given to who still held the dead one


@dataclass(slots=True)
class _Renewal:
    dead: bytes
    record: ConnectionRecord
    at: float
    pause: float
    in_a_row: int


@final
class Renewals(Opaque):
    """By whose connection it is. Safe among threads and loops."""

    __slots__ = ("_clock", "_lock", "_made")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.after_fork()

    def after_fork(self) -> None:
        """In the child: another thread may have held the lock."""
        self._lock = threading.Lock()
        self._made: LRUCache[Hashable, _Renewal] = LRUCache(_MOST)

    def of(self, whose: Hashable, used: ConnectionRecord, ended: float) -> ConnectionRecord | float | None:
        """The record that somebody has renewed it to, or the seconds until it may be renewed again, or `None`.

        What was asked for before the connection `ended` (monotonic clock) does not count.
        """
        now = self._clock.monotonic()
        with self._lock:
            last = self._made.get(whose)
        if last is None or last.record.asked <= ended:
            return None
        if used.fingerprint == last.record.fingerprint:
            left = last.at + last.pause - now
            return left if left > 0 else None
        return last.record if used.fingerprint == last.dead and now - last.at < _STRAGGLERS else None

    def note(self, whose: Hashable, used: ConnectionRecord, record: ConnectionRecord) -> None:
        """A token was refused, and this is what the platform gives in its place."""
        now = self._clock.monotonic()
        with self._lock:
            last = self._made.get(whose)
            if last is not None and (used.fingerprint != last.record.fingerprint or now - last.at >= 2 * _LONGEST):
                last = None  # a token that was good for a while, as tokens are
            in_a_row = 0 if last is None else last.in_a_row + 1
            if used.fingerprint != record.fingerprint and in_a_row < _IN_A_ROW:
                pause = 0.0
            else:
                pause = _FIRST if last is None or last.pause == 0 else min(2 * last.pause, _LONGEST)
            self._made[whose] = _Renewal(used.fingerprint, record, now, pause, in_a_row)
