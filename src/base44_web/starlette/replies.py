"""Replies as Starlette's responses, and the answers to visitors for errors that a view lets escape."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import NoMatchFound
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from .._core.config import Settings
from .._core.replies.html import render
from .._core.replies.refusal import own_answer
from .._core.replies.refuse import about_visitor, reply_to
from .._core.replies.reply import Page, Reply, kept_headers, with_private, with_vary
from .._core.replies.visit import Visit, mounted_path, path_and_query, quoted
from ..errors import Base44Error, ConfigurationError
from .request import KEY, ExceptionHandlers, ScopeState, context_of

if TYPE_CHECKING:
    from starlette.templating import Jinja2Templates


class Refused(Exception):
    """A guard's answer, on its way out of a FastAPI dependency."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"refused with status {reply.status}")
        self.reply = reply


def refusal(error: Base44Error | ConfigurationError, connection: HTTPConnection) -> Reply:
    """The answer to who may not pass a guard."""
    reply = reply_to(error, visit_of(connection), guarded=True)
    assert reply is not None
    return reply


def visit_of(connection: HTTPConnection) -> Visit:
    """What a reply depends on."""
    scope = connection.scope
    here = path_and_query(full_path(scope), scope.get("query_string", b"").decode("latin-1"))
    context = context_of(connection)
    settings = context.engine.settings
    return Visit(context.incoming, here, _Links(scope, settings), settings, home=quoted(f"{_root(scope)}/"))


@dataclass(frozen=True, slots=True)
class _Links:
    scope: Scope
    settings: Settings

    def path(self, view: str, connector: str | None = None) -> str | None:
        parameters = {} if connector is None else {"connector": connector}
        state = self.scope.get(KEY)
        # The views of the app whose middleware this is; or, where it has none, of the app around all.
        places: list[tuple[Any, str]] = [(self.scope.get("router") or self.scope.get("app"), _root(self.scope))]
        if isinstance(state, ScopeState):
            places.insert(0, (state.app, state.root.rstrip("/")))
        for app, root in places:
            with suppress(NoMatchFound, AttributeError):
                return quoted(root + str(app.url_path_for(f"base44-{view}", **parameters)))
        return mounted_path(self.settings, view, connector)


def full_path(scope: Scope) -> str:
    """A request's decoded path, with the root path that a proxy may have taken away."""
    root, path = _root(scope), str(scope["path"])
    return path if not root or path == root or path.startswith(f"{root}/") else root + path


def _root(scope: Scope) -> str:
    root: str = scope.get("app_root_path", scope.get("root_path", ""))
    return root.rstrip("/")


def response(reply: Reply, connection: HTTPConnection) -> Response:
    """A reply as Starlette's response; a page through the middleware's `templates`, if they have one of its name."""
    if reply.refusal is not None:
        own = own_answer(context_of(connection).engine.on_refusal, reply.refusal, Response)
        if own is not None:
            for name, value in kept_headers(reply.refusal, own.headers.get("Vary")).items():
                (own.headers.append if name == "Set-Cookie" else own.headers.__setitem__)(name, value)
            return own
    body: str | bytes = reply.body
    if reply.page is not None:
        state = connection.scope.get(KEY)
        made = isinstance(state, ScopeState) and _rendered(state.templates, reply.page, connection)
        body = made or render(reply.page)
    return Response(body, reply.status, dict(reply.headers))


def _rendered(templates: Jinja2Templates | None, page: Page, connection: HTTPConnection) -> bytes | None:
    if templates is None:
        return None
    from jinja2 import TemplateNotFound

    wanted = f"base44_web/{page.name}.html"
    request = connection if isinstance(connection, Request) else Request({**connection.scope, "type": "http"})
    try:
        return bytes(templates.TemplateResponse(request, wanted, dict(page.values)).body)
    except TemplateNotFound as error:
        if error.name != wanted:  # one that the app's own template wants
            raise
        return None


async def deliver(reply: Reply, scope: Scope, receive: Receive, send: Send) -> None:
    """Send a reply; on a WebSocket as a denial where that is still possible, else by closing with 1008."""
    state = scope.get(KEY)
    accepted = isinstance(state, ScopeState) and state.accepted
    if scope["type"] == "http":
        await response(reply, HTTPConnection(scope))(scope, receive, send)
    elif not accepted and "websocket.http.response" in scope.get("extensions", {}):
        await WebSocket(scope, receive, send).send_denial_response(response(reply, HTTPConnection(scope)))
    else:
        await send({"type": "websocket.close", "code": 1008, "reason": f"refused with status {reply.status}"})


async def answer(connection: Any, reply: Reply) -> Response | None:
    """A reply as what a view returns; on a WebSocket, sent."""
    if isinstance(connection, WebSocket):
        await deliver(reply, connection.scope, connection.receive, connection.send)
        return None
    return response(reply, connection)


def escaped_reply(error: BaseException, connection: HTTPConnection) -> Reply | None:
    """The answer for an error that the app let escape, if it is about this visitor; `None`: it is the app's own."""
    found = about_visitor(error, context_of(connection).whose)
    return None if found is None else reply_to(found, visit_of(connection), guarded=False)


_PRIVATE: Final = b"cache-control", b"private"
_VARY: Final = b"vary", b"Authorization, Cookie"


def mark_private(raw: list[tuple[bytes, bytes]]) -> None:
    """Put into an answer's raw headers that it depends on who asks; what the view has said of caches stays."""
    found = [name.lower() for name, _ in raw]
    if b"vary" not in found and b"cache-control" not in found:  # most often, and ten times as quick
        raw += [_PRIVATE, _VARY]
    elif not (_PRIVATE in raw and _VARY in raw and found.count(b"cache-control") == 1):
        headers = MutableHeaders(raw=raw)
        headers["Cache-Control"] = with_private(headers.get("Cache-Control"))
        headers["Vary"] = with_vary(headers.get("Vary"))


def tell_caches(message: Message) -> None:
    """Tell caches that an answer (`http.response.start`) depends on who asks."""
    message["headers"] = raw = list(message.get("headers", ()))
    mark_private(raw)


async def _answer_refused(connection: Any, error: Exception) -> Any:
    return await answer(connection, cast(Refused, error).reply)


async def _answer_escaped(connection: Any, error: Exception) -> Any:
    reply = escaped_reply(error, connection)
    if reply is None:
        raise error  # the app's own
    return await answer(connection, reply)


HANDLERS: Final[ExceptionHandlers] = {
    Refused: _answer_refused,
    Base44Error: _answer_escaped,
    ExceptionGroup: _answer_escaped,
}
"""For the app's exception handlers, where it has none of its own."""
