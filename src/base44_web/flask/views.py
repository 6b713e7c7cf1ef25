"""The redirect views as a Flask blueprint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Flask, Response, request

from .._core.platform.io import BLOCKING, run
from .._core.views.handlers import answer
from .._core.views.routes import MAX_BODY, VIEWS, View, ViewRequest
from .replies import response, visit_of_request
from .request import context_of_request


def blueprint(app: Flask, prefix: str) -> Blueprint:
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


def _asked(view: View) -> Callable[..., Response]:
    def asked(connector: str | None = None, **captured: object) -> Response:
        query = request.query_string.decode("latin-1")
        # No local holds the body: it can be a token, and a traceback shows locals.
        asked = ViewRequest.of(view, visit_of_request(), connector, query, _body())
        return response(run(answer(BLOCKING, context_of_request(), asked)))

    return asked


def _body() -> bytes:
    """The body, also where a function before the view has read it, or its form, already."""
    return (
        request.stream.read(MAX_BODY + 1)
        or request.get_data()[: MAX_BODY + 1]
        or urlencode(list(request.form.items(multi=True))).encode()[: MAX_BODY + 1]
    )
