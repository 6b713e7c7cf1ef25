"""Who is connected, as the platform said within the last second: pages ask and ask."""

from __future__ import annotations

import math
import threading
from typing import Final, TypeAlias, final

from cachetools import LRUCache

from ...errors import Base44Error
from ..clock import Clock
from ..incoming.caller import Caller
from ..secret import Opaque
from ..values import AppUser

_MOST: Final = 10_000
_SECONDS: Final = 1.0

Key: TypeAlias = tuple[str | None, ...]


def status_key(caller: Caller, user: AppUser, connector: str) -> Key:
    """Under which a user's status is kept, whichever token they came with."""
    return caller.server_url, caller.app_id, caller.data_env, user.id, connector


@final
class Statuses(Opaque):
    """What the platform said of users' connections within the last second, or that it failed: pages ask and ask."""

    __slots__ = ("_clock", "_ended", "_known", "_lock")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.after_fork()

    def after_fork(self) -> None:
        """In the child: another thread may have held the lock."""
        self._lock = threading.Lock()
        self._known: LRUCache[Key, tuple[bool | Base44Error, float]] = LRUCache(_MOST)
        self._ended: LRUCache[Key, float] = LRUCache(_MOST)

    def get(self, key: Key) -> bool | Base44Error | None:
        """What was said, or `None`."""
        with self._lock:
            said, until = self._known.get(key, (None, 0.0))
        return said if self._clock.monotonic() < until else None

    def put(self, key: Key, said: bool | Base44Error, *, asked: float) -> None:
        """Keep what was said to who asked then (monotonic clock); not if the user has disconnected since."""
        with self._lock:
            if self._ended.get(key, -math.inf) < asked:
                self._known[key] = said, self._clock.monotonic() + _SECONDS

    def end(self, key: Key) -> None:
        """The user has disconnected."""
        with self._lock:
            self._known.pop(key, None)
            self._ended[key] = self._clock.monotonic()
