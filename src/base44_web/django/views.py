"""The redirect views as Django's."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.http.request import RawPostDataException, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt

from .._core.platform.io import BLOCKING, run
from .._core.views.handlers import answer
from .._core.views.routes import MAX_BODY, View, ViewRequest
from .replies import response, visit_of
from .request import context_of


def view_of(view: View) -> Callable[..., HttpResponse]:
    """One of the redirect views.

    Exempt from Django's own check of forms (a token in a header needs none, and one in a cookie is asked for proof of
    same origin in every framework alike), and from `LoginRequiredMiddleware`: these users are not Django's.
    """

    def answered(request: HttpRequest, connector: str | None = None, **captured: object) -> HttpResponse:
        query: str = request.META.get("QUERY_STRING", "")
        # No local holds the body: it can be a token, and a traceback shows locals.
        asked = ViewRequest.of(view, visit_of(request), connector, query, _body(request))
        return response(run(answer(BLOCKING, context_of(request), asked)), request)

    return login_not_required(csrf_exempt(answered))


def _body(request: HttpRequest) -> bytes:
    """The body, also where a middleware has read it, or its form, already."""
    try:
        return request.read(MAX_BODY + 1) or request.body[: MAX_BODY + 1]
    except (RawPostDataException, UnreadablePostError, RequestDataTooBig):
        return request.POST.urlencode().encode()[: MAX_BODY + 1]
