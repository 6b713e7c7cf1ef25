"""`request.base44` in Starlette's terms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection
from starlette.requests import Request as StarletteRequest
from starlette.websockets import WebSocket as StarletteWebSocket

from .._asgi.scope import state_of
from .._core.client._async import AsyncBase44
from .._core.engine.context import Context

_ADD = "add base44_web.starlette.Base44Middleware to the app, around this route"


class Request(StarletteRequest):
    """Starlette's request, as `Base44Middleware` leaves it; for annotations."""

    if TYPE_CHECKING:
        base44: AsyncBase44
        """The client for this request's app user."""


class WebSocket(StarletteWebSocket):
    """Starlette's WebSocket, as `Base44Middleware` leaves it; for annotations."""

    if TYPE_CHECKING:
        base44: AsyncBase44
        """The client for this handshake's app user."""


def get_base44(connection: HTTPConnection) -> AsyncBase44:
    """The client for a request's or WebSocket's app user; the same as `request.base44`.

    Raises:
        MiddlewareMissingError: `Base44Middleware` is not around this app.
    """
    return state_of(connection.scope, _ADD).client(connection.scope)


def context_of(connection: HTTPConnection) -> Context:
    """The context of a request or WebSocket. Raises as `get_base44`."""
    return state_of(connection.scope, _ADD).context(connection.scope)


# One property for requests and WebSockets of every app. It reads the scope, so apps stay apart.
HTTPConnection.base44 = property(get_base44)  # type: ignore[attr-defined]
