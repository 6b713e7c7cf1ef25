"""What came in: from a request's headers and cookies to the `Caller` that platform calls are made for.

Adapters build an `Incoming`; everything that decides who is asking is here, once. No function that can raise
holds a credential in a local variable: a traceback shows locals.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, final

from ._fields import TokenSource, is_app_id, is_bearer_token
from ._secret import Opaque, Secret
from ._session import COOKIE, Seal
from ._urls import parse_origin, same_host
from .errors import AuthenticationError, BadRequestError, Base44Error, ConfigurationError, PermissionDeniedError
from .settings import Settings

DataEnv: TypeAlias = Literal["dev", "prod"]

APP_ID: Final = "base44-app-id"
API_URL: Final = "base44-api-url"
SERVICE: Final = "base44-service-authorization"
STATE: Final = "base44-state"
DATA_ENV: Final = "x-data-env"
SUBPROTOCOL: Final = "sec-websocket-protocol"
SIGNATURE: Final = "base44-relay-signature"
# What the relay signs, in this order.
SIGNED: Final = (
    "authorization", APP_ID, API_URL, SERVICE, "base44-functions-version", STATE, DATA_ENV, "x-base44-app-url",
)  # fmt: skip
# All that is ever read of a request.
HEADERS: Final = frozenset(
    {"accept", "cookie", "host", "origin", "sec-fetch-site", "sec-fetch-mode", SUBPROTOCOL, SIGNATURE, *SIGNED}
)
# With "trust" and "signed" these are taken out of the framework's own request: no error page may show them.
TAKEN_OUT: Final = frozenset((SERVICE, STATE))
_TAKEN_OUT_OCTETS: Final = frozenset(name.encode() for name in TAKEN_OUT)

SUBPROTOCOL_PREFIX: Final = "base44.bearer."
MAX_TOKEN_LENGTH: Final = 8192  # bytes; servers accept headers of 8 to 64 KiB
_SAFE_METHODS: Final = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
_STATE = re.compile(r"[ -~]+")


@final
class Incoming(Opaque):
    """The part of a request that the core reads, the same for every framework.

    Args:
        method: the HTTP method; of no meaning on a WebSocket.
        headers: pairs of lower-case name and value (latin-1), in order; those not in `HEADERS` are dropped.
        secure: whether this server itself was spoken to over https or wss.
        websocket: whether this is a WebSocket handshake.
    """

    __slots__ = ("_headers", "method", "secure", "websocket")

    def __init__(
        self, method: str, headers: Iterable[tuple[str, str]], *, secure: bool = False, websocket: bool = False
    ) -> None:
        self.method = method
        self.secure = secure
        self.websocket = websocket
        self._headers: dict[str, list[Secret]] = {}
        for name, value in headers:
            if name in HEADERS:
                self._headers.setdefault(name, []).append(Secret(value))

    def all(self, name: str) -> list[Secret]:
        """Every value of a header, in order."""
        return self._headers.get(name, [])

    def one(self, name: str) -> str | None:
        """The value of a header that is no credential; `None` where it is absent, or there more than once."""
        values = self.all(name)
        return values[0].reveal() if len(values) == 1 else None


@final
@dataclass(frozen=True, slots=True, repr=False)
class Caller(Opaque):
    """Who a platform call is made for, and where it goes: app, server and service token from one source.

    Attributes:
        app_id: the app.
        server_url: origin of the platform.
        user_url: origin for connecting and disconnecting app users (`Settings.app_url`).
        token: the app user's JWT.
        service_token: the service role's token.
        state: the `Base44-State` to send again.
        data_env: the `X-Data-Env` to send again.
        visitor: whether this is who sent the request, as against a client made by hand.
    """

    app_id: str
    server_url: str
    user_url: str
    token: Secret | None = None
    service_token: Secret | None = None
    state: Secret | None = None
    data_env: DataEnv | None = None
    visitor: bool = True


def reads_cookies(settings: Settings) -> bool:
    """Whether this server knows a visitor who merely opens a page."""
    return not {"cookie", "session"}.isdisjoint(settings.token_sources)


def take_out_of_scope(scope: Any) -> None:
    """Remove from an ASGI scope's headers what no error page may show."""
    kept = [pair for pair in scope["headers"] if pair[0] not in _TAKEN_OUT_OCTETS]
    if isinstance(scope["headers"], list):
        scope["headers"][:] = kept  # in place: error reporters further out hold this list
    else:
        scope["headers"] = kept


