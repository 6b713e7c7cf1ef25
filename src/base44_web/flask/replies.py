"""Replies as Flask's responses, and the answers to visitors for errors that a view lets escape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, render_template, request, url_for
from jinja2 import TemplateNotFound
from werkzeug.routing import BuildError

from .._core.client._sync import Base44
from .._core.config import Settings
from .._core.replies.html import render
from .._core.replies.refuse import reply_to
from .._core.replies.reply import Reply
from .._core.replies.visit import Visit, mounted_path, path_and_query, quoted
from ..errors import Base44Error, MiddlewareMissingError
from .request import context_of_request, full_path


def refusal(error: Base44Error) -> Response:
    """The answer to who may not pass a guard."""
    reply = reply_to(error, visit_of_request(), guarded=True)
    assert reply is not None
    return response(reply)


def answer_errors(app: Flask) -> None:
    """Answer visitors for errors that a view lets escape."""

    def answer(error: Base44Error) -> Any:
        reply = (
            None if isinstance(error, MiddlewareMissingError) else reply_to(error, visit_of_request(), guarded=False)
        )
        if reply is not None:
            return response(reply)
        # The app's own: to its handler for all exceptions, if there is one.
        for scope in (*request.blueprints, None):
            handler = app.error_handler_spec[scope][None].get(Exception)
            if handler is not None:
                return app.ensure_sync(handler)(error)
        raise error

    if Base44Error not in app.error_handler_spec[None][None]:  # a handler of the app's own stays
        app.register_error_handler(Base44Error, answer)


def tell_caches(app: Flask) -> None:
    """Tell caches where an answer depends on the visitor's cookie."""

    @app.after_request
    def tell(response: Response) -> Response:
        client = vars(request).get("_base44")
        if isinstance(client, Base44) and client._context.is_private:
            response.vary.add("Cookie")
            response.headers.setdefault("Cache-Control", "private")
        return response


def visit_of_request() -> Visit:
    """What a reply to the current request depends on."""
    context = context_of_request()
    settings = context.engine.settings
    here = path_and_query(full_path(request.environ), request.query_string.decode("latin-1"))
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
