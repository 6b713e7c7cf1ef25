"""`request.base44` in Starlette's terms: the scope, and what is in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Self, TypeAlias, final

from starlette.requests import HTTPConnection
from starlette.requests import Request as StarletteRequest
from starlette.types import Scope
from starlette.websockets import WebSocket as StarletteWebSocket

from .._core.client._async import AsyncBase44
from .._core.engine.context import Context
from .._core.engine.engine import Engine
from .._core.incoming.request import HEADERS, Incoming
from .._core.secret import Opaque
from ..errors import MiddlewareMissingError

if TYPE_CHECKING:
    from starlette.templating import Jinja2Templates

    from .._core.incoming.signature import SignatureCheck

KEY = "base44"
ExceptionHandlers: TypeAlias = Mapping[type[Exception], Callable[..., Any]]
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
    return state_of(connection.scope).client(connection.scope)


def context_of(connection: HTTPConnection) -> Context:
    """The context of a request or WebSocket. Raises as `get_base44`."""
    return state_of(connection.scope).context(connection.scope)


def state_of(scope: Scope) -> ScopeState:
    """What the middleware put into the scope. Raises as `get_base44`."""
    state = scope.get(KEY)
    if not isinstance(state, ScopeState):
        raise MiddlewareMissingError(
            "request.base44 is not there: add base44_web.starlette.Base44Middleware to the app, around this route."
        )
    return state


@final
class ScopeState(Opaque):
    """What the middleware puts into the scope; the context is made when it is first asked for.

    It does not hold the scope, which holds it: a cycle would leave every request to the garbage collector.

    Attributes:
        app: whose middleware this is.
        root: where that app is mounted.
        incoming: the request, where it was read already.
        templates: where pages of the app's own are looked for.
        checked_by: who found this request's signature good.
        accepted: whether the app has accepted a WebSocket.
        started: whether the answer has begun.
    """

    __slots__ = (
        "_answering", "_client", "_context", "_engine", "_handlers", "accepted", "app", "checked_by", "incoming",
        "root", "started", "templates",
    )  # fmt: skip

    def __init__(
        self, engine: Engine, scope: Scope, templates: Jinja2Templates | None, handlers: ExceptionHandlers
    ) -> None:
        self._engine = engine
        self._handlers = handlers
        self._answering: Any = None
        self._client: AsyncBase44 | None = None
        self._context: Context | None = None
        self.app: Any = scope.get("app")
        self.root: str = scope.get("root_path", "")
        self.incoming: Incoming | None = None
        self.templates = templates
        self.checked_by: SignatureCheck | None = None
        self.accepted = self.started = False

    def take_over(self, outer: object) -> None:
        """What a middleware further out has read, stripped and checked already."""
        if isinstance(outer, ScopeState):
            self.incoming, self.checked_by = outer.incoming, outer.checked_by

    @property
    def was_read(self) -> bool:
        """Whether the answer can depend on who asks: then no cache may give it to others."""
        return self._context is not None and self._context.was_read

    def context(self, scope: Scope) -> Context:
        """The request's context."""
        self._answer_errors(scope)
        if self._context is None:
            self._context = Context(self._engine, self.incoming or incoming_of(scope))
        return self._context

    def client(self, scope: Scope) -> AsyncBase44:
        """The request's client."""
        context = self.context(scope)
        if self._client is None:
            self._client = AsyncBase44._for(context)
        return self._client

    def _answer_errors(self, scope: Scope) -> None:
        """From now on, this app answers for FastAPI's guards, and for errors about visitors that its views let escape.

        Inside of all middleware, so that CORS headers stay; its own handlers stay, too. The scope's key is Starlette's
        own, and undocumented: `tests/adapters/test_starlette.py` pins it.
        """
        handlers = scope.get("starlette.exception_handlers")
        if handlers is not None and handlers is not self._answering:
            self._answering = handlers
            for error, handler in self._handlers.items():
                handlers[0].setdefault(error, handler)


if TYPE_CHECKING:
    _Dictionary = dict[str, Any]
else:

    class _Dictionary(MutableMapping, dict):
        """A `dict` whose methods all use the few that a class of it has."""

        __slots__ = ()


@final
class NestedScope(_Dictionary):
    """The scope of a middleware within another: its own `base44`, and for all else the outer scope itself.

    No copy: what is further out (metrics, access logs) reads the route and the endpoint from its own scope as the app
    ends, and what it takes out of there, or puts in, is for the app to see. A `dict`, as the ASGI specification wants.
    """

    __slots__ = ("_outer", "_own")

    def __init__(self, outer: Scope, state: ScopeState) -> None:
        self._outer = outer
        self._own: dict[str, Any] = {KEY: state}

    def _of(self, key: str) -> Scope:
        return self._own if key == KEY else self._outer

    def __getitem__(self, key: str) -> Any:
        return self._of(key)[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._of(key)[key] = value

    def __delitem__(self, key: str) -> None:
        del self._of(key)[key]

    def __iter__(self) -> Iterator[str]:
        yield from (key for key in self._outer if key != KEY)
        yield from self._own

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def copy(self) -> dict[str, Any]:
        """As a dictionary's: what becomes of the copy does not show here."""
        return dict(self)

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (dict(self),)

    def __or__(self, other: Any) -> Any:
        return dict(self) | other

    def __ror__(self, other: Any) -> Any:
        return other | dict(self)

    def __ior__(self, other: Any) -> Self:  # type: ignore[override]
        self.update(other)
        return self

    def __repr__(self) -> str:
        return repr(dict(self))


def incoming_of(scope: Scope) -> Incoming:
    """What came in."""
    headers: Iterable[tuple[bytes, bytes]] = scope.get("headers") or ()
    if not isinstance(headers, list | tuple):
        headers = scope["headers"] = list(headers)  # it can be read once, and is the app's to read
    return Incoming(
        scope.get("method", "GET"),
        [(name.decode(), value.decode("latin-1")) for name, value in headers if name in _HEADERS],
        secure=scope.get("scheme") in ("https", "wss"),
        websocket=scope["type"] == "websocket",
    )


# One property for requests and WebSockets of every app. It reads the scope, so apps stay apart.
HTTPConnection.base44 = property(get_base44)  # type: ignore[attr-defined]
