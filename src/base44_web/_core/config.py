"""`Settings`: what the operator decides, checked once, at start-up. Public as `base44_web.settings`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self, TypeAlias, cast, final

from ..errors import ConfigurationError
from . import fields
from .fields import Factories, HttpClient, PlatformHeaders, Setting, TokenSource, Verification, declared
from .secret import Opaque, Secret, as_secret
from .urls import parse_origin
from .values import ConnectorID, unknown_connector
from .variables import unread, warn_of_unread

_USUAL = (str, int, float, bool, list, tuple, dict)
Text: TypeAlias = Setting[str | None, str | None]
Texts: TypeAlias = Setting[Iterable[str] | None, tuple[str, ...]]
Seconds: TypeAlias = Setting[float | None, float]
Credential: TypeAlias = Setting[str | Secret | None, Secret | None]


class _Given(Opaque):
    __slots__ = ("_borrowed", "_given")
    _given: Mapping[str, Any]  # what code gave, as against a framework or the environment
    _borrowed: frozenset[str]  # what only the framework's own configuration gave


@final
@declared
class Settings(_Given):
    """The settings of one Base44 app on this server. Immutable; its repr shows no credential.

    A field left out (`None`) is taken from the framework's own settings (Django's `BASE44`, Flask's
    config), then from the environment variable `BASE44_<FIELD>`, then from its default. Each value is checked at once;
    what must be there, or go together, as the server starts. `docs/settings.md` lists the fields.

    Raises:
        ConfigurationError: a value is wrong; the message names the setting.
    """

    FIELDS: ClassVar[Mapping[str, Setting[Any, Any]]]
    __slots__ = ()

    app_id: Text = Setting(
        fields.app_id,
        one_app=True,
        group="needed",
        doc="required, unless `allowed_app_ids` and trusted platform headers give it",
    )
    server_url: Setting[str | None, str] = Setting(
        parse_origin,
        "https://base44.app",
        group="usual",
        doc="`https://base44.app`. An origin; https, or http for loopback",
    )
    app_url: Text = Setting(
        parse_origin,
        one_app=True,
        group="needed",
        doc="none. The app's own origin: connecting and disconnecting app users goes there, for the platform mirrors "
        "the host it is called on into the provider's `redirect_uri`",
    )
    service_token: Credential = Setting(
        fields.bearer_token, wrap=as_secret, one_app=True, group="needed", doc="none. The service role's bearer token"
    )
    app_user_connectors: Setting[Mapping[str, str] | None, Mapping[str, str]] = Setting(
        fields.connectors,
        MappingProxyType[str, str]({}),
        one_app=True,
        variable_form="calendar=69e6…,mail=70a1…",
        group="needed",
        doc="empty. Names for connector IDs. Names are `[A-Za-z0-9_-]{1,64}`",
    )
    connector_types: Setting[Mapping[str, str] | None, Mapping[str, str]] = Setting(
        fields.connector_types,
        MappingProxyType[str, str]({}),
        variable_form="calendar=googlecalendar",
        group="usual",
        doc="empty. What the pages call the service: an integration type, or a name",
    )
    token_sources: Setting[Iterable[TokenSource] | None, tuple[TokenSource, ...]] = Setting(
        fields.token_sources,
        ("header",),
        variable_form="header,session",
        group="usual",
        doc='`("header",)`. `"cookie"`, `"session"` and, on WebSockets, `"subprotocol"` are opt-in; the header always '
        "comes first. There is no query source",
    )
    cookie_name: Setting[str | None, str] = Setting(
        fields.cookie_name, "base44_access_token", doc="`base44_access_token`. Over https it must start with `__Host-`"
    )
    secret: Setting[str | Secret | Iterable[str | Secret] | None, tuple[Secret, ...]] = Setting(
        fields.secrets,
        (),
        wrap=fields.as_secrets,
        one_app=True,
        group="usual",
        variable_form="new,old",
        doc="the framework's own secret key. Seals the [session](connecting.md#the-session), by a key derived for it; "
        "32 characters or more. Several: the first seals, all open",
    )
    allowed_origins: Texts = Setting(
        fields.origins, (), group="usual", doc="empty. Other origins that may act with a cookie"
    )
    connect_path: Text = Setting(
        fields.connect_path, doc="found from the mounted [views](connecting.md). Where pages of your own are, if not"
    )
    public_url: Text = Setting(
        parse_origin,
        one_app=True,
        group="usual",
        doc="none. This server's own origin as browsers see it, where a proxy hides it: then only a page of it is of "
        "the same origin",
    )
    app_name: Text = Setting(fields.text, one_app=True, doc="none. What the pages call the app")
    sign_in_url: Text = Setting(
        fields.sign_in_url, group="usual", doc="none. Where people sign in: a path on this server, or an https URL"
    )
    platform_headers: Setting[PlatformHeaders | None, PlatformHeaders] = Setting(
        fields.one_of(PlatformHeaders),
        "ignore",
        group="usual",
        doc='`"ignore"`; `"trust"`, `"signed"`: see [deployment](deployment.md)',
    )
    relay_keys: Setting[Mapping[str, str | Secret] | None, Mapping[str, Secret]] = Setting(
        fields.relay_keys,
        MappingProxyType[str, Secret]({}),
        wrap=fields.as_secret_mapping,
        one_app=True,
        variable_form="id=secret,id=secret",
        group="usual",
        doc='none; needed with `"signed"`. One or two, of 32 bytes or more',
    )
    relay_audience: Text = Setting(
        fields.text,
        group="usual",
        doc='none; needed with `"signed"`. What the relay calls this server, such as `https://api.example.com`',
    )
    relay_max_body: Setting[int | None, int] = Setting(
        fields.byte_count, 1024 * 1024, doc="1 MiB. Bytes of a signed body; more is a 413"
    )
    replay_store: Credential = Setting(
        fields.replay_store,
        wrap=as_secret,
        doc="a file in the temporary folder. Where signed requests are noted, so that none counts twice: a path that "
        "all workers share, or `redis://…`",
    )
    allowed_api_urls: Texts = Setting(
        fields.origins,
        (),
        group="usual",
        doc='empty; needed with `"trust"` and `"signed"`. What `Base44-Api-Url` may name',
    )
    allowed_app_ids: Texts = Setting(
        fields.app_ids, (), doc="empty. Without an `app_id`: what a trusted `Base44-App-Id` may name"
    )
    timeout: Seconds = Setting(
        fields.seconds, 10.0, group="usual", doc="10 seconds for a whole call, from the first to the last octet"
    )
    connect_timeout: Seconds = Setting(fields.seconds, 2.0, doc="2 seconds to connect")
    max_retries: Setting[int | None, int] = Setting(
        fields.count,
        2,
        doc="2. How often a call is made again, within `timeout`, [where it may be](security.md#what-goes-out)",
    )
    ca_file: Text = Setting(fields.ca_file, doc="none. A PEM file of authorities to trust besides the system's")
    http_client: Setting[HttpClient | None, HttpClient] = Setting(
        fields.one_of(HttpClient),
        "httpx2",
        doc='`"httpx2"`; `"httpx"`, `"aiohttp"`: the library that sends awaited calls, '
        "[aiohttp the fastest](performance.md#awaited-calls-on-aiohttp)",
    )
    verification: Setting[Verification | None, Verification] = Setting(
        fields.one_of(Verification),
        "platform",
        doc='`"platform"`; `"keys"`, `"none"`: see [who is asking](security.md#who-is-asking)',
    )
    verification_key: Credential = Setting(
        fields.verification_key,
        wrap=as_secret,
        one_app=True,
        doc='none; with `"keys"` an HMAC secret of 32 bytes or more, a public key as PEM or JWK, or a JWKS URL',
    )
    algorithms: Texts = Setting(
        fields.names, (), variable_form="ES256", doc='none; needed with `"keys"`. HMAC or public keys, not both'
    )
    audience: Text = Setting(fields.text, doc="none. The `aud` that a token must have")
    issuer: Text = Setting(fields.text, doc="none. The `iss` that a token must have")
    app_claim: Text = Setting(fields.text, doc="none. The claim that must be this app's ID")
    id_claim: Setting[str | None, str] = Setting(
        fields.text,
        "sub",
        doc='`sub`. With `"keys"`: the claim that is `AppUser.id`. With `"platform"` it is the record\'s ID: '
        "the two differ",
    )
    development: Setting[bool | None, bool] = Setting(
        fields.switch, default=False, doc="off. On loopback, accept the local dev server's secret, and users of no app"
    )
    identity_ttl: Seconds = Setting(
        fields.ttl,
        60.0,
        group="usual",
        doc="60 seconds for which the platform's word on a token is remembered, never past its `exp`; 0: not at all",
    )
    connection_ttl: Seconds = Setting(
        fields.short_ttl,
        30.0,
        group="usual",
        doc="30 seconds for which a connection may be used again without asking the platform, at most 300; 0: not at "
        "all. Whatever it is, all who ask at the same time share one call",
    )
    connection_store: Setting[str | Secret | Factories | None, Secret | Factories | None] = Setting(
        fields.connection_store,
        wrap=fields.as_store,
        group="usual",
        doc="none: each process remembers for itself. A Redis that all servers share (`redis://…`, `rediss://…`), or a "
        "pair of functions that make a blocking and an awaiting client; needs a `secret` that all servers have. See "
        "[scale](scale.md)",
    )
    if not TYPE_CHECKING:

        def __init__(self, **given: Any) -> None:
            given = self.wrapped(given)  # a traceback shows this frame's locals
            unknown = sorted(given.keys() - self.FIELDS.keys())
            if unknown:
                raise TypeError(f"Settings has no field {', '.join(unknown)}; known are {', '.join(self.FIELDS)}.")
            self._fill(given, {})

    @classmethod
    def wrapped(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Raw values by field, their credentials wrapped: for who holds them where an error may come."""
        return {
            name: cls.FIELDS[name].wrapped(value) if name in cls.FIELDS else value for name, value in values.items()
        }

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
        framework, fallback = cls.wrapped(framework or {}), cls.wrapped(fallback or {})
        unknown = sorted(set(framework) - set(cls.FIELDS))
        if unknown:
            raise ConfigurationError(f"There is no setting {', '.join(unknown)}; known are {', '.join(cls.FIELDS)}.")
        self = cls.__new__(cls)
        warn_of_unread(cls.unread())
        self._fill({} if given is None else given._given, framework, fallback)
        return self.complete()

    @classmethod
    def unread(cls) -> Iterator[tuple[str, str | None]]:
        """Variables of the environment that look like a setting's, and have no effect; see `variables.unread`."""
        return unread(os.environ, {setting.variable for setting in cls.FIELDS.values()})

    def _fill(
        self, given: Mapping[str, Any], framework: Mapping[str, Any], fallback: Mapping[str, Any] | None = None
    ) -> None:
        object.__setattr__(self, "_given", MappingProxyType(dict(given)))
        borrowed: set[str] = set()
        for name, setting in self.FIELDS.items():
            raw = given.get(name)
            if raw is None:
                raw = framework.get(name)
            if raw is None:
                raw = setting.wrapped(os.environ.get(setting.variable) or None)
            if raw is None:
                raw = (fallback or {}).get(name)
                borrowed.update(() if raw is None else (name,))
            try:
                value = setting.default if raw is None else setting.parse(raw)
            except ValueError as error:
                kind = cast(type[Any], type(raw.reveal() if isinstance(raw, Secret) else raw))
                odd = "" if kind in _USUAL else f"; given is a {kind.__name__}"
                raise ConfigurationError(f"The setting {name} ({setting.variable}) {error}{odd}.") from None
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_borrowed", frozenset(borrowed))

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
        if "session" in self.token_sources and not self.secret:
            return (
                'The token source "session" needs secret (BASE44_SECRET), of 32 characters or more: '
                "python -c 'import secrets; print(secrets.token_urlsafe(32))'."
            )
        if "session" in self.token_sources and any(len(secret.reveal()) < 32 for secret in self.secret):
            return "secret (BASE44_SECRET, or the framework's secret key) is shorter than 32 characters."
        if self.connection_store is not None and (
            not self.secret or "secret" in self._borrowed or any(len(secret.reveal()) < 32 for secret in self.secret)
        ):
            return (
                "connection_store (BASE44_CONNECTION_STORE) needs secret (BASE44_SECRET), of 32 characters or more and "
                "the same on all servers; a framework's own secret key is not taken for it."
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

    def borrowed_from_environment(self) -> list[str]:
        """Which fields that belong to one app nobody gave, and the environment did."""
        return [
            name
            for name, setting in self.FIELDS.items()
            if setting.one_app and self._given.get(name) is None and os.environ.get(setting.variable)
        ]

    def connector_id(self, connector: str) -> str:
        """The ID that `connector` means: a name from `app_user_connectors`, or already an ID.

        Raises:
            ConfigurationError: names are configured, and a plain string is neither one of them nor the ID of one: a
                typo must not become an ID, which nobody would ever be connected to. Any other ID is a `ConnectorID`.
        """
        if isinstance(connector, ConnectorID):
            return connector
        known = self.app_user_connectors
        found = known.get(connector)
        if found is None and known and connector not in known.values():
            raise unknown_connector(connector, known)
        return found or connector

    def guarded_id(self, connector: str) -> str:
        """As `connector_id`, for a guard: whether names are configured or not."""
        if not self.app_user_connectors and not isinstance(connector, ConnectorID):
            raise unknown_connector(connector, ())
        return self.connector_id(connector)

    def connector_name(self, connector_id: str) -> str | None:
        """The configured name of a connector, or `None`."""
        return next((name for name, known in self.app_user_connectors.items() if known == connector_id), None)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"Settings cannot be changed; make new ones to set {name}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Settings):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.FIELDS)

    def __hash__(self) -> int:
        return hash((self.app_id, self.server_url, self.service_token))

    def __repr__(self) -> str:
        # Half-built ones are in tracebacks.
        app_id, server_url = getattr(self, "app_id", None), getattr(self, "server_url", None)
        return f"<Settings app_id={app_id!r} server_url={server_url!r}>"


Settings.__module__ = "base44_web.settings"