def read_caller(incoming: Incoming, settings: Settings, seal: Seal | None = None) -> Caller:
    """Who is asking. `seal` opens the session's cookie, where that is a source.

    Raises:
        AuthenticationError: a token is there but malformed. It never falls through to another source.
        BadRequestError: trusted platform headers that make no sense or contradict the settings.
        PermissionDeniedError: a token from a cookie without proof of same origin.
        ConfigurationError: a token cookie over https whose name does not begin with `__Host-`.
    """
    token, app_id = _read_token(incoming, settings, seal)
    caller = caller_with(incoming, settings, token)
    if app_id is not None and app_id != caller.app_id:
        raise AuthenticationError("The session is of another app.", code="session_ended", visitor=True)
    return caller


def caller_with(incoming: Incoming, settings: Settings, token: Secret | None) -> Caller:
    """A caller with a token from elsewhere; app, server and service token are the request's.

    Raises:
        BadRequestError: trusted platform headers that make no sense or contradict the settings.
    """
    if settings.platform_headers == "ignore":
        return configured_caller(settings, token)
    return _trusted_caller(incoming, settings, token)


def require_same_origin(incoming: Incoming, settings: Settings) -> None:
    """What a session asks for before it begins or ends.

    Raises:
        PermissionDeniedError: there is no proof that the request comes from a page of this origin.
    """
    if _cookie_proof(incoming, settings) != "accepted":
        raise _no_proof("This request begins or ends a session")


def _bad_request(message: str, *, code: str) -> BadRequestError:
    return BadRequestError(message, code=code, visitor=True)


def configured_caller(
    settings: Settings, token: Secret | None, *, state: Secret | None = None, data_env: DataEnv | None = None
) -> Caller:
    """A caller whose app, server and service token all are the configured ones."""
    if settings.app_id is None:
        raise _bad_request(
            "The request has no Base44-App-Id header, and no app_id (BASE44_APP_ID) is configured.",
            code="app_id_missing",
        )
    return Caller(
        app_id=settings.app_id,
        server_url=settings.server_url,
        user_url=settings.app_url or settings.server_url,
        token=token,
        service_token=settings.service_token,
        state=state,
        data_env=data_env,
    )


# --- the app user's token


def _read_token(incoming: Incoming, settings: Settings, seal: Seal | None) -> tuple[Secret | None, str | None]:
    """The token, and, where it was sealed, the app it was sealed for."""
    values = incoming.all("authorization")
    if values:
        return _checked(_parse_bearer(values, "Authorization"), AuthenticationError, "malformed_authorization"), None
    for source in settings.token_sources:
        value = _from_source(source, incoming, settings)
        if value is None:
            continue
        if source != "session":
            return value, None
        assert seal is not None
        sealed = seal.open(value)
        if sealed is None:
            raise AuthenticationError("The session has ended; sign in again.", code="session_ended", visitor=True)
        return sealed
    return None, None


def _from_source(source: TokenSource, incoming: Incoming, settings: Settings) -> Secret | None:
    match source:
        case "cookie":
            return _read_cookie(incoming, settings, settings.cookie_name)
        case "session":
            return _read_cookie(incoming, settings, COOKIE)
        case "subprotocol" if incoming.websocket:
            offered = _parse_subprotocols(incoming.all(SUBPROTOCOL))
            return _checked(offered, AuthenticationError, "malformed_subprotocol")
        case _:
            return None


def _parse_bearer(values: list[Secret], header: str) -> Secret | str | None:
    """The token of a bearer header (RFC 6750 §2.1), `None` for a bare `Bearer`, or what is wrong with it."""
    if len(values) > 1:
        return f"The request has {len(values)} {header} headers; send one."
    value = values[0].reveal()
    if len(value) > MAX_TOKEN_LENGTH:
        return f"The {header} header is longer than {MAX_TOKEN_LENGTH} bytes."
    scheme, _, token = value.partition(" ")
    if scheme.lower() != "bearer":
        return f'The {header} header must be "Bearer <token>", with another scheme it is not used.'
    if not token:
        # A server strips the space of "Bearer " (RFC 9110 §5.5), which the reference client reads as no token.
        return None
    if not is_bearer_token(token):
        return f'The {header} header must be "Bearer <token>": one space, one token.'
    return Secret(token)


def _checked(outcome: Secret | str | None, error: type[Base44Error], code: str) -> Secret | None:
    if isinstance(outcome, str):
        raise error(outcome, code=code, visitor=True)
    return outcome


def _parse_subprotocols(headers: list[Secret]) -> Secret | str | None:
    """The token that a WebSocket's client offers as a subprotocol: scripts can set no header there."""
    found = [
        word.strip(" \t").removeprefix(SUBPROTOCOL_PREFIX)
        for header in headers
        for word in header.reveal().split(",")
        if word.strip(" \t").startswith(SUBPROTOCOL_PREFIX)
    ]
    if not found:
        return None
    if len(found) > 1 or len(found[0]) > MAX_TOKEN_LENGTH or not is_bearer_token(found[0]):
        return f"The WebSocket must offer one subprotocol {SUBPROTOCOL_PREFIX}<token>."
    return Secret(found[0])


