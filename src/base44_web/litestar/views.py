"""The redirect views as a router."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, cast

from litestar import Request, Router
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from .._asgi.relay import read_body
from .._asgi.scope import Receive, Scope
from .._asgi.views import ViewApp
from .._core.views.routes import MAX_BODY, VIEWS, View
from .guards import OPEN


def connect_router(path: str = "/base44") -> Router:
    """The redirect views, among an app's `route_handlers`; they are for browsers, and so not in OpenAPI.

    `connect/{name}`, `status/{name}`, `disconnect/{name}`, `connect.js` and, with the token source `"session"`,
    `session` and `session/logout`. `{name}` is one of `app_user_connectors`.

    They stay open in an app that is guarded as a whole, and Litestar's CSRF protection leaves them to ours.

    Args:
        path: where they are.
    """
    return Router(
        path, route_handlers=[_handler(view) for view in VIEWS], after_request=_as_it_is, include_in_schema=False
    )


async def _as_it_is(response: Any) -> Any:
    """In place of an `after_request` of the app's, which would be given something else than a `Response`."""
    return response


def _handler(view: View) -> HTTPRouteHandler:
    app = _ViewApp(view)

    async def handler() -> ASGIApp:
        return cast(ASGIApp, app)

    path = "/" + view.path.replace("{connector}", "{connector:str}")
    methods: Any = [*view.methods, *(["HEAD"] if "GET" in view.methods else [])]
    opt = {OPEN: True, "exclude_from_csrf": True}
    return HTTPRouteHandler(path, http_method=methods, name=f"base44-{view.name}", opt=opt)(handler)


class _Request(Request[Any, Any, Any]):
    async def stream(self) -> AsyncGenerator[bytes, None]:
        yield await read_body(cast(Receive, self.receive), MAX_BODY) or b""


class _ViewApp(ViewApp):
    async def read(self, scope: Scope, receive: Receive) -> bytes | None:
        """The body, also where a middleware (Litestar's logging is one) has read it as Litestar's request does."""
        return await _Request(cast(Any, scope), cast(Any, receive)).body()
