"""Guards for Flask's views, and the answers to visitors for errors that a view lets escape."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from flask import Flask, Response, current_app, render_template, request, url_for
from jinja2 import TemplateNotFound
from werkzeug.routing import BuildError

from ._async.guard import admit as admit_awaiting
from ._flask_request import get_base44
from ._guards import check_connectors, is_bare, mark
from ._pages import render
from ._replies import Reply, Visit, mounted_path, refuse
from ._sync.guard import admit
from .errors import Base44Error, ConfigurationError, MiddlewareMissingError
from .settings import Settings

V = TypeVar("V", bound=Callable[..., Any])


def app_user_required(view: V) -> V:
    """Guard a view: only a verified app user gets in. Everybody else is answered here, and the view not called.

    It goes below the route:

    ```python
    @app.get("/me")
    @app_user_required
    def me(): ...
    ```

    Raises:
        TypeError: at import, for anything but a function.
    """
    return _guard(view, ())


def app_user_connected(*connectors: str) -> Callable[[V], V]:
    """Guard a view: only app users who have connected all of `connectors` get in.

    In the view, `request.base44.connection(connector)` is at hand. As `app_user_required` otherwise.

    Args:
        connectors: names from `BASE44_APP_USER_CONNECTORS`, or a `ConnectorID` each.
    """
    checked = check_connectors(connectors, "app_user_connected")
    return lambda view: _guard(view, checked)


def _guard(view: V, connectors: tuple[str, ...]) -> V:
    if not callable(view) or isinstance(view, type):
        raise TypeError(
            "A guard goes on a view function, below the route; for a class: decorators = [app_user_required]."
        )
    if inspect.iscoroutinefunction(view):

        @functools.wraps(view)
        async def guarded_awaiting(*args: Any, **kwargs: Any) -> Any:
            try:
                await admit_awaiting(get_base44()._context, connectors)
            except Base44Error as error:
                return _refusal(error)
            return await view(*args, **kwargs)

        mark(guarded_awaiting, view, connectors)
        return cast(V, guarded_awaiting)

    @functools.wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            admit(get_base44()._context, connectors)
        except Base44Error as error:
            return _refusal(error)
        return view(*args, **kwargs)

    mark(guarded, view, connectors)
    return cast(V, guarded)


def _refusal(error: Base44Error) -> Response:
    if isinstance(error, MiddlewareMissingError):
        raise error
    reply = refuse(error, visit_of_request(), guarded=True)
    assert reply is not None
    return response(reply)


def answer_errors(app: Flask) -> None:
    """Answer visitors for errors that a view lets escape; refuse to run a view whose guard was put above its route."""

    def answer(error: Base44Error) -> Response:
        guarded = (
            None if isinstance(error, MiddlewareMissingError) else refuse(error, visit_of_request(), guarded=False)
        )
        if guarded is None:
            raise error  # the app's own
        return response(guarded)

    def refuse_bare_view() -> None:
        if request.endpoint is not None and is_bare(current_app.view_functions.get(request.endpoint)):
            raise ConfigurationError(
                f"The guard of {request.endpoint!r} is above its route, and so left out: put the guard below the route."
            )

    app.register_error_handler(Base44Error, answer)
    app.before_request(refuse_bare_view)


def visit_of_request() -> Visit:
    """What a reply to the current request depends on."""
    context = get_base44()._context
    settings = context.engine.settings
    query = request.query_string.decode("latin-1")
    path = f"{request.root_path}{request.path}" if request.root_path != "/" else request.path
    return Visit(context.incoming, path + (f"?{query}" if query else ""), _Links(settings), settings)


@dataclass(frozen=True, slots=True)
class _Links:
    settings: Settings

    def path(self, view: str, connector: str | None = None) -> str | None:
        parameters = {} if connector is None else {"connector": connector}
        try:
            return url_for(f"base44.{view}", **parameters)  # type: ignore[arg-type]
        except BuildError:
            return mounted_path(self.settings, view, connector)


def response(reply: Reply) -> Response:
    """A reply as Flask's response; a page through the app's template `base44_web/<name>.html`, if there is one."""
    body: str | bytes = reply.body
    if reply.page is not None:
        try:
            body = render_template(f"base44_web/{reply.page.name}.html", **reply.page.values)
        except TemplateNotFound:
            body = render(reply.page)
    return Response(body, reply.status, dict(reply.headers))
