"""The redirect views as Starlette's routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from .._core.views.handlers import answer
from .._core.views.routes import MAX_BODY, VIEWS, View, ViewRequest
from .replies import response, visit_of
from .request import context_of


def connect_routes() -> list[Route]:
    """The redirect views, to be mounted: `Mount("/base44", routes=connect_routes())`.

    `connect/{name}`, `status/{name}`, `disconnect/{name}`, `connect.js` and, with the token source `"session"`,
    `session` and `session/logout`. `{name}` is one of `app_user_connectors`.
    """
    return [
        Route(f"/{view.path}", _endpoint(view), methods=list(view.methods), name=f"base44-{view.name}")
        for view in VIEWS
    ]


def _endpoint(view: View) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        context = context_of(request)
        query = request.scope["query_string"].decode("latin-1")
        # No local holds the body: it can be a token, and a traceback shows locals.
        asked = ViewRequest.of(
            view, visit_of(request), request.path_params.get("connector"), query, await _body(request)
        )
        return response(await answer(context.awaiting, context, asked), request)

    return endpoint


def _has_body(request: Request) -> bool:
    return "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"


async def _body(request: Request) -> bytes:
    if request.method in ("GET", "HEAD") or not _has_body(request):
        return b""  # something may have read it, and would make us wait for ever
    body = bytearray()
    chunk = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                break
    except ClientDisconnect:
        return b""  # nobody will see the answer; raised, its traceback would show what was sent so far
    return bytes(body[: MAX_BODY + 1])
