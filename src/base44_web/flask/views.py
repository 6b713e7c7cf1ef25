"""The redirect views as a Flask blueprint."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from .._core.platform.io import BLOCKING, run
from .._core.views.handlers import answer
from .._core.views.routes import MAX_BODY, VIEWS, View, ViewRequest
from .replies import response, visit_of_request
from .request import context_of_request


def blueprint(prefix: str) -> Blueprint:
    """The redirect views, named `base44.connect` and so on."""
    views = Blueprint("base44", __name__, url_prefix=prefix)
    for view in VIEWS:
        rule = "/" + view.path.replace("{", "<").replace("}", ">")
        views.add_url_rule(rule, view.name, _asked(view), methods=list(view.methods))
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
