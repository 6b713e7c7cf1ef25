"""Guards for Starlette, and the answers to visitors for errors that a view lets escape."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import NoMatchFound
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from ._async.guard import admit
from ._guards import check_connectors, check_function, is_awaiting, mark
from ._pages import render
from ._replies import Page, Reply, Visit, mounted_path, path_and_query, quoted, refuse
from ._starlette_request import HANDLERS, KEY, Attached, get_base44
from ._sync.guard import admit as admit_blocking
from ._values import AppUser
from .errors import Base44Error, MiddlewareMissingError
from .settings import Settings

if TYPE_CHECKING:
    from starlette.templating import Jinja2Templates

V = TypeVar("V")


class Refused(Exception):
    """A guard's answer, on its way out of a FastAPI dependency."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"refused with status {reply.status}")
        self.reply = reply


def app_user_required(view: V) -> V:
    """Guard an endpoint: only a verified app user gets in. Everybody else is answered here, and the view not called.

    Args:
        view: a function of a request or a WebSocket, `async def` or `def`, or an `HTTPEndpoint` or `WebSocketEndpoint`.

    Raises:
        TypeError: at import, for anything else.
    """
    return _guard(view, ())


def app_user_connected(*connectors: str) -> Callable[[V], V]:
    """Guard an endpoint: only app users who have connected all of `connectors` get in.

    In the view, `request.base44.connection(connector)` is at hand. As `app_user_required` otherwise.

    Args:
        connectors: names from `app_user_connectors`, or a `ConnectorID` each.
    """
    checked = check_connectors(connectors, "app_user_connected")
    return lambda view: _guard(view, checked)


def _guard(view: V, connectors: tuple[str, ...]) -> V:
    guarded = _guard_class(view, connectors) if isinstance(view, type) else _guard_function(view, connectors)
    mark(guarded, view, connectors)
    return cast(V, guarded)


def _guard_class(view: type[Any], connectors: tuple[str, ...]) -> type[Any]:
    if not issubclass(view, HTTPEndpoint | WebSocketEndpoint):
        raise TypeError(
            f"{view.__name__} is neither an HTTPEndpoint nor a WebSocketEndpoint; guard its endpoints instead."
        )
    dispatch = view.dispatch

    async def guarded(self: Any) -> None:
        outcome = await admission(HTTPConnection(self.scope), connectors)
        if isinstance(outcome, Reply):
            await deliver(outcome, self.scope, self.receive, self.send)
        else:
            await dispatch(self)

    return type(view.__name__, (view,), {"dispatch": guarded, "__module__": view.__module__, "__doc__": view.__doc__})


