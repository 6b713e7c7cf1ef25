"""`Settings`: what the operator decides, checked once, at start-up."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, NoReturn, Self, TypeAlias, cast, final, get_args

from ._secret import Opaque, Secret
from ._urls import check_identifier, is_safe_url, parse_origin
from ._values import ConnectorID
from .errors import ConfigurationError

__all__ = ["PlatformHeaders", "Settings", "TokenSource"]

TokenSource: TypeAlias = Literal["header", "cookie"]
PlatformHeaders: TypeAlias = Literal["ignore", "trust"]

_APP_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_COOKIE_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 6265 §4.1.1, a token
_PATH = re.compile(r"/(?!/)(?:(?![?#\\])[!-~])*")
_BEARER = re.compile(r"[A-Za-z0-9\-._~+/]+=*")  # RFC 6750 §2.1, b64token


def is_bearer_token(text: object) -> bool:
    """Whether `text` can be presented as a bearer token: RFC 6750 §2.1's `b64token`, so no space and no line break."""
    return isinstance(text, str) and _BEARER.fullmatch(text) is not None


def is_app_id(text: str) -> bool:
    """Whether `text` can be an app's ID; it goes into a path and a header."""
    return _APP_ID.fullmatch(text) is not None


def _words(value: object) -> list[str]:
    """A list setting: an iterable of strings, or one string with commas (the environment's form)."""
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    if not isinstance(value, Iterable):
        raise ValueError("must be a list of strings")
    words = list(cast(Iterable[object], value))
    if not all(isinstance(word, str) for word in words):
        raise ValueError("must be a list of strings")
    return cast(list[str], words)


def _app_id(value: object) -> str:
    if not isinstance(value, str) or not is_app_id(value):
        raise ValueError("must be the ID of a Base44 app: letters, digits, '-' and '_'")
    return value


def _app_ids(value: object) -> tuple[str, ...]:
    return tuple(_app_id(word) for word in _words(value))


def _origins(value: object) -> tuple[str, ...]:
    return tuple(parse_origin(word) for word in _words(value))


def _secret(value: object) -> Secret:
    # The value is not echoed: it is a credential.
    if not isinstance(value, Secret) or not is_bearer_token(value.reveal()):
        raise ValueError("must be a bearer token: no spaces, quotes or line breaks (is there one at its end?)")
    return value


def _connectors(value: object) -> Mapping[str, str]:
    if isinstance(value, str):
        pairs = [word.partition("=") for word in _words(value)]
        if any(not equals for _, equals, _ in pairs):
            raise ValueError("must look like calendar=69e6…,mail=70a1…")
        value = {name.strip(): connector.strip() for name, _, connector in pairs}
    if not isinstance(value, Mapping):
        raise ValueError("must map names to connector IDs")
    connectors = cast(Mapping[object, object], value)
    for name, connector in connectors.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"has a bad name {name!r}: use letters, digits, '-' and '_', 64 at most")
        try:
            check_identifier(connector, "connector ID")
        except TypeError as error:
            raise ValueError(f"{name}: {error}") from None
    if len(set(connectors.values())) != len(connectors):
        raise ValueError("has one connector ID under two names")
    return MappingProxyType(cast(dict[str, str], dict(connectors)))


def _sources(value: object) -> tuple[TokenSource, ...]:
    words = _words(value)
    if any(word not in ("header", "cookie") for word in words) or len(set(words)) != len(words):
        raise ValueError('must list "header" and, if wanted, "cookie", each once')
    if words[:1] != ["header"]:
        raise ValueError('must begin with "header": a header always wins over a cookie')
    return tuple(cast(list[TokenSource], words))


def _cookie_name(value: object) -> str:
    if not isinstance(value, str) or not _COOKIE_NAME.fullmatch(value):
        raise ValueError("must be a cookie name (RFC 6265)")
    return value


def _connect_path(value: object) -> str:
    if not isinstance(value, str) or not _PATH.fullmatch(value):
        raise ValueError("must be a path on this server, such as /base44")
    return value.rstrip("/")


def _sign_in_url(value: object) -> str:
    if isinstance(value, str) and (_PATH.fullmatch(value.partition("?")[0]) or is_safe_url(value)):
        return value
    raise ValueError("must be a path on this server, or an https URL")


def _platform_headers(value: object) -> PlatformHeaders:
    if value not in get_args(PlatformHeaders):
        raise ValueError('must be "ignore" or "trust"')
    return cast(PlatformHeaders, value)


def _seconds(value: object) -> float:
    try:
        seconds = float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else 0.0
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 600:
        raise ValueError("must be a number of seconds, over 0 and up to 600")
    return seconds


