"""Guards for Starlette's endpoints."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar, cast

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.routing import NoMatchFound
from starlette.types import ASGIApp, Receive, Scope, Send

from .._asgi.guards import admission
from .._asgi.replies import deliver, mark_private, refusal
from .._core.engine.context import Context
from .._core.guards.decorate import Args, Kwargs, guard_awaiting, guard_for, takes_a_view
from .._core.guards.startup import (
    CONNECTORS,
    Beside,
    Needs,
    WrongGuard,
    check_function,
    is_awaiting,
    is_decorator,
    left_out,
    mark,
)
from .._core.guards.written import annotations_of, parameters_of
from .._core.names import AppUserConnector
from .._core.replies.reply import Reply
from ..errors import Base44Error, ConfigurationError
from .replies import answer
from .request import context_of

V = TypeVar("V")


@takes_a_view
def app_user_required(view: V) -> V:
    """Guard an endpoint: only a verified app user gets in. Everybody else is answered here, and the view not called.

    Args:
        view: a function of a request or a WebSocket, `async def` or `def`, an `HTTPEndpoint` or `WebSocketEndpoint`,
            or an app to be mounted, such as `StaticFiles(…)`.

    Raises:
        TypeError: at import, for anything else.
    """
    return _guard(view, Needs())


def app_user_connected(*connectors: AppUserConnector, fresh: bool = False) -> Callable[[V], V]:
    """Guard an endpoint: only app users who have connected all of `connectors` get in.

    In the view, `request.base44.connection(connector)` is at hand. As `app_user_required` otherwise.

    Args:
        connectors: names from `app_user_connectors`, or a `ConnectorID` each.
        fresh: whether the platform is to be asked for each request, whatever is remembered.
    """
    return guard_for(_guard, connectors, fresh=fresh)


def _guard(view: V, needs: Needs) -> V:
    if isinstance(view, type):
        return cast(V, _guard_class(view, needs))
    if _is_asgi_app(view):
        return cast(V, _GuardedApp(cast(ASGIApp, view), needs))
    check_function(view)
    awaiting = view if is_awaiting(view) else _in_threadpool(cast(Callable[..., Any], view))
    return cast(V, guard_awaiting(_STARLETTE, awaiting, needs))


def _in_threadpool(view: Callable[..., Any]) -> Callable[..., Any]:
    """A `def` view, whose guard then waits outside of the thread pool."""

    @functools.wraps(view)
    async def awaiting(*args: Any, **kwargs: Any) -> Any:
        return await run_in_threadpool(view, *args, **kwargs)

    return awaiting


def _is_asgi_app(view: Any) -> bool:
    """Whether this is an app (`StaticFiles`, a router) to be mounted, and no endpoint."""
    if isinstance(view, type) or inspect.isroutine(view):
        return False
    try:
        return parameters_of(view)[:3] == ["scope", "receive", "send"]
    except (TypeError, ValueError):
        return False


class _GuardedApp:
    """An ASGI app behind a guard."""

    def __init__(self, app: ASGIApp, needs: Needs) -> None:
        self._app = app
        self._needs = needs
        mark(self, app, needs.connectors)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            outcome = await admission(scope, context_of(HTTPConnection(scope)), self._needs)
            if isinstance(outcome, Reply):
                await deliver(outcome, scope, send)
                return
        await self._app(scope, receive, send)


class _Starlette:
    def finder(self, view: Any) -> Callable[[Args, Kwargs], Any]:
        names = parameters_of(view)
        name = next((name for name in ("request", "websocket") if name in names), None)
        if name is None:
            raise TypeError(
                f"{getattr(view, '__name__', view)} needs a parameter request or websocket, for its guard to see."
            )
        index = names.index(name)
        return lambda args, kwargs: kwargs[name] if name in kwargs else args[index]

    def early(self, view: Any, request: HTTPConnection) -> None:
        return None

    def private(self, answer: Any) -> Any:
        # Here, and not only as it leaves the middleware: a cache within that may be.
        if isinstance(answer, Response):
            mark_private(answer.raw_headers)
        return answer

    def context(self, request: HTTPConnection) -> Context:
        return context_of(request)

    async def refuse_awaiting(self, error: Base44Error | ConfigurationError, request: HTTPConnection) -> Any:
        return await answer(request, refusal(error, request.scope))


_STARLETTE = _Starlette()


def _guard_class(view: type[Any], needs: Needs) -> type[Any]:
    if not issubclass(view, HTTPEndpoint | WebSocketEndpoint):
        raise TypeError(
            f"{view.__name__} is neither an HTTPEndpoint nor a WebSocketEndpoint; guard its endpoints instead."
        )
    dispatch = view.dispatch

    async def guarded(self: Any) -> None:
        outcome = await admission(self.scope, context_of(HTTPConnection(self.scope)), needs)
        if isinstance(outcome, Reply):
            await deliver(outcome, self.scope, self.send)
        else:
            await dispatch(self)

    content = {"dispatch": guarded, "__module__": view.__module__, "__doc__": view.__doc__}
    made = type(view.__name__, (view,), content)
    mark(made, view, needs.connectors)
    return made


def routed_views(app: Any, *, starting: bool = False) -> Iterator[Any]:
    """What an app routes: endpoints, and in FastAPI dependencies; not of mounted apps with settings of their own."""
    seen: set[int] = set()
    left: list[Any] = [app]
    while left:
        each = left.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each  # an app can be what a guard was given, and its result thrown away
        if each is not app and _has_settings_of_its_own(each):
            continue
        endpoint = _attribute(each, "endpoint")
        yield endpoint
        _check_spelling(endpoint)
        if starting:  # later it is refused as it is copied
            _check_defaults(endpoint)
        dependant = _attribute(each, "dependant")
        for dependency in _dependencies(dependant):
            _check_dependency(dependency, endpoint)
            _check_spelling(dependency)
            yield Beside(endpoint, dependency)
        _check_cache(endpoint, dependant)
        for depends in getattr(_attribute(each, "include_context"), "dependencies", ()):
            yield getattr(depends, "dependency", None)
        left += routes_of(each)
        # What is within a mount, a middleware that wraps by hand, or a router that FastAPI includes.
        left += [_attribute(each, name) for name in ("app", "router", "original_router")]


def line_for_views(apps: Iterable[Any]) -> str | None:
    """What mounts the redirect views in these apps, where none has them; `None` where one has, or nobody can tell."""
    found = [app for app in apps if hasattr(app, "url_path_for")]
    for app in found:
        with suppress(NoMatchFound):
            app.url_path_for("base44-connect", connector="x")
            return None
    if any(hasattr(app, "include_router") for app in found):
        return 'app.include_router(connect_router(), prefix="/base44")'
    return 'Mount("/base44", routes=connect_routes())' if found else None


def routes_of(app: Any) -> Sequence[Any]:
    """The routes of an app, router or mount; other frameworks' apps have something else by that name."""
    found = _attribute(app, "routes")
    return cast(Sequence[Any], found) if isinstance(found, list | tuple) else ()


