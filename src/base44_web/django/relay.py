"""Relayed requests: judged before any view sees them, their body read first."""

from __future__ import annotations

from typing import cast

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.http.request import RawPostDataException, UnreadablePostError

from .._incoming import Incoming
from .._relay import Relay
from ..errors import ConfigurationError
from .guards import response
from .request import INCOMING, full_path


def refusal_of(relay: Relay, request: HttpRequest) -> HttpResponse | None:
    """The answer to a request that is refused. Its body stays readable for the view."""
    incoming = cast(Incoming, request.__dict__[INCOMING])
    if relay.is_bare(incoming):
        return None
    query: str = request.META.get("QUERY_STRING", "")
    reply = relay.check(incoming, path=full_path(request), query=query, body=_body(relay, request))
    return None if reply is None else response(reply, request)


def _body(relay: Relay, request: HttpRequest) -> bytes:
    too_much = bytes(relay.max_body + 1)
    try:
        if int(request.META.get("CONTENT_LENGTH") or 0) > relay.max_body:
            return too_much
        return request.body
    except RawPostDataException:
        problem = "A middleware before base44_web.django.Base44Middleware has read the body: put ours first."
    except (RequestDataTooBig, UnreadablePostError, ValueError):  # of Django's own limit, or never sent
        return too_much
    raise ConfigurationError(problem)
