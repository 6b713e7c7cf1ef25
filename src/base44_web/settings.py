"""`Settings`: what the operator decides, checked once, at start-up."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NoReturn, Self, final

from ._fields import FIELDS, PlatformHeaders, TokenSource, Verification, variable, veil, veil_field
from ._secret import Opaque, Secret
from ._values import ConnectorID
from .errors import ConfigurationError

__all__ = ["PlatformHeaders", "Settings", "TokenSource", "Verification"]


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
        connector_types: what the named connectors connect to, `{"calendar": "googlecalendar"}`: an integration type,
            or the name of a service as people know it. The pages say it.
        token_sources: where the app user's JWT is read from, in order: `"header"` first, then, opt-in, `"cookie"`
            (a raw JWT), `"session"` (our sealed cookie) and, on WebSockets, `"subprotocol"`.
        cookie_name: the cookie that holds a raw JWT; served over https it must start with `__Host-`.
        session_secret: seals the session's cookie; 32 characters or more. Several: the first seals, all open. Default
            the framework's own (Django's `SECRET_KEY`, Flask's config).
        allowed_origins: other origins that may act with a cookie.
        connect_path: where the redirect views are mounted, if that cannot be found out.
        sign_in_url: where the pages of guards send people who are not signed in: a path, or an https URL.
        platform_headers: `"ignore"`: the platform's request headers but `Authorization` have no effect.
            `"trust"`: they are used; only for a server that nothing but Base44's own proxy can reach.
            `"signed"`: they are used where the app's relay has signed them (`examples/relay`).
        relay_keys: with `"signed"`: key IDs and secrets, of 32 bytes or more. Two while one takes the other's place.
        relay_audience: with `"signed"`: what the relay calls this server, such as `https://api.example.com`.
        relay_max_body: bytes of a signed body; more is a 413. Default 1 MiB.
        replay_store: where signed requests are noted, so that none counts twice: a file that all workers share (default
            one in the temporary folder), or `redis://…`.
        allowed_api_urls: with `"trust"` and `"signed"`, the origins a `Base44-Api-Url` header may name. Required then.
        allowed_app_ids: with `"trust"` or `"signed"` and no `app_id`, the apps a `Base44-App-Id` header may name.
        timeout: seconds for a whole call to the platform, from first to last byte. Default 10.
        connect_timeout: seconds to connect. Default 2.
        max_retries: how often a call is made again, within `timeout`, where it may be: reads after a failure, anything
            else only if it never left. Default 2.
        ca_file: a PEM file of certificate authorities to trust besides the system's.
        verification: who says whose token it is. `"platform"`: the platform (`User/me`). `"keys"`: keys given here.
            `"none"`: nobody; then guards let nobody pass, and `user()` raises.
        verification_key: with `"keys"`: an HMAC secret of 32 bytes or more, a public key as PEM or JWK, or a JWKS URL.
        algorithms: with `"keys"`: what tokens may be signed with, such as `["ES256"]`; HMAC or public keys, not both.
        audience: the `aud` that a token must have.
        issuer: the `iss` that a token must have.
        app_claim: the claim that must be this app's ID. With public keys, this or `audience` is required.
        development: accept the local dev server's published secret, from a `server_url` on loopback.
        identity_ttl: seconds for which the platform's word on a token is remembered, never past the token's own `exp`;
            0: not at all. Default 60.

    Raises:
        ConfigurationError: a value is wrong; the message names the setting.
    """

    __slots__ = (*FIELDS, "_given")
    app_id: str | None
    server_url: str
    app_url: str | None
    service_token: Secret | None
    app_user_connectors: Mapping[str, str]
    connector_types: Mapping[str, str]
    token_sources: tuple[TokenSource, ...]
    cookie_name: str
    session_secret: tuple[Secret, ...]
    allowed_origins: tuple[str, ...]
    connect_path: str | None
    sign_in_url: str | None
    platform_headers: PlatformHeaders
    relay_keys: Mapping[str, Secret]
    relay_audience: str | None
    relay_max_body: int
    replay_store: Secret | None
    allowed_api_urls: tuple[str, ...]
    allowed_app_ids: tuple[str, ...]
    timeout: float
    connect_timeout: float
    max_retries: int
    ca_file: str | None
    verification: Verification
    verification_key: Secret | None
    algorithms: tuple[str, ...]
    audience: str | None
    issuer: str | None
    app_claim: str | None
    development: bool
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
        connector_types: Mapping[str, str] | None = None,
        token_sources: Iterable[TokenSource] | None = None,
        cookie_name: str | None = None,
        session_secret: str | Secret | Iterable[str | Secret] | None = None,
        allowed_origins: Iterable[str] | None = None,
        connect_path: str | None = None,
        sign_in_url: str | None = None,
        platform_headers: PlatformHeaders | None = None,
        relay_keys: Mapping[str, str | Secret] | None = None,
        relay_audience: str | None = None,
        relay_max_body: int | None = None,
        replay_store: str | Secret | None = None,
        allowed_api_urls: Iterable[str] | None = None,
        allowed_app_ids: Iterable[str] | None = None,
        timeout: float | None = None,
        connect_timeout: float | None = None,
        max_retries: int | None = None,
        ca_file: str | None = None,
        verification: Verification | None = None,
        verification_key: str | Secret | None = None,
        algorithms: Iterable[str] | None = None,
        audience: str | None = None,
        issuer: str | None = None,
        app_claim: str | None = None,
        development: bool | None = None,
        identity_ttl: float | None = None,
    ) -> None:
        # A traceback shows this frame's locals.
        service_token, verification_key = veil(service_token), veil(verification_key)
        session_secret = veil_field("session_secret", session_secret)
        relay_keys, replay_store = veil_field("relay_keys", relay_keys), veil(replay_store)
        self._fill({name: value for name, value in locals().items() if name in FIELDS}, {})

    @classmethod
    def load(
        cls,
        given: Settings | None = None,
        framework: Mapping[str, Any] | None = None,
        fallback: Mapping[str, Any] | None = None,
    ) -> Self:
        """Settings for an adapter: `given` wins over the `framework`'s values, those over the environment.

        Args:
            given: what the user passed in code.
            framework: field names to raw values, as the framework's configuration holds them.
            fallback: what the framework has in place of a default, such as its own secret key.

        Raises:
            ConfigurationError: as the constructor; also for a framework key that is no setting.
        """
        framework = {name: veil_field(name, value) for name, value in (framework or {}).items()}
        fallback = {name: veil_field(name, value) for name, value in (fallback or {}).items()}
        unknown = sorted(set(framework) - set(FIELDS))
        if unknown:
            raise ConfigurationError(f"There is no setting {', '.join(unknown)}; known are {', '.join(FIELDS)}.")
        self = cls.__new__(cls)
        self._fill({} if given is None else given._given, framework, fallback)
        return self.complete()

    def _fill(
        self, given: Mapping[str, Any], framework: Mapping[str, Any], fallback: Mapping[str, Any] | None = None
    ) -> None:
        object.__setattr__(self, "_given", MappingProxyType(dict(given)))
        for name, (parse, default) in FIELDS.items():
            raw = given.get(name)
            if raw is None:
                raw = framework.get(name)
            if raw is None:
                raw = veil_field(name, os.environ.get(variable(name)) or None)
            if raw is None:
                raw = (fallback or {}).get(name)
            try:
                value = default if raw is None else parse(raw)
            except ValueError as error:
                raise ConfigurationError(f"The setting {name} ({variable(name)}) {error}.") from None
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
        reads = self.platform_headers != "ignore"
        if self.platform_headers == "signed" and not (self.relay_keys and self.relay_audience):
            return (
                'platform_headers="signed" needs relay_keys (BASE44_RELAY_KEYS) and relay_audience '
                "(BASE44_RELAY_AUDIENCE): what the relay signs with, and what it calls this server."
            )
        if self.platform_headers == "signed" and self.token_sources != ("header",):
            return 'With platform_headers="signed", token_sources is ("header",) alone: no relay signs the others.'
        if reads and not self.allowed_api_urls:
            return (
                f'platform_headers="{self.platform_headers}" needs allowed_api_urls (BASE44_ALLOWED_API_URLS): '
                "the API origins a request may name, such as https://base44.app."
            )
        if self.app_id is None and not (reads and self.allowed_app_ids):
            return (
                "app_id (BASE44_APP_ID) is not set: give the ID of your Base44 app. "
                "Only trusted platform headers with allowed_app_ids can replace it."
            )
        if self.app_id is not None and self.allowed_app_ids and self.app_id not in self.allowed_app_ids:
            return "app_id (BASE44_APP_ID) is not among allowed_app_ids (BASE44_ALLOWED_APP_IDS)."
        if "session" in self.token_sources and not self.session_secret:
            return (
                'The token source "session" needs session_secret (BASE44_SESSION_SECRET), of 32 characters or more: '
                "python -c 'import secrets; print(secrets.token_urlsafe(32))'."
            )
        if "session" in self.token_sources and any(len(secret.reveal()) < 32 for secret in self.session_secret):
            return (
                "session_secret (BASE44_SESSION_SECRET, or the framework's secret key) is shorter than 32 characters."
            )
        unknown = sorted(set(self.connector_types) - set(self.app_user_connectors))
        if unknown:
            return (
                f"connector_types (BASE44_CONNECTOR_TYPES) names {', '.join(unknown)}, which is not in "
                "app_user_connectors (BASE44_APP_USER_CONNECTORS)."
            )
        if self.app_id is None and (self.service_token or self.app_url):
            return "service_token and app_url belong to one app: set app_id (BASE44_APP_ID) with them."
        return None

    def from_environment(self, names: Iterable[str]) -> list[str]:
        """Which of these fields nobody gave, and the environment did."""
        return [name for name in names if self._given.get(name) is None and os.environ.get(variable(name))]

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
        return all(getattr(self, name) == getattr(other, name) for name in FIELDS)

    def __hash__(self) -> int:
        return hash((self.app_id, self.server_url, self.service_token))

    def __repr__(self) -> str:
        # Half-built ones are in tracebacks.
        app_id, server_url = getattr(self, "app_id", None), getattr(self, "server_url", None)
        return f"<Settings app_id={app_id!r} server_url={server_url!r}>"
