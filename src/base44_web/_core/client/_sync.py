# Generated from _async.py by scripts/unasync.py: do not edit.
"""The request-scoped client and its two connector modules."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self, TypeVar, final

from ..config import Settings
from ..engine.context import Context, call_proxy, connection, identify, renew_connection
from ..engine.endings import connect, disconnect, forget
from ..incoming.caller import DataEnv
from ..names import AppUserConnector, Connections, IntegrationType
from ..platform import wire
from ..platform.io import BLOCKING, run
from ..secret import Opaque, Secret, as_secret
from ..urls import check_identifier
from ..values import ApiResponse, AppUser, Connection, Method, UnverifiedClaims, client_for_pydantic

if TYPE_CHECKING:
    from ..transport.httpx_clients import AsyncClient, SyncClient
    from ..transport.protocol import TransportFactory
    from ._async import AsyncBase44

C = TypeVar("C", bound=Connection)


@final
class Base44(Opaque):
    """A Base44 client for exactly one app user: in a view, the one whose request it is.

    In a view it comes from the middleware, as `request.base44`; it owns nothing, and goes on working in streams,
    background tasks and threads after the response. Without a framework, make one and use it as a context manager.

    Args:
        app_id: the app's ID; default `BASE44_APP_ID`.
        token: the app user's JWT; without it only the service role works.
        service_token: the service role's token; default `BASE44_SERVICE_TOKEN`.
        server_url: the platform's origin; default `BASE44_SERVER_URL`, then `https://base44.app`.
        data_env: the data environment to ask for, sent as `X-Data-Env`.
        settings: all settings at once, in place of the first, third and fourth.
        transport: how to send: an `httpx2` or `httpx` client (yours to close), or a `TransportFactory`.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """

    __slots__ = ("_context",)
    _context: Context

    def __init__(
        self,
        *,
        app_id: str | None = None,
        token: str | Secret | None = None,
        service_token: str | Secret | None = None,
        server_url: str | None = None,
        data_env: DataEnv | None = None,
        settings: Settings | None = None,
        transport: TransportFactory | SyncClient | AsyncClient | None = None,
    ) -> None:
        # Wrapped first: a traceback shows this frame's locals.
        token, service_token = as_secret(token), as_secret(service_token)
        self._context = Context.without_request(
            settings=settings,
            app_id=app_id,
            server_url=server_url,
            service_token=service_token,
            token=token,
            data_env=data_env,
            transport=transport,
        )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> NoReturn:
        raise client_for_pydantic(cls)

    @classmethod
    def _for(cls, context: Context) -> Self:
        self = cls.__new__(cls)
        self._context = context
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections of a client that you made. A request's client owns none, so nothing happens."""
        if self._context.owns_engine:
            self._context.closed = True
            self._context.engine.close()

    @property
    def aio(self) -> AsyncBase44:
        """The awaiting client for the same app user, for async views."""
        from ._async import AsyncBase44

        return AsyncBase44._for(self._context)

    @property
    def token(self) -> Secret | None:
        """The app user's JWT, or `None` for an anonymous visitor. Nothing has verified it: `user()` does.

        Raises:
            Base44Error: what came in is malformed; see `base44_web.errors`.
        """
        token = self._context.caller.token
        return None if token is None else token.secret

    @property
    def unverified_claims(self) -> UnverifiedClaims | None:
        """What the app user's JWT claims, decoded and *not verified*; `None` without a token, or where it is no JWT.

        Anybody can write such claims: they are hints (a language, a name to greet), never an identity.

        Raises:
            Base44Error: what came in is malformed; see `base44_web.errors`.
        """
        token = self._context.caller.token
        found = None if token is None else token.claims
        return None if found is None else UnverifiedClaims(found)

    @property
    def connectors(self) -> UserConnectorsModule:
        """What the app user can do with connectors: connect and disconnect."""
        return UserConnectorsModule(self._context)

    @property
    def as_service_role(self) -> ServiceRole:
        """The service role's modules.

        Raises:
            ServiceRoleUnavailableError: there is no service token for this request.
            Base44Error: what came in is malformed or contradicts the settings.
        """
        wire.service_token(self._context.caller)
        return ServiceRole(self._context)

    def user(self) -> AppUser | None:
        """The signed-in app user, verified as `Settings.verification` says; `None` for an anonymous visitor.

        The platform's answer is remembered for `Settings.identity_ttl` seconds, for this token only.

        Raises:
            AuthenticationError: the token is malformed, expired, refused, of another app or of no active user.
            Base44Error: any other failure; see `base44_web.errors`.
        """
        return None if self._context.caller.token is None else run(identify(BLOCKING, self._context))

    @property
    def app_user(self) -> AppUser:
        """The verified app user whom this request's guard let in. No call is made, and it is never `None`.

        Raises:
            LookupError: no guard has let anybody in.
        """
        user = self._context.admitted
        if user is None:
            raise LookupError(
                "No guard has let a user in for this request: add app_user_required to the view; or ask user(), which "
                "is None for an anonymous visitor."
            )
        return user

    def without_user(self) -> Self:
        """The same client for nobody: the service role without a user.

        For a webhook, or a page behind Basic, whose request has an `Authorization` of its own.
        """
        return self._for(self._context.without_user())

    def connection(self, connector: AppUserConnector) -> Connection:
        """The connection that a guard fetched for this request. No call is made.

        Args:
            connector: a name from `app_user_connectors`, or a connector ID.

        Raises:
            LookupError: no guard of this request asked for the connector, or over a minute ago: a stream can go on for
                hours, and tokens end.
        """
        connection = self._context.at_hand(self._context.engine.settings.connector_id(connector))
        if connection is None:
            raise LookupError(
                f"No guard fetched {connector!r} for this request within the last minute: add "
                f"app_user_connected({connector!r}), or, in what goes on for longer, get_current_app_user_connection."
            )
        return connection

    def renew(self, connection: C) -> C:
        """A newer connection, where the provider said 401 to this one's token.

        The user is verified again, and the platform asked, unless somebody else has been given a newer token already:
        one call for all who hold the same. `connection.auth()` does this by itself.

        Args:
            connection: what `get_…` or a guard gave. It stays as it is.

        Raises:
            RateLimitError: the provider refuses the newest token that there is (`retry_after`, seconds): the app user
                must connect again, or the request needs more rights than they have granted.
            AuthenticationError, NotConnectedError: the user is no longer signed in, or connected.
            ConfigurationError: the client that the connection came from was closed.
            ValueError: the connection was made by hand.
        """
        return run(renew_connection(BLOCKING, self._context, connection))

    def forget(self, user: AppUser | str | None = None) -> None:
        """Drop what is remembered of a user here: who they are, and their connections.

        For when they sign out, or something about them has changed elsewhere.

        Args:
            user: another one than this request's: a user, or a user's ID.

        Raises:
            Base44Error: nobody knows by now whose token this request's is, and the platform cannot be asked.
        """
        run(forget(BLOCKING, self._context, user))


