"""The part of the plugin that is around each route, and so sees nothing of what Litestar cannot route."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast
from urllib.parse import unquote

from litestar import Request, Response
from litestar.config.response_cache import default_cache_key_builder
from litestar.exceptions import LitestarException, NoRouteMatchFoundException, TemplateNotFoundException
from litestar.handlers import HTTPRouteHandler

from .._asgi.middleware import ASGIMiddleware
from .._asgi.relay import never
from .._asgi.scope import KEY, ASGIApp, Scope, ScopeState, Send, state_of, with_root
from .._core.engine.apps import Engines
from .._core.incoming.request import strip_scope
from .._core.replies.refusal import Refusal
from .._core.replies.reply import Page, kept_headers
from .._core.replies.visit import quoted
from ..errors import ConfigurationError


class Base44Middleware(ASGIMiddleware):
    """One for each route; they share the engines."""

    hides = (LitestarException,)
    response = Response

    def __init__(self, app: ASGIApp, engines: Engines) -> None:
        super().__init__(app, engines)

    def full_path(self, scope: Scope) -> str:
        """Litestar leaves a normalised path in the scope, and of a mount what comes after it."""
        raw: bytes | None = scope.get("raw_path")
        return with_root(scope, str(scope["path"]) if raw is None else unquote(raw.decode("latin-1")))

    def check_answer(self, scope: Scope, state: ScopeState) -> None:
        handler = scope.get("route_handler")
        if state.was_read and isinstance(handler, HTTPRouteHandler) and is_cached_for_all(handler):
            raise cached_for_all(handler)

    def view_path(self, scope: Scope, view: str, parameters: Mapping[str, str]) -> str | None:
        root = state_of(scope).root.rstrip("/")  # of this very app, which can be mounted in another
        with suppress(NoRouteMatchFoundException):
            return quoted(root + _app(scope).route_reverse(f"base44-{view}", **parameters))
        return None

    def own_page(self, page: Page, scope: Scope) -> bytes | None:
        engine = _app(scope).template_engine
        if engine is None:
            return None
        try:
            template = engine.get_template(f"base44_web/{page.name}.html")
        except TemplateNotFoundException:
            return None
        request: Request[Any, Any, Any] = Request(cast(Any, scope))
        return str(template.render(**page.values, request=request)).encode()

    def put_headers(self, own: Response[Any], refusal: Refusal) -> None:
        there = {name.lower(): name for name in own.headers}  # Litestar keeps names as they were given
        for name, value in kept_headers(refusal, own.headers.get(there.get("vary", ""))).items():
            own.headers.pop(there.get(name.lower(), ""), None)
            own.headers[name] = value

    async def send_own(self, own: Response[Any], scope: Scope, send: Send) -> None:
        request: Request[Any, Any, Any] = Request(cast(Any, scope))
        await cast(Any, own).to_asgi_response(None, request)(cast(Any, scope), cast(Any, never), cast(Any, send))


def _app(scope: Scope) -> Any:
    """The `Litestar` whose plugin this is of; its types leave too much unknown."""
    return state_of(scope).app


def is_cached_for_all(handler: HTTPRouteHandler) -> bool:
    """Whether Litestar keeps what this handler gives, under a key that does not depend on who asks."""
    found: Any = handler
    if not found.cache or found.cache_key_builder is not None:
        return False
    return bool(found.app.response_cache_config.key_builder is default_cache_key_builder)


def cached_for_all(handler: HTTPRouteHandler) -> ConfigurationError:
    """The error of a handler that is cached, and depends on who asks."""
    return ConfigurationError(
        f"{handler} is cached for everybody (cache={handler.cache!r}), and depends on its user: one user's answer "
        "would go to others. Give it a key for each user (cache_key_builder), or leave the cache out."
    )


def strip_unrouted(scope: Scope, engines: Engines) -> None:
    """Remove from a request that no route had what no error page may show."""
    trusts = engines.only is None or engines.only.settings.platform_headers != "ignore"
    if trusts and not isinstance(scope.get(KEY), ScopeState):
        strip_scope(scope)
