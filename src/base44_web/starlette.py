"""Starlette: `Base44Middleware` puts `request.base44` on every request and WebSocket.

```python
from base44_web.starlette import Base44Middleware, Request

app = Starlette(routes=[...], middleware=[Middleware(Base44Middleware)])

async def channels(request: Request) -> Response:
    connection = await request.base44.as_service_role.connectors.get_connection("slack")
```
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, final

from starlette.requests import HTTPConnection
from starlette.requests import Request as StarletteRequest
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket as StarletteWebSocket

from ._async.client import AsyncBase44
from ._context import Context
from ._engine import Engine
from ._incoming import HEADERS, Incoming, take_out_of_scope
from ._secret import Opaque
from .errors import ConfigurationError, MiddlewareMissingError
from .settings import Settings

if TYPE_CHECKING:
    from ._transport import AsyncClient, SyncClient, TransportFactory

__all__ = ["Base44Middleware", "Request", "WebSocket", "get_base44"]

_KEY = "base44"
_HEADERS = frozenset(name.encode() for name in HEADERS)


class Request(StarletteRequest):
    """Starlette's request, as `Base44Middleware` leaves it; for annotations."""

    if TYPE_CHECKING:

        @property
        def base44(self) -> AsyncBase44:
            """The client for this request's app user."""
            raise NotImplementedError


class WebSocket(StarletteWebSocket):
    """Starlette's WebSocket, as `Base44Middleware` leaves it; for annotations."""

    if TYPE_CHECKING:

        @property
        def base44(self) -> AsyncBase44:
            """The client for this handshake's app user."""
            raise NotImplementedError


class Base44Middleware:
    """Pure ASGI middleware; add it once, or once more for a mounted app with settings of its own.

    A wrong setting answers `lifespan.startup` with `lifespan.startup.failed`, which ends the server with the message; a
    raise in a constructor only makes servers log that lifespan is unsupported, and go on. Without lifespan (a mounted
    app, a server with it switched off) each request raises the `ConfigurationError`.

    Args:
        app: the ASGI app.
        settings: the settings; what they leave out, or all, comes from `BASE44_*`.
        transport: how to send: a `TransportFactory`, or an `httpx2` or `httpx` client (yours to close).
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Settings | None = None,
        transport: TransportFactory | SyncClient | AsyncClient | None = None,
    ) -> None:
        self.app = app
        self._error: str | None = None
        self._engine: Engine | None = None
        try:
            self._engine = Engine(Settings.load(settings), transport)
        except ConfigurationError as error:
            self._error = error.message
        self._takes_out = self._engine is not None and self._engine.settings.platform_headers == "trust"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif scope["type"] == "http" or scope["type"] == "websocket":
            await self._request(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._engine is None:
            raise ConfigurationError(self._error or "")
        outer = scope.get(_KEY)
        incoming = None
        if self._takes_out:
            # An outer middleware may have taken the headers out already.
            incoming = (outer.incoming if isinstance(outer, _Attached) else None) or _take_out(scope)
        attached = _Attached(self._engine, incoming)
        if outer is None:
            scope[_KEY] = attached
        else:
            scope = {**scope, _KEY: attached}  # the outer app's requests keep their own
        await self.app(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        engine = self._engine
        if engine is None:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": f"base44_web: {self._error}"})
            return

        async def close_last(message: Message) -> None:
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                await engine.aclose()
            await send(message)

        await self.app(scope, receive, close_last)


def get_base44(connection: HTTPConnection) -> AsyncBase44:
    """The client for a request's or WebSocket's app user; the same as `request.base44`.

    Raises:
        MiddlewareMissingError: `Base44Middleware` is not around this app.
    """
    attached = connection.scope.get(_KEY)
    if not isinstance(attached, _Attached):
        raise MiddlewareMissingError(
            "request.base44 is not there: add base44_web.starlette.Base44Middleware to the app, around this route."
        )
    return attached.client(connection.scope)


@final
class _Attached(Opaque):
    """What the middleware puts into the scope; the client is made when it is first asked for.

    It does not hold the scope, which holds it: a cycle would leave every request to the garbage collector.
    """

    __slots__ = ("_client", "_engine", "incoming")

    def __init__(self, engine: Engine, incoming: Incoming | None) -> None:
        self._engine = engine
        self.incoming = incoming
        self._client: AsyncBase44 | None = None

    def client(self, scope: Scope) -> AsyncBase44:
        if self._client is None:
            self._client = AsyncBase44._for(Context(self._engine, self.incoming or _incoming(scope)))
        return self._client


def _incoming(scope: Scope) -> Incoming:
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    return Incoming(
        scope.get("method", "GET"),
        [(name.decode(), value.decode("latin-1")) for name, value in headers if name in _HEADERS],
        secure=scope.get("scheme") in ("https", "wss"),
        websocket=scope["type"] == "websocket",
    )


def _take_out(scope: Scope) -> Incoming:
    incoming = _incoming(scope)
    take_out_of_scope(scope)
    return incoming


# One property for requests and WebSockets of every app. It reads the scope, so apps stay apart.
HTTPConnection.base44 = property(get_base44)  # type: ignore[attr-defined]