@final
class ServiceRole(Opaque):
    """What runs with the service role's rights, not the app user's."""

    __slots__ = ("_context",)

    def __init__(self, context: Context) -> None:
        self._context = context

    @property
    def connectors(self) -> ConnectorsModule:
        """Connections and their tokens."""
        return ConnectorsModule(self._context)


@final
class ConnectorsModule(Opaque, Connections):
    """Connections and their tokens, fetched with the service role (`asServiceRole.connectors`).

    Every method raises `TypeError` or `ValueError` for an identifier that is empty, no `str`, or has `/ \\ ? # %` or
    control characters, before anything is sent; and a `Base44Error` where the call fails.
    """

    __slots__ = ("_context",)

    def __init__(self, context: Context) -> None:
        self._context = context

    if not TYPE_CHECKING:  # they read its signature in `base44_web_types`

        def get_connection(self, integration_type: str, *, fresh: bool = False) -> Connection:
            """The app's shared connection of an integration type, such as `"slack"`.

            Args:
                integration_type: as the platform calls it.
                fresh: whether the platform is to be asked now, whatever is remembered.

            Raises:
                NotConnectedError: nothing is connected.
                MeteredConnectorError: the connector gives no token; use `call_api`.
            """
            integration_type = check_identifier(integration_type, "integration_type")
            return run(connection(BLOCKING, self._context, "shared", integration_type, fresh=fresh))

    def get_workspace_connection(self, connector_id: str, *, fresh: bool = False) -> Connection:
        """The shared connection of a connector that runs on the workspace's own OAuth app.

        Args:
            connector_id: its ID.
            fresh: whether the platform is to be asked now, whatever is remembered.

        Raises:
            NotConnectedError: nothing is connected.
        """
        connector_id = check_identifier(connector_id, "connector_id")
        return run(connection(BLOCKING, self._context, "workspace", connector_id, fresh=fresh))

    def get_current_app_user_connection(self, connector: AppUserConnector, *, fresh: bool = False) -> Connection:
        """The connection of the app user whose request this is.

        Args:
            connector: a name from `app_user_connectors`, or a connector ID.
            fresh: whether the platform is to be asked now, whatever is remembered.

        Raises:
            AuthenticationError: nobody is signed in, or the token is refused.
            NotConnectedError: this app user has not connected it.
        """
        connector_id = self._context.engine.settings.connector_id(check_identifier(connector, "connector"))
        return run(connection(BLOCKING, self._context, "app_user", connector_id, fresh=fresh))

    def call_api(
        self,
        integration_type: IntegrationType,
        *,
        path: str,
        method: Method = "GET",
        host: str | None = None,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        body: object = None,
    ) -> ApiResponse:
        """Call a metered connector's API through the platform's proxy.

        Args:
            integration_type: the connector, such as `"x"`.
            path: the path at the provider.
            method: upper case.
            host: one of the connector's hosts, if not its usual one.
            query: parameters, added to those in `path`.
            headers: only those the connector allows are passed on.
            body: JSON; ignored for GET and HEAD.

        Returns:
            The provider's answer, also where that is an error (`success=False`).

        Raises:
            NotFoundError: the connector is not set up.
            CreditsExhaustedError: the workspace has no credits left.
            RequestTimeoutError, RequestFailedError: the provider may have executed the call all the same.
            TypeError, ValueError: `path`, `method` or `body` cannot be sent.
        """
        integration_type = check_identifier(integration_type, "integration_type")
        request = partial(wire.call_api, path=path, method=method, host=host, query=query, headers=headers, body=body)
        return run(call_proxy(BLOCKING, self._context, request, integration_type))

    def get_access_token(self, integration_type: IntegrationType) -> str:
        """Deprecated, as in the reference client: use `get_connection`, and its `access_token`."""
        warnings.warn("get_access_token is deprecated: use get_connection", DeprecationWarning, stacklevel=2)
        return (self.get_connection(integration_type)).access_token

    def get_current_app_user_access_token(self, connector: AppUserConnector) -> str:
        """Deprecated, as in the reference client: use `get_current_app_user_connection`, and its `access_token`."""
        warnings.warn(
            "get_current_app_user_access_token is deprecated: use get_current_app_user_connection",
            DeprecationWarning,
            stacklevel=2,
        )
        return (self.get_current_app_user_connection(connector)).access_token


