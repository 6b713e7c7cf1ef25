"""The situations that a visitor can be in, and what each is told: the one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ...errors import (
    BadRequestError,
    Base44Error,
    ConfigurationError,
    NotConnectedError,
    PermissionDeniedError,
    ServiceRoleUnavailableError,
)


@dataclass(frozen=True, slots=True)
class Situation:
    """What a visitor can be told, and how."""

    slug: str
    status: int
    title: str
    text: str
    challenge: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What the answer needs whatever its form."""
        return {} if self.challenge is None else {"WWW-Authenticate": self.challenge}


NO_TOKEN: Final = Situation(
    "sign-in-required", 401, "Please sign in", "This page is for users who are signed in.", "Bearer"
)
BAD_TOKEN: Final = Situation(
    "invalid-token", 401, "Please sign in again", "Your sign-in is no longer valid.", 'Bearer error="invalid_token"'
)
OTHER_USER: Final = Situation(
    "other-user", 409, "Another user has signed in", "This page was made for somebody else. Reload it, and try again."
)
CROSS_ORIGIN: Final = Situation(
    "cross-origin-cookie", 403, "This request came from another site", "Go back to the app, and try again from there."
)
CROSS_ORIGIN_SESSION: Final = Situation(
    "cross-origin-session",
    403,
    "This request came from another site",
    "Sign in or out on a page of this site. A program needs no session: it sends its token with each request, as "
    "Authorization: Bearer.",
)
BAD_REQUEST: Final = Situation("bad-request", 400, "This request makes no sense", "Go back to the app, and try again.")
NOT_CONNECTED: Final = Situation(
    "not-connected", 403, "Not connected yet", "Connect your account first; then this page can be shown."
)
NO_SERVICE_ROLE: Final = Situation(
    "service-role-unavailable", 503, "Not available right now", "This page cannot be shown. We are looking into it."
)
PLATFORM: Final = Situation(
    "platform-unavailable", 503, "Not available right now", "This did not work. Please try again in a moment."
)
TOO_LARGE: Final = Situation("too-large", 413, "This was too much", "Go back to the app, and try again.")
BAD_SIGNATURE: Final = Situation(
    "bad-signature", 400, "The signature is refused", "This request is not as the relay sent it."
)
UNKNOWN_APP: Final = Situation("unknown-app", 404, "There is nothing here", "No app is served under this address.")

# --- of the redirect views

UNKNOWN_CONNECTOR: Final = Situation("unknown-connector", 404, "There is nothing here", "This connector is not set up.")
NOT_SET_UP: Final = Situation(
    "connector-not-set-up", 503, "Not available right now", "This cannot be connected. We are looking into it."
)
STILL_CONNECTED: Final = Situation(
    "still-connected", 503, "Not disconnected", "Disconnecting did not work. Please try again in a moment."
)
NO_METHOD: Final = Situation("method-not-allowed", 405, "This does not work", "Go back to the app, and try again.")
NO_SESSION: Final = Situation("no-session", 404, "There is nothing here", "There are no sessions here.")
NO_TOKEN_IN_BODY: Final = Situation("bad-request", 400, "This request makes no sense", "The body must have a token.")

_BY_CODE: Final = {
    "no_token": NO_TOKEN,
    "cross_origin_session": CROSS_ORIGIN_SESSION,
    "bad_signature": BAD_SIGNATURE,
    "body_too_large": TOO_LARGE,
    "unknown_app": UNKNOWN_APP,
}


def situation_of(error: Base44Error | ConfigurationError) -> Situation:
    """What an error means for the visitor."""
    if isinstance(error, ConfigurationError | ServiceRoleUnavailableError):
        return NO_SERVICE_ROLE
    if not error.about_visitor:
        return PLATFORM
    if isinstance(error, NotConnectedError) and error.connector is not None:
        return NOT_CONNECTED
    known = _BY_CODE.get(error.code or "")
    if known is not None:
        return known
    if isinstance(error, PermissionDeniedError):
        return CROSS_ORIGIN
    return BAD_REQUEST if isinstance(error, BadRequestError) else BAD_TOKEN
