"""What ends a connection: connecting anew, disconnecting, forgetting a user. Nothing older is used from then on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final, TypeVar

from ...errors import AuthenticationError, Base44Error
from ..connections.fetch import end, tell_of_untold
from ..connections.known import Wanted
from ..connections.memory import CONNECTING, Entry
from ..incoming.caller import Caller
from ..platform import wire
from ..platform.io import IO
from ..platform.wire import Call
from ..secret import Secret
from ..telemetry import observed
from ..values import AppUser
from .context import Context, Steps, call, identify

T = TypeVar("T")

_ON_THE_WAY: Final = 5.0  # seconds after a call's own time, in which what it began at the platform may still show


def connect(io: IO, context: Context, connector_id: str) -> Steps[Secret]:
    """Begin to connect the app user: the URL to send them to. Nothing older is used from now on."""
    steps = _ending(io, context, wire.connect_app_user, connector_id, connecting=True)
    return observed("connect_app_user", context.engine.settings, connector_id, steps)


def disconnect(io: IO, context: Context, connector_id: str) -> Steps[None]:
    """Disconnect the app user."""
    steps = _ending(io, context, wire.disconnect_app_user, connector_id)
    return observed("disconnect_app_user", context.engine.settings, connector_id, steps)


async def _ending(
    io: IO, context: Context, make: Callable[[Caller, str], Call[T]], connector_id: str, *, connecting: bool = False
) -> T:
    connections = context.engine.connections
    user, memory = context.known_user(), connections.memory
    is_told = connections.store is not None and context.engine.settings.verification != "none"
    if user is None and is_told:
        with contextlib.suppress(Base44Error):  # the platform's answer to the call itself says more
            user = await identify(io, context)
    context.drop(connector_id)
    if user is None:  # everybody's connections of it end, and so only for whom the platform knows
        outcome = await call(io, context, make, connector_id)
        memory.end(connector_id, None, connecting=CONNECTING if connecting else None)
        if is_told:
            tell_of_untold(connections)
        return outcome
    entry = _entry(context, connector_id, user)
    # Until the platform has answered nobody is away; but its answer, or what is told after it, may be lost.
    away = context.engine.settings.timeout + _ON_THE_WAY if connecting else None
    memory.end(connector_id, user.id, connecting=away)
    await end(io, connections, entry, connecting=away)
    away = None
    try:
        outcome = await call(io, context, make, connector_id)
        away = CONNECTING if connecting else None
        return outcome
    finally:  # what was asked for meanwhile may be the old one
        memory.end(connector_id, user.id, connecting=away)
        await end(io, connections, entry, connecting=away)


def _entry(context: Context, connector_id: str, user: AppUser) -> Entry:
    return context.engine.connections.entry_of(context.caller, Wanted("app_user", connector_id), user.id)


def forget(io: IO, context: Context, user: AppUser | str | None) -> Steps[None]:
    """Forget what is remembered of a user, by default of the request's own."""
    return observed("forget", context.engine.settings, None, _forget(io, context, user))


async def _forget(io: IO, context: Context, user: AppUser | str | None) -> None:
    identity = context.engine.identity
    if user is None:
        if context.caller.token is None:
            return
        try:
            user = await identify(io, context)
        except AuthenticationError:  # nothing is remembered under a token that is refused
            identity.known.drop(context.caller)
            return
    user_id = user if isinstance(user, str) else user.id
    connections = context.engine.connections
    identity.known.forget(user_id)
    connections.memory.end(None, user_id)
    # One connector's end is the end of all that the store has of a user.
    await end(io, connections, connections.entry_of(context.caller, Wanted("app_user", ""), user_id))
    context.drop(None)
