"""`request.base44` in Litestar's terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar.connection import ASGIConnection
from litestar.connection import Request as LitestarRequest
from litestar.connection import WebSocket as LitestarWebSocket
from litestar.di import NamedDependency

from .._asgi.scope import state_of
from .._core.client._async import AsyncBase44
from .._core.engine.context import Context

_ADD = "give the app base44_web.litestar.Base44Plugin, among its plugins"


class Request(LitestarRequest[Any, Any, Any]):
    """Litestar's request, as `Base44Plugin` leaves it; for annotations."""

    if TYPE_CHECKING:
        base44: AsyncBase44
        """The client for this request's app user."""


class WebSocket(LitestarWebSocket[Any, Any, Any]):
    """Litestar's WebSocket, as `Base44Plugin` leaves it; for annotations."""

    if TYPE_CHECKING:
        base44: AsyncBase44
        """The client for this handshake's app user."""


Base44Client = NamedDependency[AsyncBase44]
"""The dependency of a handler's parameter `base44`: the client for this request's app user."""


def get_base44(connection: ASGIConnection[Any, Any, Any, Any]) -> AsyncBase44:
    """The client for a request's or WebSocket's app user; the same as `request.base44`, and as the dependency `base44`.

    Raises:
        MiddlewareMissingError: the app has no `Base44Plugin`.
    """
    return client_of(connection.scope)


def client_of(scope: Any) -> AsyncBase44:
    """As `get_base44`."""
    return state_of(scope, _ADD).client(scope)


def context_of(scope: Any) -> Context:
    """The context of a request or WebSocket. Raises as `get_base44`."""
    return state_of(scope, _ADD).context(scope)


# One property for requests and WebSockets of every app. It reads the scope, so apps stay apart.
ASGIConnection.base44 = property(get_base44)  # type: ignore[attr-defined]