def _ttl(value: object) -> float:
    return 0.0 if str(value) == "0" else _seconds(value)


# Each field: how a given value or an environment string becomes the setting, and the default.
_FIELDS: Final[dict[str, tuple[Callable[[object], Any], Any]]] = {
    "app_id": (_app_id, None),
    "server_url": (parse_origin, "https://base44.app"),
    "app_url": (parse_origin, None),
    "service_token": (_secret, None),
    "app_user_connectors": (_connectors, MappingProxyType[str, str]({})),
    "token_sources": (_sources, ("header",)),
    "cookie_name": (_cookie_name, "base44_access_token"),
    "allowed_origins": (_origins, ()),
    "connect_path": (_connect_path, None),
    "sign_in_url": (_sign_in_url, None),
    "platform_headers": (_platform_headers, "ignore"),
    "allowed_api_urls": (_origins, ()),
    "allowed_app_ids": (_app_ids, ()),
    "timeout": (_seconds, 10.0),
    "connect_timeout": (_seconds, 2.0),
    "identity_ttl": (_ttl, 60.0),
}


@final
class Settings(Opaque):
    """The settings of one Base44 app on this server. Immutable; its repr shows no credential.

    A field left out (`None`) is taken from the framework's own settings (Django's `BASE44`, Flask's
    config), then from the environment variable `BASE44_<FIELD>`, then from its default. Each value is checked at once;
    what must be there, or go together, as the server starts.

    Args:
        app_id: the app's ID. Required, unless `allowed_app_ids` and trusted platform headers give it.
        server_url: the platform's origin. https, or http for loopback. Default `https://base44.app`.
        app_url: the app's own origin (its `*.base44.app`, custom or preview host). Connecting and disconnecting app
            users goes there: the platform mirrors the host it is called on into the provider's `redirect_uri`.
        service_token: the service role's bearer token, where the operator has one.
        app_user_connectors: names for connector IDs, `{"calendar": "69e6…"}`. Names are `[A-Za-z0-9_-]{1,64}`.
        token_sources: where the app user's JWT is read from, in order: `"header"` first, then, opt-in, `"cookie"`.
        cookie_name: the cookie that holds a raw JWT; served over https it must start with `__Host-`.
        allowed_origins: other origins that may act with a cookie.
        connect_path: where the redirect views are mounted, if that cannot be found out.
        sign_in_url: where the pages of guards send people who are not signed in: a path, or an https URL.
        platform_headers: `"ignore"`: the platform's request headers but `Authorization` have no effect.
            `"trust"`: they are used; only for a server that nothing but Base44's own proxy can reach.
        allowed_api_urls: with `"trust"`, the origins a `Base44-Api-Url` header may name. Required then.
        allowed_app_ids: with `"trust"` and no `app_id`, the apps a `Base44-App-Id` header may name.
        timeout: seconds for a whole call to the platform, from first to last byte. Default 10.
        connect_timeout: seconds to connect. Default 2.
        identity_ttl: seconds for which the platform's word on a token is remembered, never past the token's own `exp`;
            0: not at all. Default 60.

    Raises:
        ConfigurationError: a value is wrong; the message names the setting.
    """

    __slots__ = (*_FIELDS, "_given")
    app_id: str | None
    server_url: str
    app_url: str | None
    service_token: Secret | None
    app_user_connectors: Mapping[str, str]
    token_sources: tuple[TokenSource, ...]
    cookie_name: str
    allowed_origins: tuple[str, ...]
    connect_path: str | None
    sign_in_url: str | None
    platform_headers: PlatformHeaders
    allowed_api_urls: tuple[str, ...]
    allowed_app_ids: tuple[str, ...]
    timeout: float
    connect_timeout: float
    identity_ttl: float
    _given: Mapping[str, Any]

    def __init__(
        self,
        *,
        app_id: str | None = None,
        server_url: str | None = None,
        app_url: str | None = None,
        service_token: str | Secret | None = None,
        app_user_connectors: Mapping[str, str] | None = None,
        token_sources: Iterable[TokenSource] | None = None,
        cookie_name: str | None = None,
        allowed_origins: Iterable[str] | None = None,
        connect_path: str | None = None,
        sign_in_url: str | None = None,
        platform_headers: PlatformHeaders | None = None,
        allowed_api_urls: Iterable[str] | None = None,
        allowed_app_ids: Iterable[str] | None = None,
        timeout: float | None = None,
        connect_timeout: float | None = None,
        identity_ttl: float | None = None,
    ) -> None:
        service_token = _veil("service_token", service_token)  # a traceback shows this frame's locals
        self._fill({name: value for name, value in locals().items() if name in _FIELDS}, {})

    @classmethod
    def load(cls, given: Settings | None = None, framework: Mapping[str, Any] | None = None) -> Self:
        """Settings for an adapter: `given` wins over the `framework`'s values, those over the environment.

        Args:
            given: what the user passed in code.
            framework: field names to raw values, as the framework's configuration holds them.

        Raises:
            ConfigurationError: as the constructor; also for a framework key that is no setting.
        """
        framework = {name: _veil(name, value) for name, value in (framework or {}).items()}
        unknown = sorted(set(framework) - set(_FIELDS))
        if unknown:
            raise ConfigurationError(f"There is no setting {', '.join(unknown)}; known are {', '.join(_FIELDS)}.")
        self = cls.__new__(cls)
        self._fill({} if given is None else given._given, framework)
        return self.complete()

    def _fill(self, given: Mapping[str, Any], framework: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_given", MappingProxyType(dict(given)))
        for name, (parse, default) in _FIELDS.items():
            raw = given.get(name)
            if raw is None:
                raw = framework.get(name)
            if raw is None:
                raw = _veil(name, os.environ.get(_variable(name)) or None)
            try:
                value = default if raw is None else parse(raw)
            except ValueError as error:
                raise ConfigurationError(f"The setting {name} ({_variable(name)}) {error}.") from None
            object.__setattr__(self, name, value)

    def complete(self) -> Self:
        """These settings, checked as a whole. An adapter or client does it at start-up, when all sources are in.

        Raises:
            ConfigurationError: a setting is missing, or contradicts another.
        """
        problem = self._contradiction()
        if problem is not None:
            raise ConfigurationError(problem)
        return self

    def _contradiction(self) -> str | None:
        if self.platform_headers == "trust" and not self.allowed_api_urls:
            return (
                'platform_headers="trust" needs allowed_api_urls (BASE44_ALLOWED_API_URLS): '
                "the API origins a request may name, such as https://base44.app."
            )
        if self.app_id is None and not (self.platform_headers == "trust" and self.allowed_app_ids):
            return (
                "app_id (BASE44_APP_ID) is not set: give the ID of your Base44 app. "
                "Only trusted platform headers with allowed_app_ids can replace it."
            )
        if self.app_id is not None and self.allowed_app_ids and self.app_id not in self.allowed_app_ids:
            return "app_id (BASE44_APP_ID) is not among allowed_app_ids (BASE44_ALLOWED_APP_IDS)."
        if self.app_id is None and (self.service_token or self.app_url):
            return "service_token and app_url belong to one app: set app_id (BASE44_APP_ID) with them."
        return None

    def connector_id(self, connector: str) -> str:
        """The ID that `connector` means: a name from `app_user_connectors`, or already an ID."""
        if isinstance(connector, ConnectorID):
            return connector
        return self.app_user_connectors.get(connector, connector)

    def guarded_id(self, connector: str) -> str:
        """The ID of a connector that a guard names.

        Raises:
            ConfigurationError: a plain string that is neither a configured name nor the ID of one: a typo must not
                become an ID. Any other ID is a `ConnectorID`.
        """
        found = self.connector_id(connector)
        if isinstance(connector, ConnectorID) or found in self.app_user_connectors.values():
            return found
        raise ConfigurationError(
            f"A guard names the connector {connector!r}, which is not in app_user_connectors "
            "(BASE44_APP_USER_CONNECTORS). Add it there, or write ConnectorID(…) for an ID."
        )

    def connector_name(self, connector_id: str) -> str | None:
        """The configured name of a connector, or `None`."""
        return next((name for name, known in self.app_user_connectors.items() if known == connector_id), None)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"Settings cannot be changed; make new ones to set {name}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Settings):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _FIELDS)

    def __hash__(self) -> int:
        return hash((self.app_id, self.server_url, self.service_token))

    def __repr__(self) -> str:
        return f"<Settings app_id={self.app_id!r} server_url={self.server_url!r}>"


def _variable(name: str) -> str:
    return f"BASE44_{name.upper()}"


def _veil(name: str, value: Any) -> Any:
    """Wrap a secret setting as soon as it is read, so that no error about it can show it."""
    return veil(value) if name == "service_token" else value


def veil(value: Any) -> Secret | None:
    """A credential that somebody gave, as a `Secret`, whatever it is: what is wrong with it is said later."""
    return value if value is None or isinstance(value, Secret) else Secret(value)
