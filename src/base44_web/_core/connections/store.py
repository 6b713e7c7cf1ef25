"""Connections in a store that a fleet of servers shares: one of them asks the platform, for all.

Own code: a lock that a dead server lets go, and a store whose failure is nobody's, are what no cache library gives.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast, final

from ...errors import Base44Error
from ..clock import Clock
from ..config import Settings
from ..platform.io import IO
from ..platform.perform import take
from ..platform.queues import Limiter
from ..secret import Opaque
from ..transport.pools import Pools
from ..values import ConnectionRecord
from .breaker import Breaker
from .memory import CONNECTING, Entry
from .redis_clients import SECONDS, stores_of
from .sealing import PREFIX, Kept, Sealing, Spot

_LOCK: Final = 3.0  # seconds after which a server that asks is taken for dead
_FAILED: Final = 1.0  # seconds for which nobody waits for others, after who asked had no success
_GENERATION: Final = 900.0  # seconds: longer than anything that was fetched in one is on its way, or kept
_PLACES: Final = 8  # connections of a process; a command takes a fraction of a millisecond
_STALLED: Final = 1.5 * SECONDS
_QUEUE: Final = 0.25  # seconds to wait for one
_LOOK: Final = 0.005  # seconds between two looks at what somebody else is asking for; more, as they take longer

# A missing key is `false` in Lua. All keys of a script are in one slot of a cluster.
# Who waits is told to ask at once where nothing that others ask for will be kept.
_TAKE: Final = """
local holder = redis.call('GET', KEYS[3])
local taken = not holder or holder == ARGV[1] or ARGV[5] == '1'
if taken then redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[3]) end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[4], 'NX')
local value = redis.pcall('GET', KEYS[1])
if type(value) == 'table' then value = false end
return {taken and 1 or 0, value, redis.call('GET', KEYS[2]), redis.call('EXISTS', KEYS[4], KEYS[5])}
"""
_PUT: Final = """
if redis.call('GET', KEYS[3]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[3])
if redis.call('GET', KEYS[2]) ~= ARGV[2] or redis.call('EXISTS', KEYS[4]) == 1 then return 0 end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
return 1
"""
_LEAVE: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
if ARGV[2] ~= '0' then redis.call('SET', KEYS[2], '1', 'PX', ARGV[2]) end
return 1
"""
_REJECT: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
# First what frees memory: a store that is full lets no script begin with what takes some.
_END: Final = """
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if ARGV[4] == '1' then redis.call('SET', KEYS[3], '1', 'PX', ARGV[3])
elseif ARGV[3] ~= '0' then redis.call('SET', KEYS[3], '1', 'PX', ARGV[3], 'NX') end
return 1
"""


class StoreDownError(Exception):
    """The store cannot be asked: the platform is."""


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


