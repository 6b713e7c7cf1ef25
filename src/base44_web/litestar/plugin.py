"""`base44` for Litestar."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from copy import copy
from typing import TYPE_CHECKING, Any, Final, cast

import anyio.to_thread
from litestar import Litestar, Response
from litestar.config.app import AppConfig
from litestar.di import Provide
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.middleware import DefineMiddleware
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Components, SecurityScheme
from litestar.plugins import InitPlugin, ReceiveRoutePlugin
from litestar.routes import BaseRoute, HTTPRoute
from litestar.types import Scope

from .._asgi.replies import Refused, escaped_reply
from .._asgi.scope import KEY, ScopeState
from .._core.client._async import AsyncBase44
from .._core.config import Settings
from .._core.engine.apps import Engines, SettingsResolver
from .._core.guards.startup import of_guard, warn_without_views
from ..errors import ConfigurationError
from .guards import OPEN, guards_of
from .middleware import Base44Middleware, cached_for_all, is_cached_for_all, strip_unrouted
from .replies import HANDLERS
from .request import Request, WebSocket, client_of

if TYPE_CHECKING:
    from .._core.replies.refusal import Refusal
    from .._core.transport.httpx_clients import AsyncClient, SyncClient
    from .._core.transport.protocol import TransportFactory

_SCHEME: Final = "Base44AppUser"
_REFUSALS: Final = {
    401: "Nobody is signed in, or the sign-in is no longer valid.",
    403: "Not connected: `connect_url` says where to connect.",
    503: "The platform cannot be asked at the moment.",
}


def _provide(scope: Scope) -> AsyncBase44:
    return client_of(scope)


class Base44Plugin(InitPlugin, ReceiveRoutePlugin):
    """Litestar's plugin: `Litestar(…, plugins=[Base44Plugin()])`.

    Handlers have the dependency `base44` (`base44: Base44Client`; in `def` handlers use `base44.sync`). Guards are
    checked as handlers are registered. In OpenAPI there is a bearer scheme, for all that is guarded or has the
    dependency, and what guards answer.

    Args:
        settings: the settings; what they leave out, or all, comes from `BASE44_*`. For several apps, a resolver.
        transport: how to send: a `TransportFactory`, or an `httpx2` or `httpx` client (yours to close).
        on_refusal: a plain function that is given each `Refusal`, and gives a Litestar `Response`, or `None` for ours.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """

    def __init__(
        self,
        settings: Settings | SettingsResolver | None = None,
        *,
        transport: TransportFactory | SyncClient | AsyncClient | None = None,
        on_refusal: Callable[[Refusal], Response[Any] | None] | None = None,
    ) -> None:
        source = settings if isinstance(settings, SettingsResolver) else Settings.load(settings)
        self._engines = Engines(source, transport, on_refusal=on_refusal)

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Called by Litestar, before the app is made."""
        config: Any = app_config  # Litestar's types leave much of it unknown
        config.middleware.insert(0, DefineMiddleware(cast(Any, Base44Middleware), engines=self._engines))
        config.request_class = config.request_class or Request
        config.websocket_class = config.websocket_class or WebSocket
        config.dependencies = {"base44": Provide(_provide, sync_to_thread=False), **config.dependencies}
        config.exception_handlers = {**HANDLERS, **config.exception_handlers}
        config.after_exception.insert(0, self._after_exception)
        config.lifespan.insert(0, self._lifespan)
        if app_config.openapi_config is not None:
            app_config.openapi_config = openapi = copy(app_config.openapi_config)
            scheme = SecurityScheme(
                type="http", scheme="bearer", bearer_format="JWT", description="The Base44 app user's JWT."
            )
            given = openapi.components if isinstance(openapi.components, list) else [openapi.components]
            openapi.components = [*given, Components(security_schemes={_SCHEME: scheme})]
        return app_config

    def receive_route(self, route: BaseRoute) -> None:
        """Called by Litestar for each route: checks its guards, and tells OpenAPI of them.

        Raises:
            ConfigurationError: a guard is written wrong, names what is not configured, or is below a cache.
        """
        handlers: list[BaseRouteHandler] = getattr(route, "route_handlers", None) or [getattr(route, "route_handler")]  # noqa: B009
        for handler in handlers:
            guards = list(guards_of(handler))
            if self._engines.only is not None:
                for connector in (each for connectors in guards for each in connectors):
                    try:
                        self._engines.only.settings.guarded_id(connector)
                    except ConfigurationError as error:
                        raise of_guard(error, handler.fn) from None
            if isinstance(route, HTTPRoute) and isinstance(handler, HTTPRouteHandler):
                _describe(handler, is_guarded=bool(guards))

    async def _after_exception(self, error: Exception, scope: Scope) -> None:
        found: Any = scope
        state = found.get(KEY)
        if not isinstance(state, ScopeState):
            strip_unrouted(found, self._engines)
        elif found["type"] == "websocket":  # for which Litestar has no exception handlers: it closes
            state.denied = error.reply if isinstance(error, Refused) else escaped_reply(error, found)

    @asynccontextmanager
    async def _lifespan(self, app: Litestar) -> AsyncGenerator[None, None]:
        if self._engines.examines:
            await anyio.to_thread.run_sync(self._engines.probe)
        self._warn_of_missing_views(app)
        try:
            yield
        finally:
            await self._engines.aclose()

    def _warn_of_missing_views(self, app: Litestar) -> None:
        only = self._engines.only
        if only is None:
            return
        handlers = [each for route in app.routes for each in getattr(route, "route_handlers", ())]
        names = any(connectors for each in handlers for connectors in guards_of(each))
        mounted = app.get_handler_index_by_name("base44-connect") is not None
        line = None if mounted else 'connect_router("/base44") to route_handlers'
        warn_without_views(only.settings, line, names=names)


def _describe(handler: HTTPRouteHandler, *, is_guarded: bool) -> None:
    if OPEN in handler.opt or not (is_guarded or "base44" in handler.parsed_fn_signature.parameters):
        return
    if is_cached_for_all(handler):
        raise cached_for_all(handler)
    handler.security = [*(handler.security or ()), {_SCHEME: []}]
    if is_guarded:
        problem = {
            status: ResponseSpec(dict[str, Any], False, description, "application/problem+json")  # noqa: FBT003
            for status, description in _REFUSALS.items()
        }
        handler.responses = {**problem, **(handler.responses or {})}
