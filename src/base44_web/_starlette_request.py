"""`request.base44` in Starlette's terms: the scope, and what is in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, final

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.requests import Request as StarletteRequest
from starlette.types import Message, Scope, Send
from starlette.websockets import WebSocket as StarletteWebSocket

from ._async.client import AsyncBase44
from ._context import Context
from ._engine import Engine
from ._incoming import HEADERS, Incoming, take_out_of_scope
from ._secret import Opaque
from .errors import MiddlewareMissingError

if TYPE_CHECKING:
    from starlette.templating import Jinja2Templates

    from ._relay import Relay

KEY = "base44"
# The guards' module puts its exception handlers here.
HANDLERS: dict[type[Exception], Callable[..., Any]] = {}
_HEADERS = frozenset(name.encode() for name in HEADERS)


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
    attached = connection.scope.get(KEY)
    if not isinstance(attached, Attached):
        raise MiddlewareMissingError(
            "request.base44 is not there: add base44_web.starlette.Base44Middleware to the app, around this route."
        )
    _answer_errors(connection.scope)
    return attached.client(connection.scope)


def _answer_errors(scope: Scope) -> None:
    """From now on, answer visitors for errors about them that this app's views let escape; a handler of its own stays.

    Inside of all middleware, so that CORS headers stay; in the innermost app, where apps are mounted.
    """
    handlers = scope.get("starlette.exception_handlers")
    if handlers is not None:
        for error, handler in HANDLERS.items():
            handlers[0].setdefault(error, handler)


@final
class Attached(Opaque):
    """What the middleware puts into the scope; the client is made when it is first asked for.

    It does not hold the scope, which holds it: a cycle would leave every request to the garbage collector.
    """

    __slots__ = ("_client", "_engine", "accepted", "app", "incoming", "judged", "root", "templates")

    def __init__(
        self, engine: Engine, incoming: Incoming | None, templates: Jinja2Templates | None, scope: Scope
    ) -> None:
        self._engine = engine
        self.app: Any = scope.get("app")  # whose middleware this is, and where it is mounted
        self.root: str = scope.get("root_path", "")
        self.templates = templates
        self.judged: Relay | None = None  # by whom this request's signature was found good
        self.incoming = incoming
        self.accepted = False  # a WebSocket, by the app
        self._client: AsyncBase44 | None = None

    def client(self, scope: Scope) -> AsyncBase44:
        if self._client is None:
            self._client = AsyncBase44._for(Context(self._engine, self.incoming or incoming_of(scope)))
        return self._client

    def guarding(self, send: Send) -> Send:
        """Caches are told where an answer depends on the visitor's cookie."""

        async def guarding(message: Message) -> None:
            private = self._client is not None and self._client._context.is_private
            if private and message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Cache-Control", "private")
                if "cookie" not in headers.get("Vary", "").lower():
                    headers.add_vary_header("Cookie")
            await send(message)

        return guarding


def incoming_of(scope: Scope) -> Incoming:
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    return Incoming(
        scope.get("method", "GET"),
        [(name.decode(), value.decode("latin-1")) for name, value in headers if name in _HEADERS],
        secure=scope.get("scheme") in ("https", "wss"),
        websocket=scope["type"] == "websocket",
    )


def take_out(scope: Scope) -> Incoming:
    incoming = incoming_of(scope)
    take_out_of_scope(scope)
    return incoming


# One property for requests and WebSockets of every app. It reads the scope, so apps stay apart.
HTTPConnection.base44 = property(get_base44)  # type: ignore[attr-defined]