def _guard_function(view: Any, connectors: tuple[str, ...]) -> Callable[..., Any]:
    check_function(view)
    names = list(inspect.signature(view).parameters)
    name = next((name for name in ("request", "websocket") if name in names), None)
    if name is None:
        raise TypeError(
            f"{getattr(view, '__name__', view)} needs a parameter request or websocket, for its guard to see."
        )
    index = names.index(name)

    def connection(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return kwargs[name] if name in kwargs else args[index]

    if is_awaiting(view):

        @functools.wraps(view)
        async def guarded(*args: Any, **kwargs: Any) -> Any:
            asking = connection(args, kwargs)
            outcome = await admission(asking, connectors)
            if isinstance(outcome, Reply):
                return await _answer(asking, outcome)
            return await view(*args, **kwargs)

        return guarded

    @functools.wraps(view)
    def guarded_blocking(*args: Any, **kwargs: Any) -> Any:
        asking = connection(args, kwargs)
        context = get_base44(asking)._context
        try:
            admit_blocking(context, connectors)
        except Base44Error as error:
            return response(_refusal(error, asking), asking)
        return view(*args, **kwargs)

    return guarded_blocking


async def admission(connection: HTTPConnection, connectors: tuple[str, ...]) -> AppUser | Reply:
    """The verified user who may pass, or the answer to who may not."""
    context = get_base44(connection)._context
    try:
        return await admit(context, connectors)
    except Base44Error as error:
        return _refusal(error, connection)


def _refusal(error: Base44Error, connection: HTTPConnection) -> Reply:
    reply = refuse(error, visit_of(connection), guarded=True)
    assert reply is not None
    return reply


def visit_of(connection: HTTPConnection) -> Visit:
    """What a reply depends on."""
    scope = connection.scope
    here = path_and_query(full_path(scope), scope.get("query_string", b"").decode("latin-1"))
    context = get_base44(connection)._context
    settings = context.engine.settings
    return Visit(context.incoming, here, _Links(scope, settings), settings, home=quoted(f"{_root(scope)}/"))


@dataclass(frozen=True, slots=True)
class _Links:
    scope: Scope
    settings: Settings

    def path(self, view: str, connector: str | None = None) -> str | None:
        parameters = {} if connector is None else {"connector": connector}
        attached = self.scope.get(KEY)
        # The views of the app whose middleware this is; or, where it has none, of the app around all.
        places: list[tuple[Any, str]] = [(self.scope.get("router") or self.scope.get("app"), _root(self.scope))]
        if isinstance(attached, Attached):
            places.insert(0, (attached.app, attached.root.rstrip("/")))
        for app, root in places:
            with suppress(NoMatchFound, AttributeError):
                return quoted(root + str(app.url_path_for(f"base44-{view}", **parameters)))
        return mounted_path(self.settings, view, connector)


def full_path(scope: Scope) -> str:
    """A request's decoded path, with the root path that a proxy may have taken away."""
    root, path = _root(scope), str(scope["path"])
    return path if not root or path == root or path.startswith(f"{root}/") else root + path


def _root(scope: Scope) -> str:
    root: str = scope.get("app_root_path", scope.get("root_path", ""))
    return root.rstrip("/")


def response(reply: Reply, connection: HTTPConnection) -> Response:
    """A reply as Starlette's response; a page through the middleware's `templates`, if they have one of its name."""
    body: str | bytes = reply.body
    if reply.page is not None:
        attached = connection.scope.get(KEY)
        own = isinstance(attached, Attached) and _rendered(attached.templates, reply.page, connection)
        body = own or render(reply.page)
    return Response(body, reply.status, dict(reply.headers))


def _rendered(templates: Jinja2Templates | None, page: Page, connection: HTTPConnection) -> bytes | None:
    if templates is None:
        return None
    from jinja2 import TemplateNotFound

    wanted = f"base44_web/{page.name}.html"
    request = connection if isinstance(connection, Request) else Request({**connection.scope, "type": "http"})
    try:
        return bytes(templates.TemplateResponse(request, wanted, dict(page.values)).body)
    except TemplateNotFound as error:
        if error.name != wanted:  # one that the app's own template wants
            raise
        return None


async def deliver(reply: Reply, scope: Scope, receive: Receive, send: Send) -> None:
    """Send a reply; on a WebSocket as a denial where that is still possible, else by closing with 1008."""
    attached = scope.get(KEY)
    accepted = isinstance(attached, Attached) and attached.accepted
    if scope["type"] == "http":
        await response(reply, HTTPConnection(scope))(scope, receive, send)
    elif not accepted and "websocket.http.response" in scope.get("extensions", {}):
        await WebSocket(scope, receive, send).send_denial_response(response(reply, HTTPConnection(scope)))
    else:
        await send({"type": "websocket.close", "code": 1008, "reason": f"refused with status {reply.status}"})


def guarded_views(app: Any) -> Iterator[Any]:
    """The endpoints of an app, in FastAPI their dependencies; not of mounted apps with settings of their own."""
    for route in getattr(app, "routes", None) or ():
        yield getattr(route, "endpoint", None)
        yield from _dependencies(getattr(route, "dependant", None))
        mounted = getattr(route, "app", None)
        own = mounted.user_middleware if isinstance(mounted, Starlette) else ()
        if not any(getattr(middleware.cls, "provides_base44", False) for middleware in own):
            yield from guarded_views(route)


def _dependencies(dependant: Any) -> Iterator[Any]:
    for dependency in getattr(dependant, "dependencies", ()):
        yield dependency.call
        yield from _dependencies(dependency)


async def _answer_refused(connection: Any, error: Exception) -> Any:
    assert isinstance(error, Refused)
    return await _answer(connection, error.reply)


async def _answer_error(connection: Any, error: Exception) -> Any:
    assert isinstance(error, Base44Error)
    reply = None if isinstance(error, MiddlewareMissingError) else refuse(error, visit_of(connection), guarded=False)
    if reply is None:
        raise error  # the app's own
    return await _answer(connection, reply)


async def _answer(connection: Any, reply: Reply) -> Response | None:
    if isinstance(connection, WebSocket):
        await deliver(reply, connection.scope, connection.receive, connection.send)
        return None
    return response(reply, connection)


HANDLERS.update({Refused: _answer_refused, Base44Error: _answer_error})
