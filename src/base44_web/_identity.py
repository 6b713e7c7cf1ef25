"""Who the platform said a token belongs to, remembered for a short time."""

from __future__ import annotations

import threading
import time
from hashlib import sha256
from typing import Final, TypeAlias, final

from cachetools import TLRUCache

from ._claims import expiry
from ._incoming import Caller
from ._secret import Opaque
from ._values import AppUser
from .errors import AuthenticationError, Base44Error

_MOST: Final = 10_000  # of each kind
_REFUSED: Final = 10.0  # seconds

Key: TypeAlias = tuple[str | bytes | None, ...]


@final
class KnownUsers(Opaque):
    """Verified users, and refused tokens, apart: however many are refused, no known user is forgotten.

    By server, app, data environment and the SHA-256 of the whole token; never past its `exp`. One engine has one way
    of verifying, so that is part of the key too.
    """

    __slots__ = ("_lock", "_refused", "_ttl", "_users")

    def __init__(self, ttl: float) -> None:
        self._ttl = ttl
        self._lock = threading.Lock()
        self._users: TLRUCache[Key, tuple[AppUser, float]] = TLRUCache(_MOST, ttu=_until, timer=time.monotonic)
        self._refused: TLRUCache[Key, tuple[Base44Error, float]] = TLRUCache(_MOST, ttu=_until, timer=time.monotonic)

    def recall(self, caller: Caller) -> AppUser | Base44Error | None:
        """What was said of this very token a short time ago: its user, or why it is refused."""
        if self._ttl == 0:
            return None
        key = key_of(caller)
        with self._lock:
            found = self._users.get(key) or self._refused.get(key)
        return None if found is None else found[0]

    def remember(self, caller: Caller, outcome: AppUser | Base44Error) -> None:
        """Keep what was said. A failure to answer says nothing."""
        assert caller.token is not None
        if isinstance(outcome, AuthenticationError):
            if self._ttl > 0:
                with self._lock:
                    self._refused[key_of(caller)] = outcome.again(), min(self._ttl, _REFUSED)
        elif isinstance(outcome, AppUser):
            expires = expiry(caller.token)
            seconds = self._ttl if expires is None else min(self._ttl, expires - time.time())
            if seconds > 0:
                with self._lock:
                    self._users[key_of(caller)] = outcome, seconds

    def forget(self, caller: Caller) -> None:
        """Drop what was said, so that it is asked again."""
        key = key_of(caller)
        with self._lock:
            self._users.pop(key, None)
            self._refused.pop(key, None)

    def after_fork(self) -> None:
        """In the child: another thread may have held the lock."""
        self._lock = threading.Lock()
        self._users.clear()
        self._refused.clear()


def _until(key: object, value: tuple[object, float], now: float) -> float:
    return now + value[1]


def key_of(caller: Caller) -> Key:
    """Under which an answer about the caller's token is kept: the token itself never is."""
    token = caller.token
    digest = b"" if token is None else sha256(token.reveal().encode()).digest()
    return caller.server_url, caller.app_id, caller.data_env, digest
