"""`request.base44` for Django views, sync and async, under WSGI and ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest as DjangoHttpRequest
from django.http import HttpResponse, HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.module_loading import import_string

from .._core.config import Settings
from .._core.engine.apps import Engines, SettingsResolver
from .._core.fields import framework_keys
from .._core.replies.refuse import early_reply
from ..errors import Base44Error, ConfigurationError
from .relay import refusal_of
from .replies import answer
from .replies import response as to_response
from .request import ENGINE, INCOMING, HeldEngine, full_path, incoming_of, strip_platform_headers, was_private

if TYPE_CHECKING:
    from .._core.incoming.signature import SignatureCheck
    from .._core.transport.protocol import TransportFactory


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
        # Not inspect's: Python 3.11 knows asgiref's mark only through asgiref.
        self._is_async: bool = iscoroutinefunction(get_response)  # pyright: ignore[reportDeprecated]
        problem = None
        try:
            self._engines = Engines(load_settings(), self.transport, wsgi=not self._is_async)
        except ConfigurationError as error:
            problem = error.message
        if problem is not None:
            raise DjangoConfigurationError(problem)
        if self._is_async:
            markcoroutinefunction(self)
        only = self._engines.only
        # With one app, and no headers to look at, each request gets this, and no more is done.
        examines = only is None or only.settings.platform_headers != "ignore" or only.reads_cookies
        self._held = None if only is None or examines else HeldEngine(only)

    def __call__(self, request: DjangoHttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._held is None:
            return self._examined(request)
        request.__dict__[ENGINE] = self._held
        response: HttpResponseBase | Awaitable[HttpResponseBase] = self.get_response(request)
        return response

    def _examined(self, request: DjangoHttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        attributes = request.__dict__
        engine = self._engines.only
        if engine is None:
            try:
                engine = self._engines.find(incoming_of(request), full_path(request))
            except Base44Error as error:
                if not error.about_visitor:
                    raise
                return self._answer(to_response(early_reply(error), request))
        attributes[ENGINE] = HeldEngine(engine)
        if engine.settings.platform_headers != "ignore":
            attributes[INCOMING] = strip_platform_headers(request)
            if engine.signature_check is not None:
                return self._checked(engine.signature_check, request)
        response: HttpResponseBase | Awaitable[HttpResponseBase] = self.get_response(request)
        if not engine.reads_cookies:
            return response
        if self._is_async:

            async def told() -> Any:
                return _telling_caches(request, await cast(Awaitable[HttpResponseBase], response))

            return told()
        return _telling_caches(request, cast(HttpResponseBase, response))

    def _answer(self, response: HttpResponse) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        async def answered() -> HttpResponseBase:
            return response

        return answered() if self._is_async else response

    def _checked(
        self, check: SignatureCheck, request: DjangoHttpRequest
    ) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._is_async:

            async def checked() -> Any:
                refused = await asyncio.to_thread(refusal_of, check, request)
                return await self.get_response(request) if refused is None else refused

            return checked()
        refused = refusal_of(check, request)
        response: HttpResponseBase = self.get_response(request) if refused is None else refused
        return response

    def process_exception(self, request: DjangoHttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer the visitor for an error about them that a view let escape. The app's own errors stay its own."""
        return answer(exception, request)


def _telling_caches(request: DjangoHttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Tell caches where an answer depends on the visitor's cookie."""
    if was_private(request):
        patch_vary_headers(response, ["Cookie"])
        response.headers.setdefault("Cache-Control", "private")
    return response


def load_settings() -> Settings | SettingsResolver:
    """The setting `BASE44`, a dict with upper-case keys; or the resolver that its one key `RESOLVER` names.

    Raises:
        ConfigurationError: a value is missing or wrong, or a key is no setting.
    """
    given: object = getattr(django_settings, "BASE44", {})
    values = cast(Mapping[object, Any], given) if isinstance(given, Mapping) else {0: given}
    if any(not isinstance(name, str) or name != name.upper() for name in values):
        raise ConfigurationError('The setting BASE44 must be a dict with upper-case keys, such as {"APP_ID": "…"}.')
    named: Mapping[str, Any] = {str(name): value for name, value in values.items()}
    if "RESOLVER" in named:
        if len(named) > 1:
            raise ConfigurationError(
                "RESOLVER in the setting BASE44 must be its only key: each app's Settings have the rest."
            )
        resolver: object = import_string(str(named["RESOLVER"]))
        if not isinstance(resolver, SettingsResolver):
            raise ConfigurationError("RESOLVER in the setting BASE44 must be the path of a SettingsResolver.")
        return resolver
    return Settings.load(None, {name.lower(): value for name, value in named.items()}, _secret_key())


def _secret_key() -> dict[str, Any]:
    """Django's own secret keys, wrapped: they seal the session if nothing else is given for that."""
    try:
        return {"secret": framework_keys(django_settings.SECRET_KEY, django_settings.SECRET_KEY_FALLBACKS)}
    except ImproperlyConfigured:  # there is none
        return {}
