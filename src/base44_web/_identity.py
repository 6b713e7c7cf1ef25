"""Who the platform said a token belongs to, remembered for a short time."""

from __future__ import annotations

import math
import threading
import time
from hashlib import sha256
from typing import Final, TypeAlias, final

from cachetools import LRUCache

from ._claims import expiry
from ._incoming import Caller
from ._secret import Opaque
from ._values import AppUser
from .errors import AuthenticationError, Base44Error

_MOST: Final = 10_000  # of each kind
_REFUSED: Final = 10.0  # seconds
_STATUS: Final = 1.0  # second

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
        # With the end of each on the monotonic clock: cachetools' own expiry costs three times as much on a hit.
        self._users: LRUCache[Key, tuple[AppUser, float]] = LRUCache(_MOST)
        self._refused: LRUCache[Key, tuple[Base44Error, float]] = LRUCache(_MOST)

    def recall(self, caller: Caller) -> AppUser | Base44Error | None:
        """What was said of this very token a short time ago: its user, or why it is refused."""
        if self._ttl == 0:
            return None
        key = key_of(caller)
        with self._lock:
            found = self._users.get(key) or self._refused.get(key)
        return found[0] if found is not None and time.monotonic() < found[1] else None

    def remember(self, caller: Caller, outcome: AppUser | Base44Error) -> None:
        """Keep what was said. A failure to answer says nothing."""
        assert caller.token is not None
        if isinstance(outcome, AuthenticationError):
            if self._ttl > 0:
                with self._lock:
                    self._users.pop(key_of(caller), None)
                    self._refused[key_of(caller)] = outcome.again(), time.monotonic() + min(self._ttl, _REFUSED)
        elif isinstance(outcome, AppUser):
            expires = expiry(caller.token)
            seconds = self._ttl if expires is None else min(self._ttl, expires - time.time())
            if seconds > 0:
                with self._lock:
                    self._refused.pop(key_of(caller), None)
                    self._users[key_of(caller)] = outcome, time.monotonic() + seconds

    def forget(self, caller: Caller) -> None:
        """Drop what was said, so that it is asked again."""
        key = key_of(caller)
        with self._lock:
            self._users.pop(key, None)
            self._refused.pop(key, None)

    def clear(self) -> None:
        """Drop all that was said: a key has gone."""
        with self._lock:
            self._users.clear()
            self._refused.clear()

    def after_fork(self) -> None:
        """In the child: another thread may have held the lock."""
        self._lock = threading.Lock()
        self.clear()


@final
class Statuses(Opaque):
    """What the platform said of users' connections within the last second, or that it failed: pages ask and ask."""

    __slots__ = ("_ended", "_known", "_lock")

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        """In the child: another thread may have held the lock."""
        self._lock = threading.Lock()
        self._known: LRUCache[Key, tuple[bool | Base44Error, float]] = LRUCache(_MOST)
        self._ended: LRUCache[Key, float] = LRUCache(_MOST)

    def recall(self, key: Key) -> bool | Base44Error | None:
        """What was said, or `None`."""
        with self._lock:
            said, until = self._known.get(key, (None, 0.0))
        return said if time.monotonic() < until else None

    def remember(self, key: Key, said: bool | Base44Error, *, asked: float) -> None:
        """Keep what was said to who asked then (monotonic clock); not if the user has disconnected since."""
        with self._lock:
            if self._ended.get(key, -math.inf) < asked:
                self._known[key] = said, time.monotonic() + _STATUS

    def forget(self, key: Key) -> None:
        """The user has disconnected."""
        with self._lock:
            self._known.pop(key, None)
            self._ended[key] = time.monotonic()


def status_key(caller: Caller, user: AppUser, connector: str) -> Key:
    """Under which a user's status is kept, whichever token they came with."""
    return caller.server_url, caller.app_id, caller.data_env, user.id, connector


def key_of(caller: Caller) -> Key:
    """Under which an answer about the caller's token is kept: the token itself never is."""
    token = caller.token
    digest = b"" if token is None else sha256(token.reveal().encode()).digest()
    return caller.server_url, caller.app_id, caller.data_env, digest
