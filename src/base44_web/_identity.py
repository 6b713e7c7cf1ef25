"""Who the platform said a token belongs to, remembered for a short time."""

from __future__ import annotations

import threading
import time
from hashlib import sha256
from typing import Final, final

from cachetools import TLRUCache

from ._claims import expiry
from ._incoming import Caller
from ._secret import Opaque
from ._values import AppUser

_MOST: Final = 10_000  # users


@final
class KnownUsers(Opaque):
    """Verified users by server, app, data environment and the SHA-256 of the whole token; never past its `exp`."""

    __slots__ = ("_lock", "_ttl", "_users")

    def __init__(self, ttl: float) -> None:
        self._ttl = ttl
        self._lock = threading.Lock()
        self._users: TLRUCache[tuple[str | None, ...], tuple[AppUser, float]] = TLRUCache(
            _MOST, ttu=_until, timer=time.monotonic
        )

    def recall(self, caller: Caller) -> AppUser | None:
        """The user, if the platform answered for this very token a short time ago."""
        if self._ttl == 0:
            return None
        with self._lock:
            found = self._users.get(_key(caller))
        return None if found is None else found[0]

    def remember(self, caller: Caller, user: AppUser) -> None:
        """Keep the platform's answer."""
        assert caller.token is not None
        expires = expiry(caller.token)
        seconds = self._ttl if expires is None else min(self._ttl, expires - time.time())
        if seconds > 0:
            with self._lock:
                self._users[_key(caller)] = user, seconds

    def forget(self, caller: Caller) -> None:
        """Drop the platform's answer, so that it is asked again."""
        with self._lock:
            self._users.pop(_key(caller), None)

    def after_fork(self) -> None:
        """In the child: another thread may have held the lock."""
        self._lock = threading.Lock()
        self._users.clear()


def _until(key: object, value: tuple[AppUser, float], now: float) -> float:
    return now + value[1]


def _key(caller: Caller) -> tuple[str | None, ...]:
    token = caller.token
    digest = "" if token is None else sha256(token.reveal().encode()).hexdigest()
    return caller.server_url, caller.app_id, caller.data_env, digest
