"""`request.base44` in Django's terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest as DjangoHttpRequest

from .._core.client._sync import Base44
from .._core.engine.context import Context
from .._core.engine.engine import Engine
from .._core.guards.startup import Needs
from .._core.incoming.environ import read_environ, strip_environ
from .._core.incoming.request import Incoming, strip_scope
from .._core.platform.io import AWAITING, IN_THREADS
from .._core.values import AppUser
from ..errors import Base44Error, ConfigurationError, MiddlewareMissingError

ENGINE, INCOMING = "_base44_engine", "_base44_incoming"
_SEEN, _MAY_CACHE = "_base44_seen", "_base44_may_cache"
ESCAPED: Final = "_base44_escaped"
REFUSED: Final = "_base44_refused"


@final
class HeldEngine:
    """An engine on a request. Requests can be pickled, and engines cannot: who loads such a request finds none."""

    __slots__ = ("engine",)

    def __init__(self, engine: Engine | None = None) -> None:
        self.engine = engine

    def __reduce__(self) -> tuple[type[HeldEngine], tuple[()]]:
        return HeldEngine, ()


_NOBODYS = HeldEngine()


@final
class _Seen:
    """What a request was asked for, its context and its client, and what guards that are asked several times have
    decided; left out of a pickle as `HeldEngine` is.
    """

    __slots__ = ("client", "context", "decided")

    def __init__(self, context: Context | None = None) -> None:
        self.context = context
        self.client: Base44 | None = None
        self.decided: dict[Needs, AppUser | Base44Error | ConfigurationError] | None = None

    def __reduce__(self) -> tuple[type[_Seen], tuple[()]]:
        return _Seen, ()


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
    context = context_of(request)
    seen: _Seen = request.__dict__[_SEEN]
    if seen.client is None:
        seen.client = Base44._for(context)
    return seen.client


def context_of(request: DjangoHttpRequest) -> Context:
    """The context of a request. Raises as `get_base44`."""
    request = getattr(request, "_request", request)
    attributes = request.__dict__
    context = seen_context(request)
    if context is None:
        engine = attributes.get(ENGINE, _NOBODYS).engine
        if engine is None:
            raise MiddlewareMissingError(
                "request.base44 is not there: add base44_web.django.Base44Middleware to MIDDLEWARE, "
                "before what uses it."
            )
        incoming = attributes.get(INCOMING) or incoming_of(request)
        # Under WSGI an async view's event loop ends with the request.
        awaiting = AWAITING if isinstance(request, ASGIRequest) else IN_THREADS
        context = Context(engine, incoming, awaiting=awaiting)
        attributes[_SEEN] = _Seen(context)
    return context


def decisions_of(request: DjangoHttpRequest) -> dict[Needs, AppUser | Base44Error | ConfigurationError]:
    """What was decided about a request: who may pass, or why they may not. Raises as `get_base44`."""
    context_of(request)
    seen: _Seen = request.__dict__[_SEEN]
    if seen.decided is None:
        seen.decided = {}
    return seen.decided


def seen_context(request: DjangoHttpRequest) -> Context | None:
    """The context of a request, if somebody has asked for it."""
    seen: _Seen | None = request.__dict__.get(_SEEN)
    return None if seen is None else seen.context


def full_path(request: DjangoHttpRequest) -> str:
    """A request's decoded path, with the mount: under ASGI Django's own lacks what the proxy took away."""
    return mount_of(request) + request.path_info


def mount_of(request: DjangoHttpRequest) -> str:
    """What of the path comes before Django's own. Not `get_script_prefix()`: a thread of ours does not see it."""
    mount: str = request.META.get("SCRIPT_NAME", "")
    return mount.rstrip("/")


def incoming_of(request: DjangoHttpRequest) -> Incoming:
    """What came in."""
    return read_environ(request.META, secure=request.is_secure(), host=_believed_host(request))


def _believed_host(request: DjangoHttpRequest) -> str | None:
    try:
        return request.get_host()
    except DisallowedHost:  # Django refuses the request where it matters
        return None


def strip_platform_headers(request: DjangoHttpRequest) -> Incoming:
    """What came in, and what no error page may show removed."""
    incoming = incoming_of(request)
    strip_environ(request.META)
    request.__dict__.pop("headers", None)  # a copy, if something asked for it before
    if isinstance(request, ASGIRequest):
        strip_scope(request.scope)
    return incoming


def _may_cache(request: DjangoHttpRequest) -> bool:
    """Whether Django's caches may store the answer: not if it can depend on who asks, whoever has set this when."""
    context = seen_context(request)
    if context is not None and context.was_read:
        return False
    try:
        return bool(request.__dict__[_MAY_CACHE])
    except KeyError:
        raise AttributeError("_cache_update_cache") from None  # no cache of Django's is here


def _set_may_cache(request: DjangoHttpRequest, value: bool) -> None:
    request.__dict__[_MAY_CACHE] = value


# One property for all requests: nothing is made on a request whose view does not ask for it.
DjangoHttpRequest.base44 = property(get_base44)  # type: ignore[attr-defined]
# Where Django's cache middleware notes it (undocumented: `tests/adapters/test_django.py` pins it).
DjangoHttpRequest._cache_update_cache = property(_may_cache, _set_may_cache)  # type: ignore[attr-defined]