@final
class UserConnectorsModule(Opaque):
    """What the app user can do with connectors (`base44.connectors`).

    Every method raises `TypeError` or `ValueError` for a bad identifier, as `ConnectorsModule` does.
    """

    __slots__ = ("_context",)

    def __init__(self, context: Context) -> None:
        self._context = context

    def connect_app_user(self, connector: AppUserConnector) -> str:
        """The URL that starts the provider's OAuth flow for this app user.

        It is a credential: whoever approves through it connects their account. Give it to this user's browser at
        once; never log, store or cache it. The provider returns to a Base44 page, not to this server.

        Args:
            connector: a name from `app_user_connectors`, or a connector ID.

        Raises:
            AuthenticationError: nobody is signed in, or the token is refused.
            AlreadyConnectedError: the app user is connected already, and there is no URL.
            NotFoundError: the connector is not set up.
        """
        connector_id = self._context.engine.settings.connector_id(check_identifier(connector, "connector"))
        url = run(connect(BLOCKING, self._context, connector_id))
        return url.reveal()

    def disconnect_app_user(self, connector: AppUserConnector) -> None:
        """Remove this app user's stored credentials for a connector.

        Args:
            connector: a name from `app_user_connectors`, or a connector ID.

        Raises:
            AuthenticationError: nobody is signed in, or the token is refused.
            NotFoundError: there was no connection.
        """
        connector_id = self._context.engine.settings.connector_id(check_identifier(connector, "connector"))
        run(disconnect(BLOCKING, self._context, connector_id))
