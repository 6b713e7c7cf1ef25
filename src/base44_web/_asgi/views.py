"""The redirect views as ASGI apps."""

from __future__ import annotations

from .._core.views.handlers import answer
from .._core.views.routes import MAX_BODY, View, ViewRequest
from .relay import read_body
from .replies import deliver, visit_of
from .scope import Receive, Scope, Send, state_of


class ViewApp:
    """One view. Its connector is the path parameter of that name."""

    def __init__(self, view: View) -> None:
        self._view = view

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = state_of(scope).context(scope)
        query, connector = scope.get("query_string", b"").decode("latin-1"), scope["path_params"].get("connector")
        # No local holds the body: it can be a token, and a traceback shows locals.
        asked = ViewRequest.of(self._view, visit_of(scope), connector, query, await self._body(scope, receive))
        await deliver(await answer(context.awaiting, context, asked), scope, send)

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        if scope["method"] in ("GET", "HEAD") or not _has_body(scope):
            return b""  # something may have read it, and would make us wait for ever
        # Of a client that goes away nobody will see the answer.
        return (await self.read(scope, receive) or b"")[: MAX_BODY + 1]

    async def read(self, scope: Scope, receive: Receive) -> bytes | None:
        """The body; `None`: its client went away."""
        return await read_body(receive, MAX_BODY)


def _has_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
