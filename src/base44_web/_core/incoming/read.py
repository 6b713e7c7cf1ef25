"""What came in: from a request's headers and cookies to the `Caller` that platform calls are made for.

Everything that decides who is asking is here, once. No function that can raise holds a credential in a local variable:
a traceback shows locals.
"""

from __future__ import annotations

from dataclasses import replace

from ...errors import AuthenticationError
from ..claims import Token
from ..config import Settings
from ..fields import TokenSource
from ..secret import Secret
from .bearer import checked, parse_bearer, parse_subprotocols
from .caller import Caller, configured_caller
from .cookies import read_cookie
from .platform_headers import trusted_caller
from .request import SUBPROTOCOL, Incoming
from .session import COOKIE, Seal


def read_caller(incoming: Incoming, settings: Settings, seal: Seal | None = None) -> Caller:
    """Who is asking. `seal` opens the session's cookie, where that is a source.

    Raises:
        AuthenticationError: a token is there but malformed. It never falls through to another source.
        BadRequestError: trusted platform headers that make no sense or contradict the settings.
        PermissionDeniedError: a token from a cookie without proof of same origin.
        ConfigurationError: a token cookie over https whose name does not begin with `__Host-`.
    """
    secret, app_id = _read_token(incoming, settings, seal)
    caller = caller_with(incoming, settings, None if secret is None else Token(secret))
    # One host can have several apps, and browsers send the cookie to each: a session of another one is none here.
    return caller if app_id is None or app_id == caller.app_id else replace(caller, token=None)


def caller_with(incoming: Incoming, settings: Settings, token: Token | None) -> Caller:
    """A caller with a token from elsewhere; app, server and service token are the request's.

    Raises:
        BadRequestError: trusted platform headers that make no sense or contradict the settings.
    """
    if settings.platform_headers == "ignore":
        return configured_caller(settings, token)
    return trusted_caller(incoming, settings, token)


def _read_token(incoming: Incoming, settings: Settings, seal: Seal | None) -> tuple[Secret | None, str | None]:
    """The token, and, where it was sealed, the app it was sealed for."""
    values = incoming.all("authorization")
    if values:
        return checked(parse_bearer(values, "Authorization"), AuthenticationError, "malformed_authorization"), None
    for source in settings.token_sources:
        value = _from_source(source, incoming, settings)
        if value is None:
            continue
        if source != "session":
            return value, None
        assert seal is not None
        sealed = seal.open(value)
        if sealed is None:
            raise AuthenticationError("The session has ended; sign in again.", code="session_ended", about_visitor=True)
        return sealed
    return None, None


def _from_source(source: TokenSource, incoming: Incoming, settings: Settings) -> Secret | None:
    match source:
        case "cookie":
            return read_cookie(incoming, settings, settings.cookie_name)
        case "session":
            return read_cookie(incoming, settings, COOKIE)
        case "subprotocol" if incoming.websocket:
            offered = parse_subprotocols(incoming.all(SUBPROTOCOL))
            return checked(offered, AuthenticationError, "malformed_subprotocol")
        case _:
            return None
