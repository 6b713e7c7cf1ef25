"""`base44` in ASGI's terms: the scope, and what is in it. Starlette, FastAPI, Quart and Litestar stand on this."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

from .._core.client._async import AsyncBase44
from .._core.engine.context import Context
from .._core.engine.engine import Engine
from .._core.incoming.request import Incoming
from .._core.secret import Opaque
from ..errors import MiddlewareMissingError

if TYPE_CHECKING:
    from .._core.incoming.signature import SignatureCheck
    from .._core.replies.reply import Reply
    from .middleware import ASGIMiddleware

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

KEY: Final = "base44"


@final
class ScopeState(Opaque):
    """What the middleware puts into the scope; the context is made when it is first asked for.

    It does not hold the scope, which holds it: a cycle would leave every request to the garbage collector.

    Attributes:
        middleware: whose this is.
        app: the app whose middleware that is, where the framework says so.
        root: where that app is mounted.
        incoming: the request, where it was read already.
        checked_by: who found this request's signature good.
        accepted: whether the app has accepted a WebSocket.
        started: whether the answer has begun.
        denied: what to answer in place of the close with which the framework ends a WebSocket.
    """

    __slots__ = (
        "_client", "_context", "_engine", "accepted", "app", "checked_by", "denied", "incoming", "middleware", "root",
        "started",
    )  # fmt: skip

    def __init__(self, middleware: ASGIMiddleware, engine: Engine, scope: Scope) -> None:
        self._engine = engine
        self._client: AsyncBase44 | None = None
        self._context: Context | None = None
        self.middleware = middleware
        self.app: Any = scope.get("app")
        self.root: str = scope.get("root_path", "")
        self.incoming: Incoming | None = None
        self.checked_by: SignatureCheck | None = None
        self.denied: Reply | None = None
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
        self.middleware.answer_errors(scope)
        if self._context is None:
            self._context = Context(self._engine, self.incoming or incoming_of(scope))
        return self._context

    def client(self, scope: Scope) -> AsyncBase44:
        """The request's client."""
        context = self.context(scope)
        if self._client is None:
            self._client = AsyncBase44._for(context)
        return self._client


def state_of(scope: Any, add: str = "add base44_web's middleware to the app, around this route") -> ScopeState:
    """What the middleware put into the scope.

    Args:
        scope: the scope, as the framework types it.
        add: what to do where it is not there.

    Raises:
        MiddlewareMissingError: no middleware is around this app.
    """
    state = scope.get(KEY)
    if not isinstance(state, ScopeState):
        raise MiddlewareMissingError(f"request.base44 is not there: {add}.")
    return state


@final
class _OfScope(Incoming):
    """Octets become text as somebody asks for a header: browsers send twenty."""

    __slots__ = ()

    def _values(self, name: str) -> list[str]:
        octets = name.encode()
        return [value.decode("latin-1") for known, value in self._headers if known == octets]


def incoming_of(scope: Scope) -> Incoming:
    """What came in."""
    headers: Iterable[tuple[bytes, bytes]] = scope.get("headers") or ()
    pairs = tuple(headers)
    if headers is not pairs and not isinstance(headers, list):
        scope["headers"] = list(pairs)  # it can be read once, and is the app's to read
    return _OfScope(
        scope.get("method", "GET"),
        pairs,
        secure=scope.get("scheme") in ("https", "wss"),
        websocket=scope["type"] == "websocket",
    )


def with_root(scope: Scope, path: str) -> str:
    """A decoded path, with the root path that a proxy may have taken away."""
    root = root_of(scope)
    return path if not root or path == root or path.startswith(f"{root}/") else root + path


def root_of(scope: Scope) -> str:
    """Where the app is, without a slash at the end."""
    root: str = scope.get("app_root_path", scope.get("root_path", ""))
    return root.rstrip("/")
