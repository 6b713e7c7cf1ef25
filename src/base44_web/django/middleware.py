"""`request.base44` for Django views, sync and async, under WSGI and ASGI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest as DjangoHttpRequest
from django.http import HttpResponse, HttpResponseBase
from django.utils.module_loading import import_string

from .._core.config import Settings
from .._core.engine.apps import Engines, SettingsResolver
from .._core.fields import framework_keys
from .._core.replies.refusal import OnRefusal
from .._core.replies.refuse import early_reply
from ..errors import Base44Error, ConfigurationError
from .relay import check_signature
from .replies import answer, finish, is_bare_500, look_at, ready
from .replies import response as to_response
from .request import ENGINE, INCOMING, HeldEngine, full_path, incoming_of, strip_platform_headers

if TYPE_CHECKING:
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
            self._engines = Engines(
                load_settings(), self.transport, wsgi=not self._is_async, on_refusal=ready(load_on_refusal())
            )
            self._engines.probe()
        except ConfigurationError as error:
            problem = error.message
        if problem is not None:
            raise DjangoConfigurationError(problem)
        if self._is_async:
            markcoroutinefunction(self)
            self.process_view = self._process_view_awaiting  # type: ignore[method-assign]
        only = self._engines.only
        # With one app, and no headers to look at, each request gets this, and no more is done.
        self._held = None if only is None or only.settings.platform_headers != "ignore" else HeldEngine(only)

    def __call__(self, request: DjangoHttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._is_async:
            return self._awaited(request)
        refused = self._prepare(request)
        return finish(request, self.get_response(request)) if refused is None else refused

    async def _awaited(self, request: DjangoHttpRequest) -> HttpResponseBase:
        examines = self._held is None
        # In Django's own thread for the request: what a resolver asks the database there is closed with it.
        refused = await sync_to_async(self._prepare)(request) if examines else self._prepare(request)
        if refused is not None:
            return refused
        response: HttpResponseBase = await self.get_response(request)
        # In a thread where a page is made: a template of the project's may ask the database.
        return (
            await sync_to_async(finish)(request, response)
            if is_bare_500(request, response)
            else finish(request, response)
        )

    def _prepare(self, request: DjangoHttpRequest) -> HttpResponse | None:
        """Give the request its engine; or the answer to one that reaches no view."""
        attributes = request.__dict__
        if self._held is not None:
            attributes[ENGINE] = self._held
            return None
        try:
            engine = self._engines.find(incoming_of(request), full_path(request))
            attributes[ENGINE] = HeldEngine(engine)
            if engine.settings.platform_headers != "ignore":
                attributes[INCOMING] = strip_platform_headers(request)
            if engine.signature_check is not None:
                check_signature(engine.signature_check, request)
        except Base44Error as error:
            return to_response(early_reply(error), request)
        return None

    def process_view(
        self, request: DjangoHttpRequest, view: Any, args: object, kwargs: object
    ) -> HttpResponse | Awaitable[HttpResponse | None] | None:
        """Refuse a view whose guard was left out, before it runs."""
        return look_at(view, request)

    async def _process_view_awaiting(
        self, request: DjangoHttpRequest, view: Any, args: object, kwargs: object
    ) -> HttpResponse | None:
        return look_at(view, request)

    def process_exception(self, request: DjangoHttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer the visitor for an error about them that a view let escape. The app's own errors stay its own."""
        return answer(exception, request)


def load_settings() -> Settings | SettingsResolver:
    """The setting `BASE44`, a dict with upper-case keys; or the resolver that its one key `RESOLVER` names.

    Raises:
        ConfigurationError: a value is missing or wrong, or a key is no setting.
    """
    named = _given()
    if named is None:
        raise ConfigurationError('The setting BASE44 must be a dict with upper-case keys, such as {"APP_ID": "…"}.')
    named.pop("ON_REFUSAL", None)
    if "RESOLVER" in named:
        if len(named) > 1:
            raise ConfigurationError(
                "RESOLVER in the setting BASE44 must be its only key, but for ON_REFUSAL: each app's Settings have the "
                "rest."
            )
        resolver: object = import_string(str(named["RESOLVER"]))
        if not isinstance(resolver, SettingsResolver):
            raise ConfigurationError("RESOLVER in the setting BASE44 must be the path of a SettingsResolver.")
        return resolver
    return Settings.load(None, {name.lower(): value for name, value in named.items()}, framework_secret())


def load_on_refusal() -> OnRefusal | None:
    """The function that `ON_REFUSAL` in the setting `BASE44` is, or names.

    Raises:
        ConfigurationError: it is none.
    """
    given: object = (_given() or {}).get("ON_REFUSAL")
    try:
        found: object = import_string(given) if isinstance(given, str) else given
    except ImportError as error:
        reason = str(error)
    else:
        if found is None or callable(found):
            return found
        reason = f"it is a {type(found).__name__}"
    raise ConfigurationError(f"ON_REFUSAL in the setting BASE44 must be a function, or the path of one: {reason}.")


def _given() -> dict[str, Any] | None:
    """The setting, its credentials wrapped; `None`: it has another form."""
    given: object = getattr(django_settings, "BASE44", {})
    if not isinstance(given, Mapping):
        return None
    values = cast(Mapping[object, Any], given)
    if any(not isinstance(name, str) or name != name.upper() for name in values):
        return None
    wrapped = Settings.wrapped({str(name).lower(): value for name, value in values.items()})
    return {name.upper(): value for name, value in wrapped.items()}


def framework_secret() -> dict[str, Any]:
    """Django's own secret keys, wrapped: they seal the session if nothing else is given for that."""
    try:
        return {"secret": framework_keys(django_settings.SECRET_KEY, django_settings.SECRET_KEY_FALLBACKS)}
    except ImproperlyConfigured:  # there is none
        return {}
