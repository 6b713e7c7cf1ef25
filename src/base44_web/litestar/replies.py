"""Replies as Litestar's responses, for its exception handlers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from litestar import Request, Response
from litestar.exceptions import responses

from .._asgi.replies import Refused, body_of, escaped_reply, own_response
from .._core.replies.reply import Reply
from ..errors import Base44Error

_Answer = Response[Any]


def _answer(request: Request[Any, Any, Any], reply: Reply) -> _Answer:
    scope: Any = request.scope
    own: _Answer | None = own_response(reply, scope)
    return own or Response(body_of(reply, scope), status_code=reply.status, headers=dict(reply.headers))


def _answer_refused(request: Request[Any, Any, Any], error: Exception) -> _Answer:
    return _answer(request, cast(Refused, error).reply)


def _answer_escaped(request: Request[Any, Any, Any], error: Exception) -> _Answer:
    scope: Any = request.scope
    reply = escaped_reply(error, scope)
    if reply is not None:
        return _answer(request, reply)
    # The app's own: as Litestar would have answered it without us.
    handler = scope.get("route_handler")
    app: Any = request.app
    handlers: Any = app.exception_handlers if handler is None else handler.resolve_exception_handlers()
    create = cast(Any, responses)
    usual: Any = create.create_debug_response if app.debug else create.create_exception_response
    own: Any = handlers.get(Exception) or handlers.get(500) or usual
    return cast(_Answer, own(request, error))


HANDLERS: Final[Mapping[int | type[Exception], Callable[[Request[Any, Any, Any], Any], _Answer]]] = {
    Refused: _answer_refused,
    Base44Error: _answer_escaped,
    ExceptionGroup: _answer_escaped,
}
"""For the app's exception handlers, where it has none of its own."""
