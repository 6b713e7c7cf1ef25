"""Replies as ASGI messages, and the answers to visitors for errors that an app lets escape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from .._core.config import Settings
from .._core.replies.html import render
from .._core.replies.refusal import own_answer
from .._core.replies.refuse import about_visitor, reply_to
from .._core.replies.reply import Reply, with_private, with_vary
from .._core.replies.visit import Visit, mounted_path, path_and_query, quoted
from ..errors import Base44Error, ConfigurationError
from .scope import KEY, Message, Scope, ScopeState, Send, root_of, state_of


class Refused(Exception):
    """A guard's answer, on its way out of where only an exception gets out."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"refused with status {reply.status}")
        self.reply = reply


def visit_of(scope: Scope) -> Visit:
    """What a reply depends on."""
    state = state_of(scope)
    here = path_and_query(state.middleware.full_path(scope), scope.get("query_string", b"").decode("latin-1"))
    context = state.context(scope)
    settings = context.engine.settings
    return Visit(context.incoming, here, _Links(scope, state, settings), settings, home=quoted(f"{root_of(scope)}/"))


@dataclass(frozen=True, slots=True)
class _Links:
    scope: Scope
    state: ScopeState
    settings: Settings

    def path(self, view: str, connector: str | None = None) -> str | None:
        parameters = {} if connector is None else {"connector": connector}
        found = self.state.middleware.view_path(self.scope, view, parameters)
        return mounted_path(self.settings, view, connector) if found is None else found


def refusal(error: Base44Error | ConfigurationError, scope: Scope) -> Reply:
    """The answer to who may not pass a guard."""
    reply = reply_to(error, visit_of(scope), guarded=True)
    assert reply is not None
    return reply


def escaped_reply(error: BaseException, scope: Scope) -> Reply | None:
    """The answer for an error that the app let escape, if it is about this visitor; `None`: it is the app's own."""
    state = scope.get(KEY)
    if not isinstance(state, ScopeState):
        return None  # raised where nobody's request is ours
    found = about_visitor(error, state.context(scope).whose)
    return None if found is None else reply_to(found, visit_of(scope), guarded=False)


def own_response(reply: Reply, scope: Scope) -> Any | None:
    """The framework's response that the app's `on_refusal` gives; `None` where the answer is ours."""
    state = scope.get(KEY)
    if reply.refusal is None or not isinstance(state, ScopeState):
        return None
    own = own_answer(state.context(scope).engine.on_refusal, reply.refusal, state.middleware.response)
    if own is not None:
        state.middleware.put_headers(own, reply.refusal)
    return own


def body_of(reply: Reply, scope: Scope) -> bytes:
    """What a reply says; a page by the app's own template, if it has one."""
    if reply.page is None:
        return reply.body
    state = scope.get(KEY)
    own = state.middleware.own_page(reply.page, scope) if isinstance(state, ScopeState) else None
    return own or render(reply.page).encode()


async def deliver(reply: Reply, scope: Scope, send: Send) -> None:
    """Send a reply; on a WebSocket as a denial where that is still possible, else by closing with 1008."""
    state = scope.get(KEY)
    accepted = isinstance(state, ScopeState) and state.accepted
    if scope["type"] == "http":
        kind = "http.response"
    elif not accepted and "websocket.http.response" in (scope.get("extensions") or {}):
        kind = "websocket.http.response"
    else:
        await send({"type": "websocket.close", "code": 1008, "reason": f"refused with status {reply.status}"})
        return
    own = own_response(reply, scope)
    if own is not None and isinstance(state, ScopeState):
        await state.middleware.send_own(own, scope, _as_kind(kind, send))
        return
    body = body_of(reply, scope)
    headers = {**reply.headers, "Content-Length": str(len(body))}
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": f"{kind}.start", "status": reply.status, "headers": raw})
    await send({"type": f"{kind}.body", "body": body})


def _as_kind(kind: str, send: Send) -> Send:
    """Where a framework's response sends an answer to a request, which can be the denial of a WebSocket."""

    async def sending(message: Message) -> None:
        part: str = message["type"].rpartition("http.response.")[2]
        await send({**message, "type": f"{kind}.{part}"})

    return sending


_PRIVATE: Final = b"cache-control", b"private"
_VARY: Final = b"vary", b"Authorization, Cookie"
_FOR_CACHES: Final = frozenset((_PRIVATE[0], _VARY[0]))


def mark_private(raw: list[tuple[bytes, bytes]]) -> None:
    """Put into an answer's raw headers that it depends on who asks; what the view has said of caches stays."""
    found = [pair for pair in raw if pair[0].lower() in _FOR_CACHES]
    if not found:  # most often, and ten times as quick
        raw += [_PRIVATE, _VARY]
    elif found != [_PRIVATE, _VARY]:
        cache_control, vary = _values(found, b"cache-control"), _values(found, b"vary")
        raw[:] = [pair for pair in raw if pair[0].lower() not in _FOR_CACHES]
        # What comes first is the view's own word; a dependency of FastAPI's may have added another.
        raw.append((b"cache-control", with_private(cache_control[0] if cache_control else None).encode("latin-1")))
        raw.append((b"vary", with_vary(", ".join(vary)).encode("latin-1")))


def _values(raw: list[tuple[bytes, bytes]], wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in raw if name.lower() == wanted]


def tell_caches(message: Any) -> None:
    """Tell caches that an answer (`http.response.start`) depends on who asks."""
    message["headers"] = raw = list(message.get("headers", ()))
    mark_private(raw)
