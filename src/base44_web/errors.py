"""Every error that `base44_web` raises: `Base44Error` about a call, `ConfigurationError` about how the app is set up.

The fields `status`, `code`, `message` and `data` are the reference client's (`@base44/sdk` 0.8.50,
`utils/axios-client.js`); the classes sort them so that a view can catch what it can handle.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar, Self

__all__ = [
    "AlreadyConnectedError",
    "AuthenticationError",
    "BadRequestError",
    "Base44Error",
    "ConfigurationError",
    "ConflictError",
    "CreditsExhaustedError",
    "InvalidResponseError",
    "MeteredConnectorError",
    "MiddlewareMissingError",
    "NotConnectedError",
    "NotFoundError",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "RateLimitError",
    "RequestFailedError",
    "RequestTimeoutError",
    "ServerError",
    "ServiceRoleUnavailableError",
    "TransportError",
    "UserGoneError",
    "ValidationError",
]


class Base44Error(Exception):
    """Something between this server and the Base44 platform went wrong.

    Attributes:
        message: what happened and what to do about it; never a credential. As the platform put it, where it did:
            `str(error)` is the same in one line, fit for a log (500 characters, and in a 404 the connector's name).
        status: the HTTP status, or `None` where no answer was received.
        code: the platform's error code (`"NOT_FOUND"`), or one of ours (`"no_token"`), or `None`.
        data: the platform's decoded error body, or `None`. Always `None` for a 2xx answer, whose body
            could hold a credential.
        request_id: the `X-Request-Id` of the platform's answer, where it sent one.
        about_visitor: whether this is about who asks (their token, where their request comes from), not about the app.
            Where a view lets such an error escape, the visitor is told.
        connector: what was asked for, where a connector was: its ID, or the integration type of a shared one.
        retry_after: seconds to wait, from the platform's `Retry-After` header, where it sent a sensible one.
    """

    default_status: ClassVar[int | None] = None
    _whose: bytes | None = None  # the digest of the token whose bearer it is about

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        data: Any = None,
        request_id: str | None = None,
        about_visitor: bool = False,
        connector: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(_one_line(message))
        self.message = message
        self.status = self.default_status if status is None else status
        self.code = code
        self.data = data
        self.request_id = request_id
        self.about_visitor = about_visitor
        self.connector = connector
        self.retry_after = retry_after

    def again(self) -> Self:
        """The same error, to be raised for somebody else: what was raised holds frames."""
        copy = type(self).__new__(type(self), *self.args)
        copy.__dict__.update(self.__dict__)
        return copy

    def small(self) -> Self:
        """As `again`, without what the platform sent with it, which can be large: to be kept."""
        copy = self.again()
        copy.data, copy.message = None, str(self)
        return copy


def _one_line(message: str) -> str:
    line = " ".join("".join(character if character.isprintable() else " " for character in message[:1000]).split())
    return line if len(line) <= 500 else f"{line[:499]}…"


class BadRequestError(Base44Error):
    """400: a request that makes no sense, such as platform headers that contradict the settings."""

    default_status = 400


class AuthenticationError(Base44Error):
    """401: there is no app user token, or it is malformed, expired or refused."""

    default_status = 401


class UserGoneError(AuthenticationError):
    """The platform knows no such user in this app (a 404 of `User/me`): they are gone, or `app_id` is wrong."""


class CreditsExhaustedError(Base44Error):
    """402: the workspace has no integration credits left; `data["extra_data"]["reason"]` says more."""

    default_status = 402


class PermissionDeniedError(Base44Error):
    """403: the caller is known but may not do this."""

    default_status = 403


class MeteredConnectorError(PermissionDeniedError):
    """403: a metered connector gives no token; use `call_api` instead."""


class NotFoundError(Base44Error):
    """404: no such thing, or the connector is not set up. `str(error)` names the connector; `message` may not."""

    default_status = 404

    def __str__(self) -> str:
        # `message` is the platform's, as the reference client has it, and names nothing.
        told = super().__str__()
        return told if self.connector is None else f"{told}: {self.connector[:100]!r}"


class NotConnectedError(NotFoundError):
    """404 on a token route: nothing is connected. For an app user: send them to connect."""


class ConflictError(Base44Error):
    """409: the request contradicts the present state."""

    default_status = 409


class AlreadyConnectedError(ConflictError):
    """`connect_app_user` found the app user already connected, so there is no URL to go to."""


class PayloadTooLargeError(Base44Error):
    """413: a request whose body is larger than is read here."""

    default_status = 413


class ValidationError(Base44Error):
    """422: the platform refused the request's contents; `data["detail"]` lists what."""

    default_status = 422


class RateLimitError(Base44Error):
    """429: too many calls."""

    default_status = 429


class ServerError(Base44Error):
    """5xx: the platform failed."""

    default_status = 500


class TransportError(Base44Error):
    """No whole answer was received."""


class RequestTimeoutError(TransportError):
    """The platform did not answer within the deadline (`Settings.timeout` seconds, `connect_timeout` to connect)."""


class RequestFailedError(TransportError):
    """The platform could not be reached, or dropped the connection."""


class InvalidResponseError(Base44Error):
    """The platform answered, but with nothing that can be used: not JSON, the wrong shape, too large, a redirect."""


class ServiceRoleUnavailableError(Base44Error):
    """`as_service_role` was used where there is no service token, or the platform refuses it."""


class ConfigurationError(Exception):
    """A setting is missing or wrong, or something is used where it cannot work; the message says what to change.

    A mistake of who wrote or runs the app, and so no `Base44Error`: what an app shows its visitors where a call failed
    would hide it.

    Attributes:
        message: what is wrong and what to do about it; never a credential.
        code: which mistake, for some.
    """

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(_one_line(message))
        self.message = message
        self.code = code


class MiddlewareMissingError(ConfigurationError, AttributeError):
    """`request.base44` was asked for where nothing provides it. An `AttributeError` too, so that `hasattr` is false."""


_BY_STATUS = {
    cls.default_status: cls
    for cls in (
        BadRequestError,
        AuthenticationError,
        CreditsExhaustedError,
        PermissionDeniedError,
        NotFoundError,
        ConflictError,
        PayloadTooLargeError,
        ValidationError,
        RateLimitError,
    )
}


def class_for(status: int, code: str | None) -> type[Base44Error]:
    """The class of an error answer, by its HTTP status and, for metered connectors, its code."""
    if status == 403 and code == "metered_connector_requires_proxy":
        return MeteredConnectorError
    if status >= 500:
        return ServerError
    return _BY_STATUS.get(status, Base44Error)


_LONGEST_WAIT = 86_400.0  # seconds; a day


def parse_retry_after(value: str | None) -> float | None:
    """Seconds from a `Retry-After` header (RFC 9110 §10.2.3), or `None` where it is absent or nonsense."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return min(float(value), _LONGEST_WAIT) if len(value) <= 9 else None
    try:
        when = parsedate_to_datetime(value)
        seconds = (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(0.0, seconds), _LONGEST_WAIT)
