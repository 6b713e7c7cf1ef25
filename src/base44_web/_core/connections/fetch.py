"""Fetching connections."""

from __future__ import annotations

from ...errors import AuthenticationError, Base44Error
from ..identity.verify import Identity
from ..incoming.caller import Caller
from ..platform import wire
from ..platform.io import IO
from ..platform.perform import perform
from ..platform.queues import Limiter
from ..values import AppUser, Connection


async def app_user_connection(
    io: IO, identity: Identity, caller: Caller, connector_id: str, *, limiter: Limiter | None = None
) -> Connection | Base44Error:
    """The app user's connection, or why there is none.

    A 401 is about the visitor or, if the platform knows them, about the service token.
    """
    call = wire.get_current_app_user_connection(caller, connector_id)
    outcome = await perform(io, identity.platform, call, limiter=limiter)
    if isinstance(outcome, AuthenticationError) and isinstance(identity.known.get(caller), AppUser):
        outcome.about_visitor = False
        identity.known.drop(caller)  # or about a user whom it refuses by now: the next request asks
    return outcome
