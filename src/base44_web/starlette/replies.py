"""Replies as Starlette's responses, for what its exception handlers and guarded endpoints return."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias, cast

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.websockets import WebSocket

from .._asgi.replies import Refused, body_of, deliver, escaped_reply, own_response
from .._core.replies.reply import Reply
from ..errors import Base44Error

ExceptionHandlers: TypeAlias = Mapping[type[Exception], Callable[[Any, Exception], Awaitable[Any]]]


async def answer(connection: HTTPConnection, reply: Reply) -> Response | None:
    """A reply as what a view returns; on a WebSocket, sent."""
    if isinstance(connection, WebSocket):
        await deliver(reply, connection.scope, connection.send)
        return None
    own: Response | None = own_response(reply, connection.scope)
    return own or Response(body_of(reply, connection.scope), reply.status, dict(reply.headers))


async def _answer_refused(connection: Any, error: Exception) -> Any:
    return await answer(connection, cast(Refused, error).reply)


async def _answer_escaped(connection: Any, error: Exception) -> Any:
    reply = escaped_reply(error, connection.scope)
    if reply is None:
        raise error  # the app's own
    return await answer(connection, reply)


HANDLERS: Final[ExceptionHandlers] = {
    Refused: _answer_refused,
    Base44Error: _answer_escaped,
    ExceptionGroup: _answer_escaped,
}
"""For the app's exception handlers, where it has none of its own."""
