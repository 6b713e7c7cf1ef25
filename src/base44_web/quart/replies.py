"""Replies as Quart's responses, and the answers to visitors for errors that a view lets escape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from jinja2 import TemplateNotFound
from quart import Quart, Response, current_app, has_websocket_context, render_template, request, websocket
from werkzeug.exceptions import InternalServerError

from .._asgi.replies import escaped_reply, own_response
from .._asgi.scope import state_of
from .._core.replies.html import render
from .._core.replies.reply import Reply
from ..errors import Base44Error
from .request import current_scope


async def answer(reply: Reply) -> Response:
    """A reply as what a view returns; a page through the app's template `base44_web/<name>.html`, if there is one."""
    if has_websocket_context():
        # Where Quart cannot deny it, it closes with 1000: the middleware knows better then.
        state_of(current_scope()).denied = reply
    own: Response | None = own_response(reply, current_scope())
    if own is not None:
        return own
    body: str | bytes = reply.body
    if reply.page is not None:
        wanted = f"base44_web/{reply.page.name}.html"
        try:
            body = await render_template(wanted, **reply.page.values)
        except TemplateNotFound as error:
            if error.name != wanted:  # one that the app's own template wants
                raise
            body = render(reply.page)
    return Response(body, reply.status, dict(reply.headers))


def answer_errors(app: Quart) -> None:
    """Answer visitors for errors that a view lets escape."""
    for kind in (Base44Error, ExceptionGroup):
        if kind not in app.error_handler_spec[None][None]:  # a handler of the app's own stays
            app.register_error_handler(kind, _answer_escaped)
    if InternalServerError not in app.error_handler_spec[None][500]:
        app.register_error_handler(500, _answer_late)


async def _answer_escaped(error: Exception) -> Any:
    reply = escaped_reply(error, current_scope())
    if reply is not None:
        return await answer(reply)
    handler = _handler_of_all()
    if handler is not None:
        return await current_app.ensure_async(handler)(error)
    raise error  # the app's own


async def _answer_late(error: InternalServerError) -> Any:
    """What an `after_request` function raised becomes a 500 without that its own handler is asked."""
    original = error.original_exception
    reply = None if original is None else escaped_reply(original, current_scope())
    if reply is not None:
        return await answer(reply)
    handler = _handler_of_all()
    return error if handler is None else await current_app.ensure_async(handler)(error)


def _handler_of_all() -> Callable[[Any], Any] | None:
    """The app's handler for all exceptions, to which its own errors go."""
    connection = cast(Any, websocket if has_websocket_context() else request)
    for scope in (*connection.blueprints, None):
        handler = current_app.error_handler_spec[scope][None].get(Exception)
        if handler is not None:
            return cast(Callable[[Any], Any], handler)
    return None
