"""Relayed requests: checked before any view sees them, their body read first."""

from __future__ import annotations

from typing import cast

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.http.request import RawPostDataException, UnreadablePostError

from .._core.incoming.request import Incoming
from .._core.incoming.signature import SignatureCheck, signed_paths
from .._core.replies.refuse import early_reply
from ..errors import ConfigurationError
from .replies import response
from .request import INCOMING, full_path, mount_of


def refusal_of(check: SignatureCheck, request: HttpRequest) -> HttpResponse | None:
    """The answer to a request that is refused. Its body stays readable for the view."""
    incoming = cast(Incoming, request.__dict__[INCOMING])
    if check.is_bare(incoming):
        return None
    query: str = request.META.get("QUERY_STRING", "")
    paths = signed_paths(full_path(request), mount_of(request))
    refused = check.check(incoming, paths=paths, query=query, body=_body(check, request))
    return None if refused is None else response(early_reply(refused), request)


def _body(check: SignatureCheck, request: HttpRequest) -> bytes:
    too_much = bytes(check.max_body + 1)
    try:
        if int(request.META.get("CONTENT_LENGTH") or 0) > check.max_body:
            return too_much
        return request.body
    except RawPostDataException:
        problem = "A middleware before base44_web.django.Base44Middleware has read the body: put ours first."
    except (RequestDataTooBig, UnreadablePostError, ValueError):  # of Django's own limit, or never sent
        return too_much
    raise ConfigurationError(problem)
