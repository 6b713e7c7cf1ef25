"""Guards for Django's views, and the answers to visitors for errors that a view lets escape."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.template.exceptions import TemplateDoesNotExist
from django.template.loader import get_template
from django.urls import NoReverseMatch, get_script_prefix, reverse

from .._async.guard import admit as admit_awaiting
from .._guards import check_connectors, check_function, is_awaiting, mark
from .._pages import render
from .._replies import Reply, Visit, mounted_path, path_and_query, quoted, refuse
from .._sync.guard import admit
from ..errors import Base44Error, MiddlewareMissingError
from ..settings import Settings
from .request import full_path, get_base44

V = TypeVar("V", bound=Callable[..., Any])


def app_user_required(view: V) -> V:
    """Guard a view: only a verified app user gets in. Everybody else is answered here, and the view not called.

    For class-based views: `@method_decorator(app_user_required, name="dispatch")`.

    Args:
        view: a function of a request, `def` or `async def`.

    Raises:
        TypeError: at import, for anything else.
    """
    return _guard(view, ())


def app_user_connected(*connectors: str) -> Callable[[V], V]:
    """Guard a view: only app users who have connected all of `connectors` get in.

    In the view, `request.base44.connection(connector)` is at hand. As `app_user_required` otherwise.

    Args:
        connectors: names from `APP_USER_CONNECTORS`, or a `ConnectorID` each.
    """
    checked = check_connectors(connectors, "app_user_connected")
    return lambda view: _guard(view, checked)


def _guard(view: V, connectors: tuple[str, ...]) -> V:
    if isinstance(view, type):
        raise TypeError(f"Guard the class {view.__name__} through method_decorator(…, name='dispatch').")
    check_function(view)

    async def awaiting(request: HttpRequest, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        context = get_base44(request)._context
        try:
            await admit_awaiting(context, connectors)
        except Base44Error as error:
            # In a thread: a template of the project's may ask the database.
            return await sync_to_async(_refusal)(error, request)
        answer = view(*args, **kwargs)
        return await answer if inspect.isawaitable(answer) else answer

    # Python 3.11 knows asgiref's mark only through asgiref.
    if is_awaiting(view) or iscoroutinefunction(view):  # pyright: ignore[reportDeprecated]

        @functools.wraps(view)
        async def guarded_awaiting(*args: Any, **kwargs: Any) -> Any:
            return await awaiting(_request(args), args, kwargs)

        mark(guarded_awaiting, view, connectors)
        return cast(V, guarded_awaiting)

    @functools.wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        request = _request(args)
        if _is_async_dispatch(view) or _in_event_loop():
            return awaiting(request, args, kwargs)
        context = get_base44(request)._context
        try:
            admit(context, connectors)
        except Base44Error as error:
            return _refusal(error, request)
        return view(*args, **kwargs)

    mark(guarded, view, connectors)
    return cast(V, guarded)


def _request(args: tuple[Any, ...]) -> HttpRequest:
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


def _refusal(error: Base44Error, request: HttpRequest) -> HttpResponse:
    reply = refuse(error, visit_of(request), guarded=True)
    assert reply is not None
    return response(reply, request)


def answer(error: Exception, request: HttpRequest) -> HttpResponse | None:
    """The answer for an error that a view let escape, if it is about this visitor."""
    if not isinstance(error, Base44Error) or isinstance(error, MiddlewareMissingError):
        return None
    reply = refuse(error, visit_of(request), guarded=False)
    return None if reply is None else response(reply, request)


def visit_of(request: HttpRequest) -> Visit:
    """What a reply depends on."""
    context = get_base44(request)._context
    settings = context.engine.settings
    here = path_and_query(full_path(request), request.META.get("QUERY_STRING", ""))
    return Visit(context.incoming, here, _Links(settings), settings, home=quoted(get_script_prefix()))


@dataclass(frozen=True, slots=True)
class _Links:
    settings: Settings

    def path(self, view: str, connector: str | None = None) -> str | None:
        try:
            return reverse(f"base44:{view}", kwargs={} if connector is None else {"connector": connector})
        except NoReverseMatch:
            return mounted_path(self.settings, view, connector)


def response(reply: Reply, request: HttpRequest) -> HttpResponse:
    """A reply as Django's response; a page through the project's template `base44_web/<name>.html`, if there is one."""
    body: Any = reply.body
    if reply.page is not None:
        template = _template(reply.page.name)
        body = render(reply.page) if template is None else template.render(dict(reply.page.values), request)
    return HttpResponse(body, status=reply.status, headers=dict(reply.headers))


def _template(name: str) -> Any:
    wanted = f"base44_web/{name}.html"
    try:
        return get_template(wanted)
    except TemplateDoesNotExist as error:
        if str(error) != wanted:  # one that the project's own template wants
            raise
    except ImproperlyConfigured:  # no template engine
        pass
    return None