@final
class SharedStore(Opaque):
    """Keeps connections in a Redis, for all servers that have the same `secret`.

    Nothing here raises but `StoreDownError`, and where the store is down, slow, full, or holds what it should not, the
    platform is asked instead.

    Raises:
        ConfigurationError: a package is missing, or the address is no good.
    """

    __slots__ = ("_clock", "_limiter", "_nonce", "_pools", "_renewing", "_sealings", "_ttl", "breaker")

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._clock = clock
        self._ttl = settings.connection_ttl
        self._sealings = [Sealing(secret, settings) for secret in settings.secret]
        assert settings.connection_store is not None
        factory = stores_of(settings.connection_store, settings.ca_file)
        self._pools: Pools[Any, Any] = Pools(factory)

        def probe() -> None:
            client = factory.open()
            try:
                spot = f"{PREFIX}{{{os.urandom(16).hex()}}}:probe"
                keys = [f"{spot}{number}" for number in range(5)]
                client.mget(keys)
                client.eval(_TAKE, 5, *keys, b"1", b"1", 1000, 1000, 0)
                client.eval(_PUT, 4, *keys[:3], keys[4], b"1", b"1", b"1", 1000, 1000)
                client.eval(_END, 3, *keys[:3], b"1", 1000, 1, 1)
            finally:
                client.close()

        self.breaker = Breaker(clock, probe)
        self.after_fork()

    def after_fork(self) -> None:
        """In the child: nothing of the parent's goes on."""
        self._limiter = Limiter(_PLACES, 1000)
        self._nonce, self._renewing = os.urandom(16), os.urandom(16)
        for sealing in self._sealings:
            sealing.after_fork()
        self._pools.after_fork()
        self.breaker.after_fork()

    def close(self) -> None:
        """Close the blocking connections."""
        self.breaker.close()
        self._pools.close()

    async def aclose(self) -> None:
        """Close the blocking connections and the running event loop's."""
        self.breaker.close()
        await self._pools.aclose()

    def patience(self) -> float:
        """Seconds after which `get` has ended, but for a server that has no time for it."""
        return _QUEUE + 3 * SECONDS

    async def get(self, io: IO, entry: Entry) -> Kept | None:
        """What is kept; with several secrets, under any of them.

        Raises:
            StoreDownError
        """
        for sealing in self._sealings:
            spot = sealing.spot(entry)
            value, generation = await self._do(io, spot.look)
            found = self._opened(sealing, spot, value, generation)
            if found is not None:
                return found
        return None

    async def fetch(
        self, io: IO, entry: Entry, ask: Callable[[], Awaitable[ConnectionRecord | Base44Error]],
        will_do: Callable[[ConnectionRecord], bool], *, end: float, fresh: bool = False, renewing: bool = False,
    ) -> Kept | ConnectionRecord | Base44Error:  # fmt: skip
        """A connection: what is kept, or what somebody else is asking the platform for, or else what `ask` gives.

        Args:
            io: how to wait.
            entry: which.
            ask: asks the platform.
            will_do: whether a record that is kept is good enough.
            end: when the whole must have ended (monotonic clock).
            fresh: whether none that is kept is.
            renewing: whether a provider refused what was kept: nothing that was asked for before takes its lock.

        Raises:
            StoreDownError: nobody was asked.
        """
        sealing = self._sealings[0]
        nonce = os.urandom(16) if fresh else self._renewing if renewing else self._nonce
        spot = sealing.spot(entry)
        begun = self._clock.monotonic()
        patience = min(_LOCK, (end - begun) / 2)
        while True:
            arguments = (nonce, os.urandom(16), _milliseconds(_LOCK), _milliseconds(_GENERATION), int(fresh))
            taken, value, generation, failed = await self._eval(
                io, _TAKE, (spot.value, spot.generation, spot.lock, spot.failed, spot.connecting), *arguments
            )
            kept = None if fresh else self._opened(sealing, spot, value, generation)
            if kept is not None and will_do(kept.record):
                if taken:
                    await self._eval(io, _LEAVE, (spot.lock, spot.failed), nonce, 0)
                return kept
            waited = self._clock.monotonic() - begun
            if taken:
                return await self._lead(io, sealing, spot, ask, nonce, generation)
            if failed or waited >= patience:
                return await ask()
            await io.sleep(min(max(_LOOK, waited / 20), patience - waited))

    async def _lead(
        self, io: IO, sealing: Sealing, spot: Spot, ask: Callable[[], Awaitable[ConnectionRecord | Base44Error]],
        nonce: bytes, generation: object,
    ) -> ConnectionRecord | Base44Error:  # fmt: skip
        async def leave(failed: float = _FAILED, *, trips: bool = True) -> None:
            mark = _milliseconds(failed) if failed else 0
            with contextlib.suppress(StoreDownError):  # it lets go of the lock by itself
                await self._eval(io, _LEAVE, (spot.lock, spot.failed), nonce, mark, trips=trips)

        try:
            outcome = await ask()
        except Exception:  # this server's own mistake: the others are not to wait for it
            await leave()
            raise
        except BaseException:  # whoever asked has hung up: one of those who wait leads
            # A loop that ends with it closes the connection in the middle, which says nothing of the store.
            io.begin(lambda: leave(0, trips=False))
            raise
        age = self._clock.monotonic() - outcome.asked if isinstance(outcome, ConnectionRecord) else 0.0
        if isinstance(outcome, ConnectionRecord) and isinstance(generation, bytes) and age < self._ttl:
            sealed = sealing.seal(spot, outcome, generation=generation, issued=self._clock.time() - age)
            keys = (spot.value, spot.generation, spot.lock, spot.connecting)
            times = (_milliseconds(self._ttl - age), _milliseconds(_GENERATION))
            with contextlib.suppress(StoreDownError):
                await self._eval(io, _PUT, keys, nonce, generation, sealed, *times)
        else:  # who waits has nothing to wait for
            await leave()
        return outcome

    async def reject(self, io: IO, entry: Entry, fingerprint: bytes) -> None:
        """Drop the record whose token the provider refused, if it is what is kept.

        Raises:
            StoreDownError
        """
        for sealing in self._sealings:
            spot = sealing.spot(entry)
            value, generation = await self._do(io, spot.look)
            kept = self._opened(sealing, spot, value, generation)
            if kept is not None and kept.record.fingerprint == fingerprint:
                await self._eval(io, _REJECT, (spot.value,), cast(bytes, value))

    async def end(self, io: IO, entry: Entry, *, connecting: float | None = None) -> None:
        """Drop what is kept of an entry's user, and what is being fetched; see `ConnectionMemory.end`.

        Raises:
            StoreDownError: it lives on, `connection_ttl` at most.
        """
        for sealing in self._sealings:
            spot = sealing.spot(entry)
            mark = 0 if connecting is None else _milliseconds(connecting)
            keys = (spot.generation, spot.value, spot.connecting)
            is_whole = connecting == CONNECTING  # a shorter mark does not cut it
            times = (_milliseconds(_GENERATION), mark, int(is_whole))
            await self._eval(io, _END, keys, os.urandom(16), *times)

    def _opened(self, sealing: Sealing, spot: Spot, value: object, generation: object) -> Kept | None:
        if not isinstance(value, bytes) or not isinstance(generation, bytes):
            return None
        kept = sealing.open(spot, value, generation=generation, now=self._clock.time(), ttl=self._ttl)
        if kept is not None:
            kept.record.asked = self._clock.monotonic() - kept.age
        return kept

    async def _eval(
        self, io: IO, script: str, keys: tuple[str, ...], *arguments: bytes | int, trips: bool = True
    ) -> Any:
        return await self._do(io, lambda client: client.eval(script, len(keys), *keys, *arguments), trips=trips)

    async def _do(self, io: IO, call: Callable[[Any], Any], *, again: bool = True, trips: bool = True) -> Any:
        if self.breaker.is_open:
            raise StoreDownError
        try:
            place = self._limiter.ask()
            if place is not None:
                await take(place, io, self._limiter, _QUEUE)
        except Base44Error:
            raise StoreDownError from None
        began = time.monotonic()
        try:
            if self.breaker.is_open:  # by now
                raise StoreDownError
            return await io.use(self._pools, call)
        except StoreDownError:
            raise
        except Exception as error:  # noqa: BLE001 - of whichever client it is
            failed = error
        finally:
            self._limiter.leave()
        # Longer than a client waits: then this process had no time to read an answer that may well be there.
        if again and time.monotonic() - began > _STALLED:
            return await self._do(io, call, again=False, trips=trips)
        if trips:
            self.breaker.trip(failed)
        raise StoreDownError
