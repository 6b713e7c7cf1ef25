"""`request.base44` for Django views, sync and async, under WSGI and ASGI."""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest as DjangoHttpRequest
from django.http import HttpResponseBase

from .._context import Context
from .._engine import Engine
from .._environ import read_environ, take_out
from .._incoming import Incoming, take_out_of_scope
from .._sync.client import Base44
from ..errors import ConfigurationError, MiddlewareMissingError
from ..settings import Settings

if TYPE_CHECKING:
    from .._transport import TransportFactory


_engines: weakref.WeakValueDictionary[int, Engine] = weakref.WeakValueDictionary()
_ENGINE, _INCOMING, _CLIENT = "_base44_engine", "_base44_incoming", "_base44_client"


class HttpRequest(DjangoHttpRequest):
    """Django's request, as the middleware leaves it; for annotations."""

    if TYPE_CHECKING:

        @property
        def base44(self) -> Base44:
            """The client for this request's app user; `.aio` in async views."""
            raise NotImplementedError


class DjangoConfigurationError(ConfigurationError, ImproperlyConfigured):
    """A wrong setting, as Django's own exception for it."""


class Base44Middleware:
    """Gives every request a `base44`, in sync and async chains without a thread hop.

    To send by other means, derive a class and name it in `MIDDLEWARE`:

    Attributes:
        transport: a `TransportFactory`, or `None` for the default.

    Raises:
        ImproperlyConfigured: as the server loads it, for a wrong `BASE44`.
    """

    sync_capable = True
    async_capable = True
    transport: ClassVar[TransportFactory | None] = None

    def __init__(self, get_response: Callable[[DjangoHttpRequest], Any]) -> None:
        self.get_response = get_response
        problem = None
        try:
            self._engine = Engine(load_settings(), self.transport)
        except ConfigurationError as error:
            problem = error.message
        if problem is not None:
            raise DjangoConfigurationError(problem)
        self._takes_out = self._engine.settings.platform_headers == "trust"
        # Not inspect's: Python 3.11 knows asgiref's mark only through asgiref.
        # The request gets a number, and not the engine: requests can be pickled, and engines cannot.
        self._key = id(self._engine)
        _engines[self._key] = self._engine
        if iscoroutinefunction(get_response):  # pyright: ignore[reportDeprecated]
            markcoroutinefunction(self)

    def __call__(self, request: DjangoHttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        attributes = request.__dict__
        attributes[_ENGINE] = self._key
        if self._takes_out:
            attributes[_INCOMING] = _take_out(request)
        response: HttpResponseBase | Awaitable[HttpResponseBase] = self.get_response(request)
        return response


def get_base44(request: DjangoHttpRequest) -> Base44:
    """The client for a request's app user; the same as `request.base44`.

    Raises:
        MiddlewareMissingError: the middleware is not installed, or comes later than what asks.
    """
    attributes = request.__dict__
    client: Base44 | None = attributes.get(_CLIENT)
    if client is None:
        engine = _engines.get(attributes.get(_ENGINE, 0))
        if engine is None:
            raise MiddlewareMissingError(
                "request.base44 is not there: add base44_web.django.Base44Middleware to MIDDLEWARE, "
                "before what uses it."
            )
        incoming = attributes.get(_INCOMING) or _incoming(request)
        # Under WSGI an async view's event loop ends with the request.
        loop_per_request = not isinstance(request, ASGIRequest)
        context = Context(engine, incoming, loop_per_request=loop_per_request)
        client = attributes[_CLIENT] = Base44._for(context)
    return client


def load_settings() -> Settings:
    """The setting `BASE44`, a dict with upper-case keys.

    Raises:
        ConfigurationError: a value is missing or wrong, or a key is no setting.
    """
    given: object = getattr(django_settings, "BASE44", {})
    values = cast(Mapping[object, Any], given) if isinstance(given, Mapping) else {0: given}
    if any(not isinstance(name, str) or name != name.upper() for name in values):
        raise ConfigurationError('The setting BASE44 must be a dict with upper-case keys, such as {"APP_ID": "…"}.')
    return Settings.load(None, {str(name).lower(): value for name, value in values.items()})


def _incoming(request: DjangoHttpRequest) -> Incoming:
    return read_environ(request.META, secure=request.is_secure())


def _take_out(request: DjangoHttpRequest) -> Incoming:
    incoming = _incoming(request)
    take_out(request.META)
    request.__dict__.pop("headers", None)  # a copy, if something asked for it before
    if isinstance(request, ASGIRequest):
        take_out_of_scope(request.scope)
    return incoming


# One property for all requests: nothing is made on a request whose view does not ask for it.
DjangoHttpRequest.base44 = property(get_base44)  # type: ignore[attr-defined]
