"""Fetching connections: from the cache, from who is asking already, or from the platform.

Caches, the store of a fleet and flights hold plain records. Who asked gets a `Connection` of their own, so that nobody
acts with the credentials of who asked first.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Literal, NamedTuple, cast

from ...errors import AuthenticationError, Base44Error, MeteredConnectorError, RateLimitError
from ..identity.verify import Identity, identify
from ..incoming.caller import Caller
from ..platform import wire
from ..platform.io import IO
from ..platform.perform import board, fly, perform
from ..platform.queues import Flight, Limiter
from ..seldom import Seldom, how_often
from ..values import AppUser, ConnectionRecord
from .known import Connections, Wanted, digest
from .memory import Entry
from .sealing import Kept
from .store import SharedStore, StoreDownError

logger = logging.getLogger("base44_web")

_MAKE: Final = {
    "shared": wire.get_connection,
    "workspace": wire.get_workspace_connection,
    "app_user": wire.get_current_app_user_connection,
}
_PERSONAL: Final = (400, 401, 403, 422)  # what can be about the token or the user of who asks
_SHARED_TRIES: Final = 2
_REFUSED: Final = Seldom(1)


class _Landed(NamedTuple):
    outcome: ConnectionRecord | Base44Error
    caller: Caller  # whose credentials it was asked with


def _credentials(caller: Caller) -> tuple[bytes, bytes]:
    token = caller.token
    return b"" if token is None else token.digest, digest(wire.service_token(caller).reveal())


async def fetch(
    io: IO, connections: Connections, caller: Caller, wanted: Wanted, user: AppUser | None, *, limiter: Limiter,
    fresh: bool = False,
) -> ConnectionRecord | Base44Error:  # fmt: skip
    """A connection that is not at hand, or why there is none.

    Args:
        io: how to wait.
        connections: where to look.
        caller: who asks.
        wanted: for what.
        user: the caller, verified; `None` for one who is not.
        limiter: where calls queue.
        fresh: whether neither the cache nor what somebody else asked for before will do.

    Raises:
        ServiceRoleUnavailableError: there is no service token.
        AuthenticationError: an app user's connection is wanted, and nobody is signed in.
    """
    memory, platform = connections.memory, connections.identity.platform
    end = platform.clock.monotonic() + platform.settings.timeout
    entry = connections.entry(caller, wanted, user)
    if entry is None or memory.ttl == 0 or fresh:
        memory.count("bypasses")
    elif connections.store is None:
        memory.count("misses")
    else:
        kept = await _from_store(io, connections, entry)
        if kept is not None:
            memory.hit(kept.age)
            return kept.record

    def look() -> ConnectionRecord | None:
        return None if entry is None else connections.kept(entry)

    def ask() -> Awaitable[ConnectionRecord | Base44Error]:
        return _through_store(
            io, connections, entry, lambda: _ask(io, connections, caller, wanted, entry, limiter), end=end,
            fresh=fresh,
        )  # fmt: skip

    if fresh:
        outcome = await ask()
    else:
        # What was asked for before a connection ended is not what is wanted after.
        ended = memory.last_end(wanted.connector, entry)
        slow_lane = limiter is platform.unverified
        outcome = await share(io, connections, caller, entry, (wanted, ended, slow_lane), ask, look, end=end)
    if wanted.route == "app_user" and isinstance(outcome, AuthenticationError):
        return await _whose_fault(io, connections.identity, caller, outcome)
    return outcome


def _through_store(
    io: IO, connections: Connections, entry: Entry | None,
    ask: Callable[[], Awaitable[ConnectionRecord | Base44Error]], *, end: float, fresh: bool = False,
    refused: bytes | None = None,
) -> Awaitable[ConnectionRecord | Base44Error]:  # fmt: skip
    """What the store has or gets, where there is one, else what `ask` gives; not the token that a provider refused."""
    store = connections.store
    if store is None or entry is None:
        return ask()
    return _by_the_store(io, connections, store, entry, ask, end, fresh, refused)


async def _by_the_store(
    io: IO, connections: Connections, store: SharedStore, entry: Entry,
    ask: Callable[[], Awaitable[ConnectionRecord | Base44Error]], end: float, fresh: bool, refused: bytes | None,
) -> ConnectionRecord | Base44Error:  # fmt: skip
    """What the store has, or what was asked for it; what `ask` gives, where it is down."""
    memory = connections.memory

    async def asking() -> ConnectionRecord | Base44Error:
        if not fresh:
            memory.count("misses")
        return await ask()

    def will_do(record: ConnectionRecord) -> bool:
        return record.fingerprint != refused and connections.is_current(entry, record)

    try:
        found = await store.fetch(io, entry, asking, will_do, end=end, fresh=fresh, renewing=refused is not None)
    except StoreDownError:  # nobody was asked
        memory.count("failures")
        return await ask()
    if not isinstance(found, Kept):
        return found
    memory.hit(found.age)
    return found.record


async def _ask(
    io: IO, connections: Connections, caller: Caller, wanted: Wanted, entry: Entry | None, limiter: Limiter
) -> ConnectionRecord | Base44Error:
    """What the platform says; kept in this process where that remembers, beside a store only while it is down."""
    platform = connections.identity.platform
    begun = platform.clock.monotonic()
    call = _MAKE[wanted.route](caller, wanted.connector)
    outcome = await perform(io, platform, call, limiter=limiter)
    if isinstance(outcome, ConnectionRecord):
        outcome.asked = begun
        if entry is not None:
            connections.keep(entry, outcome)
    return outcome


async def share(
    io: IO, connections: Connections, caller: Caller, entry: Entry | None, key: tuple[Hashable, ...],
    ask: Callable[[], Awaitable[ConnectionRecord | Base44Error]], look: Callable[[], ConnectionRecord | None], *,
    end: float,
) -> ConnectionRecord | Base44Error:  # fmt: skip
    """One call for all who ask at the same time; who led with credentials that are no good keeps the error.

    Args:
        io: how to wait.
        connections: of which engine.
        caller: who asks.
        entry: what they want; `None` where it is kept nowhere: then only who has the same credentials shares.
        key: what else is the same for all who may share.
        ask: makes the call.
        look: what has come into the cache meanwhile.
        end: when it must be there (monotonic clock).
    """
    platform = connections.identity.platform
    shared: Hashable = (entry, *key)
    if entry is None:
        state = None if caller.state is None else digest(caller.state.reveal())
        shared = (*key, state, _credentials(caller), caller.server_url, caller.app_id, caller.data_env)
    for tries in range(_SHARED_TRIES + 1):
        # After that each alone: they have waited for others long enough.
        together = shared if tries < _SHARED_TRIES else (shared, _credentials(caller))
        boarded = await board(io, platform, together, end=end)
        if isinstance(boarded, Flight):
            with boarded:
                outcome = look() or await ask()  # a call that has just ended may have brought it
                boarded.outcome = _Landed(outcome, caller)
                return outcome
        if not isinstance(boarded, _Landed):
            return cast(Base44Error, boarded)  # it did not come in time
        outcome = boarded.outcome
        if not isinstance(outcome, Base44Error):
            connections.memory.count("joined")
            return outcome
        if not _is_personal(outcome) or _credentials(boarded.caller) == _credentials(caller):
            error = outcome.again()
            error.about_visitor = error.about_visitor and caller.is_visitor
            return error
    raise AssertionError("unreachable")


def _is_personal(error: Base44Error) -> bool:
    return error.status in _PERSONAL and not isinstance(error, MeteredConnectorError)


async def _whose_fault(io: IO, identity: Identity, caller: Caller, refused: AuthenticationError) -> Base44Error:
    """A 401 can be about the user's token or the service token, for both were sent: who is not known is asked about."""
    if isinstance(identity.known.get(caller), AppUser):
        identity.known.drop(caller)  # it may be refused by now: the next request asks
    elif identity.platform.settings.verification != "none":
        try:
            await identify(io, identity, caller)
        except Base44Error as error:
            return error
    refused.about_visitor = False
    if _REFUSED.happened():
        logger.error(
            "The platform refuses the service token: check service_token (BASE44_SERVICE_TOKEN) and app_id.",
            extra={"base44_event": "service_token_refused"},
        )
    return refused


