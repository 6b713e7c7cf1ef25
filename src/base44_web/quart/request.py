"""`request.base44` in Quart's terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from quart import Request as QuartRequest
from quart import Websocket as QuartWebsocket
from quart import has_request_context, has_websocket_context
from quart import request as quart_request
from quart import websocket as quart_websocket
from quart.wrappers import BaseRequestWebsocket
from werkzeug.local import LocalProxy

from .._asgi.scope import Scope, state_of
from .._core.client._async import AsyncBase44
from .._core.engine.context import Context

_ADD = (
    "set up base44_web.quart.Base44Extension for this app, and send it requests through app.asgi_app: a server, or "
    "app.test_client()"
)


class Request(QuartRequest):
    """Quart's request, as the extension leaves it; for annotations."""

    if TYPE_CHECKING:
        base44: AsyncBase44
        """The client for this request's app user; `.sync` in `def` views."""


class Websocket(QuartWebsocket):
    """Quart's WebSocket, as the extension leaves it; for annotations."""

    if TYPE_CHECKING:
        base44: AsyncBase44
        """The client for this handshake's app user."""


request = cast(Request, quart_request)
"""Quart's own `request`, typed with `base44`."""

websocket = cast(Websocket, quart_websocket)
"""Quart's own `websocket`, typed with `base44`."""


def get_base44(connection: BaseRequestWebsocket | None = None) -> AsyncBase44:
    """The client for an app user; by default of the current request or WebSocket.

    Raises:
        MiddlewareMissingError: the app has no `Base44Extension`.
        RuntimeError: outside of a request and of a WebSocket.
    """
    scope = current_scope() if connection is None else cast(Scope, connection.scope)
    return state_of(scope, _ADD).client(scope)


def current_scope() -> Scope:
    """The scope of the current request or WebSocket.

    Raises:
        RuntimeError: outside of both.
    """
    if has_websocket_context():
        return cast(Scope, quart_websocket.scope)
    if not has_request_context():
        raise RuntimeError(
            "base44 belongs to a request. In a command or a worker, use base44_web.AsyncBase44 as a context manager."
        )
    return cast(Scope, quart_request.scope)


def current_context() -> Context:
    """The context of the current request or WebSocket. Raises as `get_base44`."""
    scope = current_scope()
    return state_of(scope, _ADD).context(scope)


current_base44 = cast(AsyncBase44, LocalProxy(get_base44))
"""The client for the current request's or WebSocket's app user."""


# One property for requests and WebSockets of every app. It reads the scope, so apps stay apart.
BaseRequestWebsocket.base44 = property(get_base44)  # type: ignore[attr-defined]
