"""Guards for Flask's views, and the answers to visitors for errors that a view lets escape."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from flask import Flask, Response, render_template, request, url_for
from jinja2 import TemplateNotFound
from werkzeug.routing import BuildError

from ._async.guard import admit as admit_awaiting
from ._flask_request import get_base44
from ._guards import check_connectors, check_function, check_views, is_awaiting, mark
from ._pages import render
from ._replies import Reply, Visit, mounted_path, path_and_query, quoted, refuse
from ._sync.client import Base44
from ._sync.guard import admit
from .errors import Base44Error, MiddlewareMissingError
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
    if isinstance(view, type):
        raise TypeError(f"Guard the class {view.__name__} by its attribute: decorators = [app_user_required].")
    check_function(view)
    if is_awaiting(view):

        @functools.wraps(view)
        async def guarded_awaiting(*args: Any, **kwargs: Any) -> Any:
            context = get_base44()._context
            try:
                await admit_awaiting(context, connectors)
            except Base44Error as error:
                return _refusal(error)
            return await view(*args, **kwargs)

        mark(guarded_awaiting, view, connectors)
        return cast(V, guarded_awaiting)

    @functools.wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        context = get_base44()._context
        try:
            admit(context, connectors)
        except Base44Error as error:
            return _refusal(error)
        return view(*args, **kwargs)

    mark(guarded, view, connectors)
    return cast(V, guarded)


def _refusal(error: Base44Error) -> Response:
    reply = refuse(error, visit_of_request(), guarded=True)
    assert reply is not None
    return response(reply)


def answer_errors(app: Flask) -> None:
    """Answer visitors for errors that a view lets escape."""

    def answer(error: Base44Error) -> Any:
        reply = None if isinstance(error, MiddlewareMissingError) else refuse(error, visit_of_request(), guarded=False)
        if reply is not None:
            return response(reply)
        # The app's own: to its handler for all exceptions, if there is one.
        for scope in (*request.blueprints, None):
            handler = app.error_handler_spec[scope][None].get(Exception)
            if handler is not None:
                return app.ensure_sync(handler)(error)
        raise error

    app.error_handler_spec[None][None].setdefault(Base44Error, answer)  # a handler of the app's own stays


def guard_answers(app: Flask) -> None:
    """Tell caches where an answer depends on the visitor's cookie."""

    @app.after_request
    def guard(response: Response) -> Response:
        client = vars(request).get("_base44")
        if isinstance(client, Base44) and client._context.is_private:
            response.vary.add("Cookie")
            response.headers.setdefault("Cache-Control", "private")
        return response


def check_guards(app: Flask, settings: Settings | None) -> None:
    """Refuse to serve an app whose guards are wrong, at the first request: only then all routes are there.

    Wraps `wsgi_app`, which costs less than a `before_request` function.
    """
    inner = app.wsgi_app
    checked = False

    def wsgi_app(environ: Any, start_response: Any) -> Any:
        nonlocal checked
        if not checked:
            check_views(app.view_functions.values(), settings)
            checked = True
        return inner(environ, start_response)

    app.wsgi_app = wsgi_app  # type: ignore[method-assign]


def visit_of_request() -> Visit:
    """What a reply to the current request depends on."""
    context = get_base44()._context
    settings = context.engine.settings
    here = path_and_query(request.root_path.rstrip("/") + request.path, request.query_string.decode("latin-1"))
    return Visit(context.incoming, here, _Links(settings), settings, home=quoted(f"{request.root_path.rstrip('/')}/"))


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
        wanted = f"base44_web/{reply.page.name}.html"
        try:
            body = render_template(wanted, **reply.page.values)
        except TemplateNotFound as error:
            if error.name != wanted:  # one that the app's own template wants
                raise
            body = render(reply.page)
    return Response(body, reply.status, dict(reply.headers))
