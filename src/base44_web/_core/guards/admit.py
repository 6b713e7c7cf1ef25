"""The check behind every guard."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeAlias

from ...errors import (
    AuthenticationError,
    Base44Error,
    ConfigurationError,
    PermissionDeniedError,
    ServiceRoleUnavailableError,
)
from .. import telemetry
from ..connections.known import Wanted
from ..engine.context import Context, Steps, connection, identify, remember
from ..platform import wire
from ..platform.io import IO
from ..replies.situations import situation_of
from ..values import AppUser, Connection

_ADMITTED: Final = "admitted"
Step: TypeAlias = Callable[[], Awaitable[AppUser | Connection]]


def at_once(context: Context, connectors: tuple[str, ...], *, fresh: bool = False) -> AppUser | None:
    """The app user, if all that a guard asks for is remembered; `None` where somebody must be asked, as `admit` does.

    Raises:
        Base44Error: the request is malformed.
        ConfigurationError: a connector is not configured.
    """
    try:
        user = None if fresh else context.engine.identity.known.get(context.caller)
        if not isinstance(user, AppUser):
            return None
        settings = context.engine.settings
        for connector in connectors:
            if not _is_at_hand(context, settings.guarded_id(connector), user):
                return None
    except (Base44Error, ConfigurationError) as error:
        telemetry.decided(situation_of(error).slug)
        raise
    telemetry.decided(_ADMITTED)
    context.admitted = user
    return user


def admit(io: IO, context: Context, connectors: tuple[str, ...] = (), *, fresh: bool = False) -> Steps[AppUser]:
    """A guard's decision, where `at_once` has none. As `check`."""
    steps = check(io, context, connectors, fresh=fresh)
    return _told(steps) if telemetry.is_on() else steps


async def _told(steps: Steps[AppUser]) -> AppUser:
    try:
        user = await steps
    except (Base44Error, ConfigurationError) as error:
        telemetry.decided(situation_of(error).slug)
        raise
    telemetry.decided(_ADMITTED)
    return user


async def check(io: IO, context: Context, connectors: tuple[str, ...] = (), *, fresh: bool = False) -> AppUser:
    """Verify the app user and fetch their connections, at the same time; both stay at hand for this request.

    Args:
        io: how to wait.
        context: the request's.
        connectors: what must be connected: configured names, or IDs.
        fresh: whether only connections count that the platform gives now.

    Raises:
        AuthenticationError: nobody is signed in, or the token is refused.
        NotConnectedError: a connector is not connected.
        ServiceRoleUnavailableError: there is no service role, or the platform refuses it.
        ConfigurationError: a connector is not configured.
        Base44Error: the request is malformed, or the platform is failing.
    """
    identifiers = [context.engine.settings.guarded_id(connector) for connector in connectors]
    token = wire.user_token(context.caller)
    known = context.engine.identity.known
    user: AppUser | Base44Error | None = known.get(context.caller)
    if isinstance(user, Base44Error) or (
        user is None and token.dead_reason(context.engine.platform.clock.time()) is not None
    ):
        return await identify(io, context)  # raises; nobody is asked about such a token
    if user is None and (context.engine.identity.keys is not None or context.engine.connections.store is not None):
        # With keys most often without a call: nobody is asked about a forged token. With a store, which has things for
        # users who are known alone, it is worth the wait.
        user = await identify(io, context)
    was_known = user is not None
    missing = identifiers if fresh else [each for each in identifiers if not _is_at_hand(context, each, user)]
    if was_known and not missing:
        return _admitted(context, user)

    async def verified() -> AppUser | Connection:
        return await identify(io, context)

    async def fetched(identifier: str) -> AppUser | Connection:
        return await connection(io, context, "app_user", identifier, fresh=fresh)

    calls: list[Step] = [*([] if was_known else [verified]), *(partial(fetched, identifier) for identifier in missing)]
    outcomes = await io.gather(*calls)
    if not was_known:
        user = _user(outcomes.pop(0))
    for identifier, outcome in zip(missing, outcomes, strict=True):
        if isinstance(outcome, AuthenticationError | PermissionDeniedError):
            if was_known:
                known.drop(context.caller)
                await identify(io, context)  # raises if it is the user whom the platform refuses by now
            # The platform has just verified the user, so it is the service token that it refuses.
            raise ServiceRoleUnavailableError(
                "The platform refused the service role: check service_token (BASE44_SERVICE_TOKEN) and app_id.",
                code="service_token_refused",
            )
        if isinstance(outcome, Base44Error):
            raise outcome
        assert isinstance(outcome, Connection)
        if not was_known:
            remember(context, identifier, _user(user), outcome._record)
        context.keep(Wanted("app_user", identifier), outcome._record)
    return _admitted(context, user)


def _is_at_hand(context: Context, identifier: str, user: AppUser | None) -> bool:
    """Whether a connection needs no waiting for: an outer guard had it, or the cache has."""
    if context.has(identifier):
        return True
    if user is None:
        return False
    wanted = Wanted("app_user", identifier)
    kept = context.engine.connections.at_hand(context.caller, wanted, user)
    if kept is not None:
        context.keep(wanted, kept)
    return kept is not None


def _admitted(context: Context, outcome: object) -> AppUser:
    context.admitted = user = _user(outcome)
    return user


def _user(outcome: object) -> AppUser:
    if isinstance(outcome, Base44Error):
        raise outcome
    assert isinstance(outcome, AppUser)
    return outcome
