"""Connections as the platform gave them a short time ago, in this process."""

from __future__ import annotations

import math
import threading
from typing import Final, Literal, NamedTuple, TypeAlias, final

from cachetools import LRUCache

from .. import telemetry
from ..clock import Clock
from ..secret import Opaque
from ..values import ConnectionRecord

Route: TypeAlias = Literal["shared", "workspace", "app_user"]

_MOST: Final = 10_000
_MOST_BYTES: Final = 32 * 1024 * 1024
_LEAST_SIZE: Final = _MOST_BYTES // _MOST + 1  # so that one measure bounds both
_ANYBODY: Final = ""
_TOLD: Final = {
    "misses": "miss", "joined": "joined", "bypasses": "bypass", "renewals": "renewal", "failures": "store_down",
}  # fmt: skip
CONNECTING: Final = 300.0  # seconds that people have for the provider's pages


class Entry(NamedTuple):
    """Under which a connection is kept: never under what only a request claims.

    One engine has one server of identities and one way of verifying, so these are not in it.

    Attributes:
        user_id: the verified user's; `None` for what the whole app shares.
        service: the digest of the service token, where each request brings its own that nobody has verified.
    """

    route: Route
    connector: str
    server_url: str
    app_id: str
    data_env: str | None
    user_id: str | None
    service: bytes | None


class ConnectionCounts(NamedTuple):
    """What became of the requests for connections, since the process began.

    Attributes:
        hits: answered from the cache.
        misses: the platform was asked.
        joined: answered with what somebody else was asking for.
        bypasses: that the cache has no say in: `fresh=True`, a user nobody has verified, `connection_ttl=0`.
        renewals: the provider had refused a token.
        age: seconds, the sum of the ages of all hits.
        oldest: seconds, the oldest hit.
        failures: the `connection_store` could not be asked, and the platform was.
    """

    hits: int = 0
    misses: int = 0
    joined: int = 0
    bypasses: int = 0
    renewals: int = 0
    age: float = 0.0
    oldest: float = 0.0
    failures: int = 0


@final
class ConnectionMemory(Opaque):
    """Bounded in entries and in bytes. What ends meanwhile no fill brings back.

    Args:
        ttl: seconds that a connection is kept; 0 for not at all.
        clock: the time.
    """

    __slots__ = ("_clock", "_connecting", "_ended", "_kept", "_lock", "counts", "ttl")

    def __init__(self, ttl: float, clock: Clock) -> None:
        self.ttl = ttl
        self._clock = clock
        self.counts: dict[str, float] = dict.fromkeys(ConnectionCounts._fields, 0)
        self.after_fork()

    def after_fork(self) -> None:
        """In the child: another thread may have held the lock."""
        self._lock = threading.Lock()
        # They know when they were asked for: cachetools' own expiry costs three times as much on a hit.
        self._kept: LRUCache[Entry, ConnectionRecord] = LRUCache(_MOST_BYTES, getsizeof=_size)
        # Of a connector and a user, of every user's (None), of every connector's of a user.
        self._ended: LRUCache[tuple[str | None, str | None], float] = LRUCache(_MOST)
        self._connecting: dict[tuple[str, str | None], float] = {}

    def get(self, entry: Entry, most: float = math.inf) -> ConnectionRecord | None:
        """What is kept, for `most` seconds at most. Counted."""
        if self.ttl == 0:
            return None
        now = self._clock.monotonic()
        with self._lock:
            try:
                found = self._kept[entry]  # half of what `get` takes
            except KeyError:
                return None
            age = now - found.asked
            if age >= self.ttl or age >= most:
                return None
            self._hit(age)
        telemetry.cached("hit")
        return found

    def hit(self, age: float) -> None:
        """Count what came from the store of a fleet, so many seconds old."""
        with self._lock:
            self._hit(age)
        telemetry.cached("store")

    def _hit(self, age: float) -> None:
        counts = self.counts
        counts["hits"] += 1
        counts["age"] += age
        if age > counts["oldest"]:
            counts["oldest"] = age

    def put(self, entry: Entry, record: ConnectionRecord) -> None:
        """Keep a record; not what has ended since it was asked for, nor what is about to change."""
        if self.ttl == 0:
            return
        size, asked = _size(record), record.asked
        with self._lock:
            if size > _MOST_BYTES // 16 or self._last_end(entry) >= asked:
                return
            for user in (entry.user_id, None) if self._connecting else ():
                if self._connecting.get((entry.connector, user), 0.0) > asked:
                    return
            kept = self._kept.get(entry)
            if kept is None or kept.asked <= asked:  # else a newer one has overtaken it
                self._kept[entry] = record

    def newer(self, entry: Entry, fingerprint: bytes, most: float = math.inf) -> ConnectionRecord | None:
        """What is kept, for `most` seconds at most, if it is another than that whose token the provider refused."""
        now = self._clock.monotonic()
        with self._lock:
            found = self._kept.get(entry)
        is_newer = found is not None and now - found.asked < min(self.ttl, most) and found.fingerprint != fingerprint
        return found if is_newer else None

    def reject(self, entry: Entry, fingerprint: bytes) -> None:
        """Drop the record whose token the provider refused, if it is what is kept."""
        with self._lock:
            found = self._kept.get(entry)
            if found is not None and found.fingerprint == fingerprint:
                del self._kept[entry]

    def end(self, connector: str | None, user_id: str | None, *, connecting: float | None = None) -> None:
        """Drop a connector of a user, of everybody (`None`), or all of a user's, and what is being fetched of it.

        For `connecting` seconds, which account it is is being decided at the provider's: until then nothing of it is
        kept.
        """
        with self._lock:
            now = self._clock.monotonic()  # in here: of two who end it, the later moment stays
            gone = [
                entry for entry in self._kept
                if connector in (None, entry.connector) and user_id in (None, entry.user_id)
            ]  # fmt: skip
            for entry in gone:
                del self._kept[entry]
            self._ended[connector, user_id] = self._ended[connector, _ANYBODY] = now
            if connecting is not None and connector is not None:
                self._connecting = {key: until for key, until in self._connecting.items() if until > now}
                key = connector, user_id
                self._connecting[key] = max(self._connecting.get(key, 0.0), now + connecting)

    def last_end(self, connector: str, entry: Entry | None) -> float:
        """When it ended last, for anybody where there is no entry: what was asked for before is not wanted after."""
        with self._lock:
            return self._ended.get((connector, _ANYBODY), -math.inf) if entry is None else self._last_end(entry)

    def _last_end(self, entry: Entry) -> float:
        if not self._ended:
            return -math.inf
        connector, user = entry.connector, entry.user_id
        keys = ((connector, user), (connector, None), (None, user))
        return max(self._ended.get(key, -math.inf) for key in keys)

    def count(self, name: str) -> None:
        """One more."""
        with self._lock:
            self.counts[name] += 1
        telemetry.cached(_TOLD[name])


def _size(record: ConnectionRecord) -> int:
    """About what a record takes, in bytes."""
    texts = (record.token.reveal(), *(text for pair in (record.config or {}).items() for text in pair))
    return max(_LEAST_SIZE, 1000 + sum(4 * len(text) for text in texts))