def _read_cookie(incoming: Incoming, settings: Settings, name: str) -> Secret | None:
    token = _checked(_parse_cookie(incoming.all("cookie"), name), AuthenticationError, "malformed_cookie")
    if token is None:
        return None
    if incoming.secure and not name.startswith("__Host-"):
        raise ConfigurationError(
            f"cookie_name (BASE44_COOKIE_NAME) is {settings.cookie_name!r}: served over https it must start with "
            "__Host-, or another host of the same domain can set it."
        )
    proof = _cookie_proof(incoming, settings)
    if proof == "refused":
        raise _no_proof("This request carries its token in a cookie")
    return token if proof == "accepted" else None


def _no_proof(what: str) -> PermissionDeniedError:
    return PermissionDeniedError(
        f"{what}, without proof that it comes from this site. Send it from a page of this origin, add the page's "
        "origin to allowed_origins, or use an Authorization header.",
        code="cross_origin_cookie",
        visitor=True,
    )


def _parse_cookie(headers: list[Secret], name: str) -> Secret | str | None:
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


def _cookie_proof(incoming: Incoming, settings: Settings) -> Literal["accepted", "ignored", "refused"]:
    """Whether a cookie may speak for the user: browsers send it whoever makes the request."""
    origin = incoming.one("origin")
    if origin is not None and origin in settings.allowed_origins:
        return "accepted"
    own_origin = origin is not None and same_host(origin, incoming.one("host") or "", secure=incoming.secure)
    if incoming.websocket:
        return "accepted" if own_origin else "refused"
    sites = incoming.all("sec-fetch-site")
    site = incoming.one("sec-fetch-site")
    if incoming.method not in _SAFE_METHODS:
        return "accepted" if site == "same-origin" or (not sites and own_origin) else "refused"
    if site in ("cross-site", "same-site") and incoming.one("sec-fetch-mode") != "navigate":
        return "ignored"
    return "accepted"


# --- the platform's headers


def _trusted_caller(incoming: Incoming, settings: Settings, token: Secret | None) -> Caller:
    for name in (APP_ID, API_URL, SERVICE, STATE):
        if len(incoming.all(name)) > 1:
            raise _bad_request(f"The request has more than one {name} header.", code="duplicate_header")
    state = next((value for value in incoming.all(STATE) if value.reveal()), None)
    if state is not None and not _STATE.fullmatch(state.reveal()):
        raise _bad_request("The Base44-State header has characters that cannot be sent on.", code="bad_state")
    env = incoming.one(DATA_ENV)
    data_env: DataEnv | None = "dev" if env == "dev" else "prod" if env == "prod" else None
    if not any(incoming.all(name) for name in (APP_ID, API_URL, SERVICE)):
        return configured_caller(settings, token, state=state, data_env=data_env)
    app_id = _header_app_id(incoming.one(APP_ID), settings)
    services = incoming.all(SERVICE)
    return Caller(
        app_id=app_id,
        server_url=_header_server(incoming.one(API_URL), settings),
        user_url=settings.app_url or _header_server(incoming.one(API_URL), settings),
        token=token,
        service_token=_checked(
            _parse_bearer(services, "Base44-Service-Authorization") if services else None,
            BadRequestError,
            "malformed_service_authorization",
        ),
        state=state,
        data_env=data_env,
    )


def _header_app_id(value: str | None, settings: Settings) -> str:
    if not value:
        raise _bad_request("The request has platform headers, but no Base44-App-Id.", code="app_id_missing")
    if not is_app_id(value):
        raise _bad_request("The Base44-App-Id header is not an app ID.", code="app_id_mismatch")
    if value != settings.app_id and (settings.app_id is not None or value not in settings.allowed_app_ids):
        raise _bad_request(
            "The Base44-App-Id header names another app than this server is set up for "
            "(app_id, BASE44_APP_ID; or allowed_app_ids, BASE44_ALLOWED_APP_IDS).",
            code="app_id_mismatch",
        )
    return value


def _header_server(value: str | None, settings: Settings) -> str:
    if not value:
        return settings.server_url
    try:
        origin = parse_origin(value)
    except ValueError:
        origin = None
    if origin is None or origin not in settings.allowed_api_urls:
        raise _bad_request(
            "The Base44-Api-Url header names a server that is not among allowed_api_urls (BASE44_ALLOWED_API_URLS).",
            code="api_url_not_allowed",
        )
    return origin
