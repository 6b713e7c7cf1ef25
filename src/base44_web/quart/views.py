"""The redirect views as a Quart blueprint."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast
from urllib.parse import urlencode

from quart import Blueprint, Quart, Response, request

from .._asgi.replies import visit_of
from .._core.views.handlers import answer as answer_view
from .._core.views.routes import MAX_BODY, VIEWS, View, ViewRequest
from .replies import answer
from .request import current_context, current_scope


def blueprint(app: Quart, prefix: str) -> Blueprint:
    """The redirect views, named `base44.connect` and so on; of an app that routes by host or subdomain, on each."""
    views = Blueprint("base44", __name__, url_prefix=prefix)
    places: list[dict[str, Any]] = [{"host": "<base44_host>"}] if app.url_map.host_matching else [{}]
    if app.subdomain_matching and not app.url_map.host_matching:
        places.append({"subdomain": "<base44_subdomain>"})
    for view in VIEWS:
        rule = "/" + view.path.replace("{", "<").replace("}", ">")
        answered = _asked(view)
        for place in places:
            views.add_url_rule(rule, view.name, answered, methods=list(view.methods), **place)
    return views


def _asked(view: View) -> Callable[..., Awaitable[Response]]:
    async def asked(connector: str | None = None, **captured: object) -> Response:
        context = current_context()
        query = request.query_string.decode("latin-1")
        # No local holds the body: it can be a token, and a traceback shows locals.
        asked = ViewRequest.of(view, visit_of(current_scope()), connector, query, await _body())
        return await answer(await answer_view(context.awaiting, context, asked))

    return asked


async def _body() -> bytes:
    """The body, also where a function before the view has read it, or its form, already."""
    if request.method in ("GET", "HEAD"):
        return b""
    # No local holds what was read.
    return (cast(bytes, await request.get_data()) or await _form())[: MAX_BODY + 1]


async def _form() -> bytes:
    form = await cast(Any, request).form
    return urlencode(list(form.items(multi=True))).encode()