async def renew(
    io: IO, connections: Connections, caller: Caller, wanted: Wanted, used: ConnectionRecord, *, limiter: Limiter
) -> ConnectionRecord | Base44Error:
    """A newer connection than one whose token the provider refused; one call for all who hold that.

    Raises:
        Base44Error: the user is not verified any more, or the provider refuses every token that there is.
    """
    memory = connections.memory
    verifies = wanted.route == "app_user" and connections.identity.platform.settings.verification != "none"
    user = await identify(io, connections.identity, caller) if verifies else None
    entry = connections.entry(caller, wanted, user)
    platform = connections.identity.platform
    end = platform.clock.monotonic() + platform.settings.timeout

    def look() -> ConnectionRecord | None:
        return None if entry is None else connections.newer(entry, used.fingerprint)

    def is_newer(record: ConnectionRecord) -> bool:
        return record.fingerprint != used.fingerprint

    async def reject() -> None:
        if entry is not None:
            memory.reject(entry, used.fingerprint)
            if connections.store is not None:
                with contextlib.suppress(StoreDownError):
                    await connections.store.reject(io, entry, used.fingerprint)

    kept = await _from_store(io, connections, entry)
    newer = look() if kept is None else kept.record
    if newer is not None and is_newer(newer):
        return newer
    whose: Hashable = entry or (wanted, _credentials(caller))
    ended = memory.last_end(wanted.connector, entry)
    renewed = connections.renewals.of(whose, used, ended)
    if isinstance(renewed, ConnectionRecord):
        await reject()  # an older answer may have brought it back
        return renewed
    if renewed is not None:
        return RateLimitError(
            "The provider refuses the newest token that there is: the app user must connect again, or the request asks "
            "for more than was granted.",
            code="renewed_already",
            retry_after=renewed,
        )
    memory.count("renewals")
    await reject()  # not before: where nothing helps it is as good as any, and asked for no more often

    async def ask() -> ConnectionRecord | Base44Error:
        if user is not None:
            try:
                await identify(io, connections.identity, caller, fresh=True)
            except Base44Error as error:
                return error

        outcome = await _through_store(
            io, connections, entry, lambda: _ask(io, connections, caller, wanted, entry, limiter), end=end,
            refused=used.fingerprint,
        )  # fmt: skip
        if isinstance(outcome, ConnectionRecord):
            connections.renewals.note(whose, used, outcome)
            if not is_newer(outcome):
                logger.warning(
                    "The provider refuses the token of a connection (%s), and the platform has no newer one.",
                    outcome.integration_type,
                    extra={"base44_event": "newest_token_refused", "base44_integration_type": outcome.integration_type},
                )
        return outcome

    return await share(io, connections, caller, entry, (wanted, "renew", used.fingerprint, ended), ask, look, end=end)


