"""What the connector modules give back: connections, proxied API answers, the app user."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, Self, TypeAlias, TypeVar, final

from ..errors import ConfigurationError
from .provider_auth import Origin, ProviderAuth, R, auth_for, authorize
from .secret import Opaque, Secret

Phase: TypeAlias = Literal["not_sent", "responded", "timed_out", "sent_unconfirmed"]
Method: TypeAlias = Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]


class ConnectorID(str):
    """A connector's ID, for places where a plain `str` means a name from `app_user_connectors`.

    In real apps it is 24 hex digits (contract of `@base44/sdk` 0.8.50).
    """

    __slots__ = ()


def unknown_connector(connector: str, names: Collection[str]) -> ConfigurationError:
    """The error of a plain `str` that is none of the configured `names`, nor the ID of one."""
    from difflib import get_close_matches  # only where something is wrong

    near = get_close_matches(connector, names, 1)
    return ConfigurationError(
        f"The connector {connector!r} is not in app_user_connectors (BASE44_APP_USER_CONNECTORS), which has "
        f"{', '.join(names) or 'nothing'}. "
        + (f"Did you mean {near[0]!r}? Else add" if near else "Add")
        + f" it there, or write ConnectorID({connector!r}) if that is an ID."
    )


@final
class ConnectionRecord(Opaque):
    """What the platform said of a connection. It belongs to nobody's request: caches and flights hold these."""

    __slots__ = ("_fingerprint", "asked", "config", "integration_type", "token")

    def __init__(self, token: Secret, config: Mapping[str, str] | None, integration_type: str | None) -> None:
        self.token = token
        self.config = None if config is None else MappingProxyType(dict(config))
        self.integration_type = integration_type
        self.asked = 0.0  # monotonic clock
        self._fingerprint: bytes | None = None

    @property
    def fingerprint(self) -> bytes:
        """The token's SHA-256, to compare it by."""
        if self._fingerprint is None:
            self._fingerprint = sha256(self.token.reveal().encode()).digest()
        return self._fingerprint


class Connection(Opaque):
    """A live connection to an outside service: its access token and configuration.

    For calls to the provider give `connection.auth()` to httpx2 or httpx as `auth=`: it sends the newest token, and
    survives a 401. `auth=connection` (requests takes it, too) sends this one, once. Tokens go only over https, and http
    on loopback. A connection cannot be pickled or serialised, and its repr shows no token.
    """

    __slots__ = ("_origin", "_record")

    def __init__(self, token: Secret, config: Mapping[str, str] | None, integration_type: str | None) -> None:
        self._record = ConnectionRecord(token, config, integration_type)
        self._origin: Origin[ConnectionRecord] | None = None

    @classmethod
    def _of(cls, record: ConnectionRecord, origin: Origin[ConnectionRecord]) -> Self:
        self = cls.__new__(cls)
        self._record, self._origin = record, origin
        return self

    @property
    def access_token(self) -> str:
        """The OAuth access token of the outside service. It never changes: `renew` gives another connection."""
        return self._record.token.reveal()

    @property
    def connection_config(self) -> Mapping[str, str] | None:
        """What else the provider's API needs (a Snowflake account, a shop domain), or `None`. Read-only."""
        return self._record.config

    @property
    def integration_type(self) -> str | None:
        """The integration type the platform named, such as `"googlecalendar"`."""
        return self._record.integration_type

    def auth(self, hosts: Iterable[str] | None = None) -> ProviderAuth:
        """What to give to httpx2 or httpx as `auth=`, for a client or a request, blocking or awaiting.

        It sends the newest token. After a 401 of the provider it renews the connection (`request.base44.renew`) and
        sends the request once more, if its body can be sent again. It works after the response, in other threads and
        event loops.

        Args:
            hosts: the only hosts to send the token to, such as `["www.googleapis.com"]`, `["*.googleapis.com"]`; by
                default any, over https.

        Raises:
            ValueError: as a request is sent: it goes elsewhere, or not over https (http on loopback).
        """
        newest = self._record if self._origin is None else self._origin.newest or self._record
        return auth_for(newest, self._origin, hosts)

    def __call__(self, request: R) -> R:
        """Authorize one request: `auth=connection` of httpx2, httpx and requests."""
        return authorize(request, self._record.token)

    def __repr__(self) -> str:
        return f"<Connection {self.integration_type or ''}>"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> NoReturn:
        raise not_for_pydantic(cls, 'AppUserConnection("…")')

    if not TYPE_CHECKING:

        def __class_getitem__(cls, config: object) -> type[Self]:
            return cls  # see ConnectionWith


