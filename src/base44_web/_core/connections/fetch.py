"""Fetching connections."""

from __future__ import annotations

import logging

from ...errors import AuthenticationError, Base44Error
from ..identity.verify import Identity, identify
from ..incoming.caller import Caller
from ..platform import wire
from ..platform.io import IO
from ..platform.perform import perform
from ..platform.queues import Limiter
from ..values import AppUser, Connection

logger = logging.getLogger("base44_web")


async def app_user_connection(
    io: IO, identity: Identity, caller: Caller, connector_id: str, *, limiter: Limiter | None = None
) -> Connection | Base44Error:
    """The app user's connection, or why there is none.

    A 401 can be about the user's token or the service token, for both were sent: who is not known is asked about first.
    """
    call = wire.get_current_app_user_connection(caller, connector_id)
    outcome = await perform(io, identity.platform, call, limiter=limiter)
    if not isinstance(outcome, AuthenticationError):
        return outcome
    if isinstance(identity.known.get(caller), AppUser):
        identity.known.drop(caller)  # it may be refused by now: the next request asks
    elif identity.platform.settings.verification != "none":
        try:
            await identify(io, identity, caller)
        except Base44Error as error:
            return error
    outcome.about_visitor = False
    logger.error("The platform refuses the service token: check service_token (BASE44_SERVICE_TOKEN) and app_id.")
    return outcome
