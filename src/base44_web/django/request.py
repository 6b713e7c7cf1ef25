"""`request.base44` in Django's terms."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest as DjangoHttpRequest
from django.urls import get_script_prefix

from .._context import Context
from .._engine import Engine
from .._environ import read_environ, take_out
from .._incoming import Incoming, take_out_of_scope
from .._sync.client import Base44
from ..errors import MiddlewareMissingError

engines: weakref.WeakValueDictionary[int, Engine] = weakref.WeakValueDictionary()
ENGINE, INCOMING, _CLIENT = "_base44_engine", "_base44_incoming", "_base44_client"


class HttpRequest(DjangoHttpRequest):
    """Django's request, as the middleware leaves it; for annotations."""

    if TYPE_CHECKING:
        base44: Base44
        """The client for this request's app user; `.aio` in async views."""


def get_base44(request: DjangoHttpRequest) -> Base44:
    """The client for a request's app user; the same as `request.base44`.

    Raises:
        MiddlewareMissingError: the middleware is not installed, or comes later than what asks.
    """
    # The Django REST framework's requests have Django's own in them.
    request = getattr(request, "_request", request)
    attributes = request.__dict__
    client: Base44 | None = attributes.get(_CLIENT)
    if client is None:
        engine = engines.get(attributes.get(ENGINE, 0))
        if engine is None:
            raise MiddlewareMissingError(
                "request.base44 is not there: add base44_web.django.Base44Middleware to MIDDLEWARE, "
                "before what uses it."
            )
        incoming = attributes.get(INCOMING) or incoming_of(request)
        # Under WSGI an async view's event loop ends with the request.
        loop_per_request = not isinstance(request, ASGIRequest)
        context = Context(engine, incoming, loop_per_request=loop_per_request)
        client = attributes[_CLIENT] = Base44._for(context)
    return client


def was_private(request: DjangoHttpRequest) -> bool:
    """Whether an answer to a request depends on the visitor's cookie."""
    client: Base44 | None = request.__dict__.get(_CLIENT)
    return client is not None and client._context.is_private


def full_path(request: DjangoHttpRequest) -> str:
    """A request's decoded path, with the mount: under ASGI Django's own lacks what the proxy took away."""
    return get_script_prefix().rstrip("/") + request.path_info


def incoming_of(request: DjangoHttpRequest) -> Incoming:
    return read_environ(request.META, secure=request.is_secure())


def take_out_of_request(request: DjangoHttpRequest) -> Incoming:
    incoming = incoming_of(request)
    take_out(request.META)
    request.__dict__.pop("headers", None)  # a copy, if something asked for it before
    if isinstance(request, ASGIRequest):
        take_out_of_scope(request.scope)
    return incoming


# One property for all requests: nothing is made on a request whose view does not ask for it.
DjangoHttpRequest.base44 = property(get_base44)  # type: ignore[attr-defined]
