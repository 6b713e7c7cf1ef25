"""Replies as Flask's responses, and the answers to visitors for errors that a view lets escape."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, render_template, request, url_for
from jinja2 import TemplateNotFound
from werkzeug.datastructures import Headers
from werkzeug.routing import BuildError

from .._core.config import Settings
from .._core.replies.html import render
from .._core.replies.refusal import OnRefusal, Refusal, own_answer
from .._core.replies.refuse import about_visitor, early_reply, reply_to
from .._core.replies.reply import Reply, kept_headers, with_vary
from .._core.replies.visit import Visit, mounted_path, path_and_query, quoted
from ..errors import Base44Error, ConfigurationError
from .request import context_of_request, full_path


def refusal(error: Base44Error | ConfigurationError) -> Response:
    """The answer to who may not pass a guard."""
    reply = reply_to(error, visit_of_request(), guarded=True)
    assert reply is not None
    return response(reply)


def as_a_view_does(on_refusal: OnRefusal) -> OnRefusal:
    """An `on_refusal` that may give whatever a view may: `{"error": …}, 403`, too."""

    def answer(refusal: Refusal) -> Any:
        found = on_refusal(refusal)
        return found if found is None or inspect.iscoroutine(found) else current_app.make_response(found)

    return answer


def early_response(error: Base44Error) -> Response:
    """The answer to a request that reaches nothing of Flask."""
    reply = early_reply(error)
    return Response(reply.body, reply.status, dict(reply.headers))


def escaped(error: BaseException) -> Response | None:
    """The answer for an error that the app let escape, if it is about this visitor."""
    found = about_visitor(error, context_of_request().whose)
    reply = None if found is None else reply_to(found, visit_of_request(), guarded=False)
    return None if reply is None else response(reply)


def answer_in_place(error: BaseException, answered: Response) -> None:
    """Make a 500 for an error about this visitor the answer to them.

    The same object, for what an `after_request` function raised is answered where Flask takes no other any more.
    """
    own = escaped(error)
    if own is not None:
        answered.status_code, answered.headers = own.status_code, own.headers
        answered.set_data(own.get_data())


def answer_errors(app: Flask) -> None:
    """Answer visitors for errors that a view lets escape."""

    def answer(error: Exception) -> Any:
        found = escaped(error)
        if found is not None:
            return found
        # The app's own: to its handler for all exceptions, if there is one.
        for scope in (*request.blueprints, None):
            handler = current_app.error_handler_spec[scope][None].get(Exception)
            if handler is not None:
                return current_app.ensure_sync(handler)(error)
        raise error

    for kind in (Base44Error, ExceptionGroup):
        if kind not in app.error_handler_spec[None][None]:  # a handler of the app's own stays
            app.register_error_handler(kind, answer)


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
        if current_app.url_map.host_matching:
            parameters["base44_host"] = request.host
        try:
            # The path alone: of an app that routes by subdomain the views are on each of them.
            return urlsplit(url_for(f"base44.{view}", **parameters)).path  # type: ignore[arg-type]
        except BuildError:
            return mounted_path(self.settings, view, connector)


class _Reply(Response):
    """A response whose headers stay as they are, whatever the app adds to all its responses."""

    own_headers: Mapping[str, str] = {}

    def get_wsgi_headers(self, environ: Any) -> Headers:
        headers = super().get_wsgi_headers(environ)
        for name, value in self.own_headers.items():
            if name != "Set-Cookie":
                headers[name] = value if name != "Vary" else with_vary(headers.get("Vary", value))
        return headers


def response(reply: Reply) -> Response:
    """A reply as Flask's response; a page through the app's template `base44_web/<name>.html`, if there is one."""
    if reply.refusal is not None:
        own = own_answer(context_of_request().engine.on_refusal, reply.refusal, Response)
        if own is not None:
            for name, value in kept_headers(reply.refusal, own.headers.get("Vary")).items():
                (own.headers.add if name == "Set-Cookie" else own.headers.__setitem__)(name, value)
            return own
    body: str | bytes = reply.body
    if reply.page is not None:
        wanted = f"base44_web/{reply.page.name}.html"
        try:
            body = render_template(wanted, **reply.page.values)
        except TemplateNotFound as error:
            if error.name != wanted:  # one that the app's own template wants
                raise
            body = render(reply.page)
    made = _Reply(body, reply.status, dict(reply.headers))
    made.own_headers = reply.headers
    return made
