"""Relayed requests: checked before any view sees them, their body read first."""

from __future__ import annotations

from typing import cast

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest
from django.http.request import RawPostDataException, UnreadablePostError

from .._core.incoming.request import Incoming
from .._core.incoming.signature import SignatureCheck, signed_paths
from ..errors import ConfigurationError
from .request import INCOMING, full_path, mount_of


def check_signature(check: SignatureCheck, request: HttpRequest) -> None:
    """Check a request's signature. Its body stays readable for the view.

    Raises:
        Base44Error: the request is refused.
    """
    incoming = cast(Incoming, request.__dict__[INCOMING])
    if check.is_bare(incoming):
        return
    check.check_headers(incoming)
    query: str = request.META.get("QUERY_STRING", "")
    paths = signed_paths(full_path(request), mount_of(request))
    check.check(incoming, paths=paths, query=query, body=_body(check, request))


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
