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
_MOST_BYTES: Final = 64 * 1024 * 1024  # of users, about; some 10,000 with records of 2 kB
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

    __slots__ = ("_clock", "_lock", "_refused", "_ttl", "_users", "_verified")

    def __init__(self, ttl: float, clock: Clock) -> None:
        self._clock = clock
        self._ttl = ttl
        self._lock = threading.Lock()
        # With the end of each on the monotonic clock: cachetools' own expiry costs three times as much on a hit.
        self._users: LRUCache[Key, tuple[AppUser, float]] = LRUCache(_MOST_BYTES, getsizeof=_size)
        self._refused: LRUCache[Key, tuple[Base44Error, float]] = LRUCache(_MOST)
        self._verified: LRUCache[Key, None] = LRUCache(_MOST)

    def get(self, caller: Caller) -> AppUser | Base44Error | None:
        """What was said of this very token a short time ago: its user, or why it is refused."""
        if self._ttl == 0:
            return None
        key = token_key(caller)
        with self._lock:
            try:
                found: tuple[AppUser | Base44Error, float] | None = self._users[key]  # half of what `get` takes
            except KeyError:
                found = self._refused.get(key)
        return found[0] if found is not None and self._clock.monotonic() < found[1] else None

    def put(self, caller: Caller, outcome: AppUser | Base44Error) -> None:
        """Keep what was said. A failure to answer says nothing, nor does a key that may be fetched by the next time."""
        assert caller.token is not None
        key = token_key(caller)
        if isinstance(outcome, AuthenticationError):
            if outcome.code == "unknown_key":
                return
            with self._lock:
                self._users.pop(key, None)
                self._verified.pop(key, None)
                if self._ttl > 0:
                    self._refused[key] = outcome.small(), self._clock.monotonic() + min(self._ttl, _REFUSED)
        elif isinstance(outcome, AppUser):
            expires = caller.token.expiry
            seconds = self._ttl if expires is None else min(self._ttl, expires - self._clock.time())
            with self._lock:
                self._verified[key] = None
            if seconds > 0 and _size((outcome, 0.0)) <= _MOST_BYTES // 16:
                with self._lock:
                    self._refused.pop(key, None)
                    self._users[key] = outcome, self._clock.monotonic() + seconds

    def was_verified(self, caller: Caller) -> bool:
        """Whether a token was verified, a short time ago or before that: it takes no place among the unknown."""
        return token_key(caller) in self._verified

    def drop(self, caller: Caller) -> None:
        """Forget what was said of a token, so that it is asked again."""
        key = token_key(caller)
        with self._lock:
            self._users.pop(key, None)
            self._refused.pop(key, None)
            self._verified.pop(key, None)

    def forget(self, user_id: str) -> None:
        """Forget a user, whichever tokens they came with."""
        with self._lock:
            for key in [key for key, (user, _) in self._users.items() if user.id == user_id]:
                del self._users[key]
                self._verified.pop(key, None)

    def clear(self) -> None:
        """Forget everything: a key has gone."""
        with self._lock:
            self._users.clear()
            self._refused.clear()
            self._verified.clear()

    def after_fork(self) -> None:
        """In the child: another thread may have held the lock."""
        self._lock = threading.Lock()
        self.clear()


def _size(entry: tuple[AppUser, float]) -> int:
    # What the record's text takes, thrice for the objects around it, and what an empty object or list takes: an
    # estimate, where only a bound is wanted.
    text = str(entry[0].raw)
    return 500 + 3 * len(text) + 64 * (text.count("{") + text.count("["))
