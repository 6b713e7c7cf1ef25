"""Guards for Starlette's endpoints."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.requests import HTTPConnection

from .._core.engine.context import Context
from .._core.guards.admit import admit
from .._core.guards.decorate import Args, Kwargs, guard_awaiting, guard_for
from .._core.guards.startup import check_function, is_awaiting, mark
from .._core.replies.reply import Reply
from .._core.values import AppUser
from ..errors import Base44Error
from .replies import answer, deliver, refusal
from .request import context_of

V = TypeVar("V")


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
    return guard_for(_guard, connectors)


def _guard(view: V, connectors: tuple[str, ...]) -> V:
    if isinstance(view, type):
        return cast(V, _guard_class(view, connectors))
    check_function(view)
    awaiting = view if is_awaiting(view) else _in_threadpool(cast(Callable[..., Any], view))
    return cast(V, guard_awaiting(_STARLETTE, awaiting, connectors))


def _in_threadpool(view: Callable[..., Any]) -> Callable[..., Any]:
    """A `def` view, whose guard then waits outside of the thread pool."""

    @functools.wraps(view)
    async def awaiting(*args: Any, **kwargs: Any) -> Any:
        return await run_in_threadpool(view, *args, **kwargs)

    return awaiting


class _Starlette:
    def finder(self, view: Any) -> Callable[[Args, Kwargs], Any]:
        names = list(inspect.signature(view).parameters)
        name = next((name for name in ("request", "websocket") if name in names), None)
        if name is None:
            raise TypeError(
                f"{getattr(view, '__name__', view)} needs a parameter request or websocket, for its guard to see."
            )
        index = names.index(name)
        return lambda args, kwargs: kwargs[name] if name in kwargs else args[index]

    def context(self, request: HTTPConnection) -> Context:
        return context_of(request)

    async def refuse_awaiting(self, error: Base44Error, request: HTTPConnection) -> Any:
        return await answer(request, refusal(error, request))


_STARLETTE = _Starlette()


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

    content = {"dispatch": guarded, "__module__": view.__module__, "__doc__": view.__doc__}
    made = type(view.__name__, (view,), content)
    mark(made, view, connectors)
    return made


async def admission(connection: HTTPConnection, connectors: tuple[str, ...]) -> AppUser | Reply:
    """The verified user who may pass, or the answer to who may not."""
    context = context_of(connection)
    try:
        return await admit(context.awaiting, context, connectors)
    except Base44Error as error:
        return refusal(error, connection)


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
