"""Tokens in cookies, and the proof of same origin that they need: browsers send a cookie whoever makes the request."""

from __future__ import annotations

from typing import Final, Literal

from ...errors import AuthenticationError, ConfigurationError, PermissionDeniedError
from ..config import Settings
from ..fields import is_bearer_token
from ..secret import Secret
from ..urls import same_host
from .bearer import MAX_TOKEN_LENGTH, Parsed, checked
from .request import Incoming
from .session import COOKIE

_SAFE_METHODS: Final = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))


def reads_cookies(settings: Settings) -> bool:
    """Whether this server knows a visitor who merely opens a page."""
    return not {"cookie", "session"}.isdisjoint(settings.token_sources)


def require_same_origin(incoming: Incoming, settings: Settings) -> None:
    """What a session asks for before it begins or ends.

    Raises:
        PermissionDeniedError: there is no proof that the request comes from a page of this origin.
    """
    if _cookie_proof(incoming, settings, COOKIE) != "accepted":
        raise PermissionDeniedError(
            "This request begins or ends a session, without proof that it comes from a page of this server. Send it "
            "from one: startSession(token) or endSession() of connect.js, or a form. A page of another origin needs "
            "that origin in allowed_origins (BASE44_ALLOWED_ORIGINS). Behind a proxy that changes Host, set public_url "
            "(BASE44_PUBLIC_URL). curl needs -H 'Sec-Fetch-Site: same-origin'. A program needs no session: it sends "
            "its token with each request, as Authorization: Bearer.",
            code="cross_origin_session",
            about_visitor=True,
        )


def read_cookie(incoming: Incoming, settings: Settings, name: str) -> Secret | None:
    """The token in a cookie, if the cookie may speak for the user.

    Raises:
        AuthenticationError: there is more than one of that name, or it holds no token.
        PermissionDeniedError: there is no proof that the request comes from this site.
        ConfigurationError: served over https, its name does not begin with `__Host-`.
    """
    token = checked(_parse_cookie(incoming.all("cookie"), name), AuthenticationError, "malformed_cookie")
    if token is None:
        return None
    if incoming.secure and not name.startswith("__Host-"):
        raise ConfigurationError(
            f"cookie_name (BASE44_COOKIE_NAME) is {settings.cookie_name!r}: served over https it must start with "
            "__Host-, or another host of the same domain can set it."
        )
    proof = _cookie_proof(incoming, settings, name)
    if proof == "refused":
        raise PermissionDeniedError(
            "This request carries its token in a cookie, without proof that it comes from this site. Send it from a "
            "page of this origin, add the page's origin to allowed_origins, or use an Authorization header.",
            code="cross_origin_cookie",
            about_visitor=True,
        )
    return token if proof == "accepted" else None


def _parse_cookie(headers: list[Secret], name: str) -> Parsed:
    """The one cookie called exactly `name`, read from the raw octets: only SP and HTAB are trimmed."""
    found = [
        value.strip(" \t")
        for header in headers
        for pair in header.reveal().split(";")
        for key, equals, value in [pair.partition("=")]
        if equals and key.strip(" \t") == name
    ]
    if not found:
        return None
    if len(found) > 1:
        return f"The request has {len(found)} cookies called {name}; clear them and sign in again."
    if len(found[0]) > MAX_TOKEN_LENGTH or not is_bearer_token(found[0]):
        return f"The cookie {name} does not hold a token; clear it and sign in again."
    return Secret(found[0])


def _cookie_proof(incoming: Incoming, settings: Settings, name: str) -> Literal["accepted", "ignored", "refused"]:
    """Whether a cookie may speak for the user: browsers send it whoever makes the request."""
    origin = incoming.one("origin")
    if origin is not None and origin in settings.allowed_origins:
        return "accepted"
    own_origin = origin is not None and _is_own(origin, incoming, settings, name)
    if incoming.websocket:
        return "accepted" if own_origin else "refused"
    sites = incoming.all("sec-fetch-site")
    site = incoming.one("sec-fetch-site")
    if incoming.method not in _SAFE_METHODS:
        return "accepted" if site == "same-origin" or (not sites and own_origin) else "refused"
    if site in ("cross-site", "same-site") and incoming.one("sec-fetch-mode") != "navigate":
        return "ignored"
    return "accepted"


def _is_own(origin: str, incoming: Incoming, settings: Settings, name: str) -> bool:
    if settings.public_url is not None:
        return origin == settings.public_url
    # Browsers set a `__Host-` cookie over https alone (and loopback): whatever this server sees, so it was asked for.
    return same_host(origin, incoming.host, secure=incoming.secure or name.startswith("__Host-"))
