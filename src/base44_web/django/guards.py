"""Guards for Django's views."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest

from .._core.engine.context import Context
from .._core.guards.decorate import Args, Kwargs, guard_for, guard_function, takes_a_view
from .._core.guards.startup import Needs, is_awaiting
from .._core.names import AppUserConnector
from ..errors import Base44Error, ConfigurationError
from .replies import refusal
from .request import context_of

V = TypeVar("V", bound=Callable[..., Any])


@takes_a_view
def app_user_required(view: V) -> V:
    """Guard a view: only a verified app user gets in. Everybody else is answered here, and the view not called.

    For class-based views: `@method_decorator(app_user_required, name="dispatch")`.

    Args:
        view: a function of a request, `def` or `async def`.

    Raises:
        TypeError: at import, for anything else.
    """
    return _guard(view, Needs())


def app_user_connected(*connectors: AppUserConnector, fresh: bool = False) -> Callable[[V], V]:
    """Guard a view: only app users who have connected all of `connectors` get in.

    In the view, `request.base44.connection(connector)` is at hand. As `app_user_required` otherwise.

    Args:
        connectors: names from `APP_USER_CONNECTORS`, or a `ConnectorID` each.
        fresh: whether the platform is to be asked for each request, whatever is remembered.
    """
    return guard_for(_guard, connectors, fresh=fresh)


def _guard(view: V, needs: Needs) -> V:
    if isinstance(view, type):
        raise TypeError(f"Guard the class {view.__name__} through method_decorator(…, name='dispatch').")
    guarded = guard_function(_DJANGO, view, needs)
    # As `login_not_required` does: app users are not Django's, and the guard has its own answers.
    guarded.login_required = False  # type: ignore[attr-defined]
    return guarded


class _Django:
    def finder(self, view: Any) -> Callable[[Args, Kwargs], HttpRequest]:
        return _request

    def is_awaiting(self, view: Any) -> bool:
        # Python 3.11 knows asgiref's mark only through asgiref.
        return is_awaiting(view) or iscoroutinefunction(view)  # pyright: ignore[reportDeprecated]

    def must_await(self, view: Any, request: HttpRequest) -> bool:
        # A loop on the thread of a WSGI request is somebody else's (gevent, notebooks).
        return _is_async_dispatch(view) or (isinstance(request, ASGIRequest) and _in_event_loop())

    def early(self, view: Any, request: HttpRequest) -> None:
        return None

    def private(self, answer: Any) -> Any:
        return answer  # `context_of` has told Django's caches

    def context(self, request: HttpRequest) -> Context:
        return context_of(request)

    def refuse(self, error: Base44Error | ConfigurationError, request: HttpRequest) -> Any:
        return refusal(error, request)

    async def refuse_awaiting(self, error: Base44Error | ConfigurationError, request: HttpRequest) -> Any:
        # In a thread: a template of the project's may ask the database.
        return await sync_to_async(refusal)(error, request)


_DJANGO = _Django()


def _request(args: Args, kwargs: Kwargs) -> HttpRequest:
    """The request among a view's arguments: the first, or the second of a method; Django's own within DRF's."""
    for candidate in args[:2]:
        candidate = getattr(candidate, "_request", candidate)
        if isinstance(candidate, HttpRequest):
            return candidate
    raise TypeError("A guarded view was called without a request: use method_decorator for methods.")


def _is_async_dispatch(view: Any) -> bool:
    """Whether this is the `dispatch` of an async class-based view: a plain `def`, which WSGI calls outside the loop."""
    while view is not None:  # through other guards, to the partial that method_decorator passes
        method = getattr(view, "func", view)
        if getattr(getattr(method, "__self__", None), "view_is_async", False):
            return True
        view = getattr(view, "__wrapped__", None)
    return False


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