if TYPE_CHECKING:
    Config = TypeVar("Config", covariant=True)

    class ConnectionWith(Connection, Generic[Config]):
        """A `Connection` whose configuration has keys that are known: `ConnectionWith[SnowflakeConfig | None]`.

        For type checkers; at run time it is `Connection` itself. A class of its own and not a generic `Connection`: a
        `TypedDict` is no `Mapping[str, str]`, though one of strings can be read as one, and who asks for a `Connection`
        takes any.
        """

        @property
        def connection_config(self) -> Config: ...  # type: ignore[override]
else:
    ConnectionWith = Connection


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """The answer of `call_api`. A provider's error is returned with `success=False`, not raised.

    Attributes:
        success: true only where the provider answered 2xx.
        phase: how far the call went; only `"not_sent"` proves that the provider did not execute it.
        status: the provider's HTTP status, or `None` where it did not answer.
        data: the provider's decoded JSON or text, or `None`.
        data_base64: the body of a binary answer, base64, or `None`.
        content_type: its media type, set only with `data_base64`.
        headers: the provider's headers that the connector exposes, usually rate limit counters.
        credits_charged: integration credits billed to the workspace for this call.
    """

    success: bool
    phase: Phase
    status: int | None = None
    data: Any = None
    data_base64: str | None = None
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    credits_charged: float = 0


class UnverifiedClaims(Mapping[str, Any]):
    """What a JWT claims, decoded and verified by nobody. Read-only, and no `AppUser`: no guard takes it for one."""

    __slots__ = ("_claims",)

    def __init__(self, claims: Mapping[str, Any]) -> None:
        self._claims = dict(claims)

    def __getitem__(self, name: str) -> Any:
        return self._claims[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._claims)

    def __len__(self) -> int:
        return len(self._claims)

    def __repr__(self) -> str:
        return f"<UnverifiedClaims {', '.join(sorted(self._claims))}>"


class AppUser:
    """The signed-in app user: as the platform itself answered for this token (`GET …/entities/User/me`), or, with
    `verification="keys"`, as the verified token says. Immutable; frameworks cannot read one from a request, nor return
    one: that would send all custom fields.

    Attributes:
        id: the record's ID; with `"keys"` the claim that `id_claim` names, which is another (`sub` by default).
        email: their address, or `None`.
        full_name: their name, or `None`.
        role: such as `"admin"`; `None` with `"keys"`: claims give no role.
        is_verified: whether the platform has verified the address; false with `"keys"`.
        app_id: the app.
        raw: the whole record, custom fields included, or the claims. They never override the typed fields.
            Do not change it: while it is remembered, it is shared.
    """

    __slots__ = ("app_id", "email", "full_name", "id", "is_verified", "raw", "role")
    id: str
    email: str | None
    full_name: str | None
    role: str | None
    is_verified: bool
    app_id: str
    raw: Mapping[str, Any]

    def __init__(
        self,
        id: str,
        email: str | None,
        full_name: str | None,
        role: str | None,
        *,
        is_verified: bool,
        app_id: str,
        raw: Mapping[str, Any],
    ) -> None:
        values = {"id": id, "email": email, "full_name": full_name, "role": role}
        for name, value in {**values, "is_verified": is_verified, "app_id": app_id, "raw": raw}.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"an AppUser cannot be changed: {name}")

    def _identity(self) -> tuple[object, ...]:
        return self.id, self.email, self.full_name, self.role, self.is_verified, self.app_id

    def __eq__(self, other: object) -> bool:
        return self._identity() == other._identity() if isinstance(other, AppUser) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity())

    def __repr__(self) -> str:
        return f"<AppUser id={self.id!r} email={self.email!r} app_id={self.app_id!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _user_again, (type(self), {name: getattr(self, name) for name in AppUser.__slots__})

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> NoReturn:
        raise not_for_pydantic(cls, "AppUserRequired()")

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Build from the platform's record, whose `id` and `app_id` were checked to be strings."""

        def text(key: str) -> str | None:
            value = record.get(key)
            return value if isinstance(value, str) else None

        return cls(
            id=record["id"],
            email=text("email"),
            full_name=text("full_name"),
            role=text("role"),
            is_verified=record.get("is_verified") is True,
            app_id=record["app_id"],
            raw=dict(record),
        )


def _user_again(cls: type[AppUser], values: dict[str, Any]) -> AppUser:
    return cls(**values)


def client_for_pydantic(cls: type) -> TypeError:
    """The error for a client as a bare annotation of a FastAPI endpoint."""
    alias = "Base44Client" if cls.__name__.startswith("Async") else "SyncBase44Client"
    return TypeError(
        f"{cls.__name__} comes from the middleware, never from a request: annotate the parameter as {alias}, of "
        "base44_web.fastapi."
    )


def not_for_pydantic(cls: type, guard: str) -> TypeError:
    """Why a value of ours stands in no model, body or answer."""
    return TypeError(
        f"{cls.__name__} comes from a guard, never from a request, and is not to be returned whole: annotate a "
        f"parameter as Annotated[{cls.__name__}, {guard}], and return the fields that you mean."
    )
