"""The check behind every guard."""

from __future__ import annotations

from functools import partial

from .. import _wire as wire
from .._claims import dead_reason
from .._context import Context
from .._gather import gather
from .._values import AppUser, Connection
from ..errors import AuthenticationError, Base44Error, PermissionDeniedError, ServiceRoleUnavailableError
from .calls import app_user_connection, identify


def admit(context: Context, connectors: tuple[str, ...] = ()) -> AppUser:
    """Verify the app user and fetch their connections, at the same time; both stay at hand for this request.

    Args:
        context: the request's.
        connectors: what must be connected: configured names, or IDs.

    Raises:
        AuthenticationError: nobody is signed in, or the token is refused.
        NotConnectedError: a connector is not connected.
        ConfigurationError: a connector is not configured; there is no service role, or the platform refuses it.
        Base44Error: the request is malformed, or the platform is failing.
    """
    identifiers = [context.engine.settings.guarded_id(connector) for connector in connectors]
    token = wire.user_token(context.caller)
    users = context.engine.users
    remembered = users.recall(context.caller)
    if isinstance(remembered, Base44Error) or (remembered is None and dead_reason(token) is not None):
        return identify(context)  # raises; nobody is asked about such a token

    def identified() -> AppUser | Connection:
        return identify(context)

    # Of tokens that nobody has verified yet there can be any number: they take no known user's place.
    gate = context.engine.identity_gate if remembered is None else None

    def connect(connector: str) -> AppUser | Connection:
        return context.recall(connector) or app_user_connection(context, connector, gate=gate)

    user, *found = gather(identified, *(partial(connect, identifier) for identifier in identifiers))
    if isinstance(user, Base44Error):
        raise user
    for identifier, connection in zip(identifiers, found, strict=False):
        if isinstance(connection, AuthenticationError | PermissionDeniedError):
            if remembered is not None:
                users.forget(context.caller)
                identify(context)  # raises if it is the user whom the platform refuses by now
            # The platform has just verified the user, so it is the service token that it refuses.
            raise ServiceRoleUnavailableError(
                "The platform refused the service role: check service_token (BASE44_SERVICE_TOKEN) and app_id.",
                code="service_token_refused",
            )
        if isinstance(connection, Base44Error):
            raise connection
        if isinstance(connection, Connection):
            context.remember(identifier, connection)
    assert isinstance(user, AppUser)
    return user