def _attribute(thing: Any, name: str) -> Any:
    # Only what is there: an object that makes attributes as they are asked for would have no end.
    return None if inspect.getattr_static(thing, name, None) is None else getattr(thing, name, None)


def _has_settings_of_its_own(app: Any) -> bool:
    stack: list[Any] = [each.cls for each in app.user_middleware] if isinstance(app, Starlette) else [type(app)]
    return any(getattr(each, "provides_base44", False) for each in stack)


def _dependencies(dependant: Any) -> Iterator[Any]:
    for dependency in getattr(dependant, "dependencies", ()):
        yield dependency.call
        yield from _dependencies(dependency)


def _check_dependency(dependency: Any, view: Any) -> None:
    """Refuse a decorator of ours as a dependency (`Depends(app_user_required)`): there it guards nothing."""
    if is_decorator(dependency):
        raise WrongGuard(
            "A decorator (app_user_required, app_user_connected) stands in a parameter or in Depends(…), where it "
            "guards nothing: write Annotated[AppUser, AppUserRequired()] or Annotated[Connection, "
            'AppUserConnection("calendar")], of base44_web.fastapi.',
            view,
        )


_CACHES: Final = ("fastapi_cache", "aiocache", "cashews")


def _check_spelling(endpoint: Any) -> None:
    """Refuse a guard without its parentheses, or a decorator of ours, as a default or in an annotation."""
    if not inspect.isroutine(endpoint):
        return
    values = (
        [*(endpoint.__defaults__ or ()), *(endpoint.__kwdefaults__ or {}).values()]
        if inspect.isfunction(endpoint)
        else []
    )
    for annotation in annotations_of(endpoint).values():
        values += getattr(annotation, "__metadata__", ())
    for each in values:
        _check_dependency(each, endpoint)
        if isinstance(each, type) and getattr(each, "guards_app_users", False):
            raise each._is_not_called()  # type: ignore[attr-defined]


def _check_cache(endpoint: Any, dependant: Any) -> None:
    package = str(getattr(endpoint, "__globals__", {}).get("__name__", "")).partition(".")[0]
    if package in _CACHES and any(hasattr(each, "scheme_name") or _is_ours(each) for each in _dependencies(dependant)):
        raise WrongGuard(
            f"The endpoint {getattr(endpoint, '__name__', endpoint)!r} is below a cache of {package}, and depends on "
            "its user: the cache would give one user's answer to others. Cache what is the same for all, in a "
            "function.",
            endpoint,
        )


def _is_ours(dependency: Any) -> bool:
    return str(getattr(dependency, "__module__", "")).startswith("base44_web.")


def _check_defaults(endpoint: Any) -> None:
    """A guard in the default value of a parameter (`def view(dependencies=[…])`) guards nothing."""
    for default in getattr(endpoint, "__defaults__", None) or ():
        for each in cast(list[Any], default) if isinstance(default, list | tuple) else ():
            if isinstance(getattr(getattr(each, "dependency", None), CONNECTORS, None), tuple):
                raise left_out(endpoint)
