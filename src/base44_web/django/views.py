"""The redirect views as Django's."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from .._sync.views import answer
from .._views import MAX_BODY, Ask, View
from .guards import response, visit_of
from .request import get_base44


def view_of(view: View) -> Callable[..., HttpResponse]:
    """One of the redirect views. Exempt from Django's own check of forms: a token in a header needs none, and one in a
    cookie is asked for proof of same origin in every framework alike.
    """

    def asked(request: HttpRequest, connector: str | None = None) -> HttpResponse:
        context = get_base44(request)._context
        query: str = request.META.get("QUERY_STRING", "")
        # No local holds the body: it can be a token, and a traceback shows locals.
        ask = Ask.of(view, visit_of(request), connector, query, request.read(MAX_BODY + 1))
        return response(answer(context, ask))

    return csrf_exempt(asked)
