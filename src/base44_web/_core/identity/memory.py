"""Whose token it is, as verified a short time ago."""

from __future__ import annotations

import threading
from typing import Final, TypeAlias, final

from cachetools import LRUCache

from ...errors import AuthenticationError, Base44Error
from ..clock import Clock
from ..incoming.caller import Caller
from ..secret import Opaque
from ..values import AppUser

_MOST: Final = 10_000  # of each kind
_REFUSED: Final = 10.0  # seconds

Key: TypeAlias = tuple[str | bytes | None, ...]


def token_key(caller: Caller) -> Key:
    """Under which an answer about the caller's token is kept: the token itself never is."""
    digest = b"" if caller.token is None else caller.token.digest
    return caller.server_url, caller.app_id, caller.data_env, digest


@final
class KnownTokens(Opaque):
    """Verified users, and refused tokens, apart: however many are refused, no known user is forgotten.

    By server, app, data environment and the SHA-256 of the whole token; never past its `exp`. One engine has one way
    of verifying, so that is part of the key too.
    """

    __slots__ = ("_clock", "_lock", "_refused", "_ttl", "_users")

    def __init__(self, ttl: float, clock: Clock) -> None:
        self._clock = clock
        self._ttl = ttl
        self._lock = threading.Lock()
        # With the end of each on the monotonic clock: cachetools' own expiry costs three times as much on a hit.
        self._users: LRUCache[Key, tuple[AppUser, float]] = LRUCache(_MOST)
        self._refused: LRUCache[Key, tuple[Base44Error, float]] = LRUCache(_MOST)

    def get(self, caller: Caller) -> AppUser | Base44Error | None:
        """What was said of this very token a short time ago: its user, or why it is refused."""
        if self._ttl == 0:
            return None
        key = token_key(caller)
        with self._lock:
            found = self._users.get(key) or self._refused.get(key)
        return found[0] if found is not None and self._clock.monotonic() < found[1] else None

    def put(self, caller: Caller, outcome: AppUser | Base44Error) -> None:
        """Keep what was said. A failure to answer says nothing, nor does a key that may be fetched by the next time."""
        assert caller.token is not None
        key = token_key(caller)
        if isinstance(outcome, AuthenticationError):
            if self._ttl > 0 and outcome.code != "unknown_key":
                with self._lock:
                    self._users.pop(key, None)
                    self._refused[key] = outcome.again(), self._clock.monotonic() + min(self._ttl, _REFUSED)
        elif isinstance(outcome, AppUser):
            expires = caller.token.expiry
            seconds = self._ttl if expires is None else min(self._ttl, expires - self._clock.time())
            if seconds > 0:
                with self._lock:
                    self._refused.pop(key, None)
                    self._users[key] = outcome, self._clock.monotonic() + seconds

    def drop(self, caller: Caller) -> None:
        """Forget what was said of a token, so that it is asked again."""
        key = token_key(caller)
        with self._lock:
            self._users.pop(key, None)
            self._refused.pop(key, None)

    def clear(self) -> None:
        """Forget everything: a key has gone."""
        with self._lock:
            self._users.clear()
            self._refused.clear()

    def after_fork(self) -> None:
        """In the child: another thread may have held the lock."""
        self._lock = threading.Lock()
        self.clear()