async def _from_store(io: IO, connections: Connections, entry: Entry | None) -> Kept | None:
    """What the store has; one look for all who want it at the same time."""
    store, platform = connections.store, connections.identity.platform
    if store is None or entry is None:
        return None

    async def look() -> Kept | Literal[False]:  # `None` would have those who wait look once more
        try:
            return await store.get(io, entry) or False
        except StoreDownError:
            return False

    ended = connections.memory.last_end(entry.connector, entry)
    end = platform.clock.monotonic() + min(platform.settings.timeout, store.patience())
    looked = await fly(io, platform, ("stored", entry, ended), look, end=end)
    return looked if isinstance(looked, Kept) and connections.is_current(entry, looked.record) else None


async def end(io: IO, connections: Connections, entry: Entry | None, *, connecting: float | None = None) -> None:
    """Drop a connection of a user's from the store, and what is being fetched of it; see `ConnectionMemory.end`."""
    if connections.store is None or entry is None:
        return
    try:
        await connections.store.end(io, entry, connecting=connecting)
    except StoreDownError:
        tell_of_untold(connections)


def tell_of_untold(connections: Connections) -> None:
    """Log that the store does not know that a connection ended."""
    times = connections.not_told.happened()
    if times:
        logger.warning(
            "The connection_store cannot be told that a connection ended: other servers can use it for up to %g more "
            "seconds (connection_ttl)%s.",
            connections.memory.ttl,
            how_often(times),
            extra={"base44_event": "connection_store_not_told", "base44_times": times},
        )
