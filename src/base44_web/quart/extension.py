"""`request.base44` for Quart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

from quart import Quart, Response, has_request_context, request, url_for
from werkzeug.routing import BuildError

from .._asgi.middleware import ASGIMiddleware
from .._asgi.scope import ASGIApp, Scope, Send
from .._core.app_config import config_fields, config_secret
from .._core.config import Settings
from .._core.engine.apps import Engines, SettingsResolver
from .._core.guards.startup import check_views, warn_without_views
from .._core.replies.refusal import Refusal
from .._core.replies.reply import kept_headers
from ..errors import ConfigurationError
from .replies import answer_errors
from .views import blueprint

if TYPE_CHECKING:
    from .._core.transport.httpx_clients import AsyncClient, SyncClient
    from .._core.transport.protocol import TransportFactory

_KEY: Final = "base44_web"
_FRAMEWORKS: Final = ("quart", "flask")  # packages whose objects may have a view within


class Base44Extension:
    """The Quart extension, for one app or, through `init_app`, for any number.

    Settings come from `app.config["BASE44_<FIELD>"]`, then from the environment; a key of that form that is no setting
    is an error. The redirect views are at `BASE44_URL_PREFIX` (`"/base44"`; `None`: nowhere), as the blueprint
    `base44`. It wraps `app.asgi_app`.

    Args:
        app: the app; leave it out in an application factory, and call `init_app` there.
        settings: settings that win over the app's config. For several Base44 apps, a resolver in place of both.
        transport: how to send: a `TransportFactory`, or an `httpx2` or `httpx` client (yours to close).
        on_refusal: a plain function that is given each `Refusal`, and gives a Quart response, or `None` for ours.
    """

    def __init__(
        self,
        app: Quart | None = None,
        *,
        settings: Settings | SettingsResolver | None = None,
        transport: TransportFactory | SyncClient | AsyncClient | None = None,
        on_refusal: Callable[[Refusal], Response | None] | None = None,
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._on_refusal = on_refusal
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Quart) -> None:
        """Set up one app.

        Raises:
            ConfigurationError: a setting is missing or wrong, or the app has the extension already.
        """
        if _KEY in app.extensions:
            raise ConfigurationError("Base44Extension is set up for this app already.")
        prefix = cast("dict[str, Any]", app.config).get("BASE44_URL_PREFIX", "/base44")
        source = self._settings
        if not isinstance(source, SettingsResolver):
            fields = config_fields(cast("dict[str, Any]", app.config))  # no local holds the config itself
            source = Settings.load(source, fields, config_secret(cast("dict[str, Any]", app.config)))
        engines = Engines(source, self._transport, on_refusal=self._on_refusal)
        app.extensions[_KEY] = engines
        answer_errors(app)
        if prefix is not None:
            app.register_blueprint(blueprint(app, prefix))
        app.asgi_app = _Middleware(cast(ASGIApp, app.asgi_app), engines, app)  # type: ignore[assignment,method-assign]


class _Middleware(ASGIMiddleware):
    """Around the whole of an app. A server's lifespan fails to start where a guard is wrong."""

    response = Response

    def __init__(self, app: ASGIApp, engines: Engines, quart: Quart) -> None:
        super().__init__(app, engines)
        self._quart = quart
        self._count = -1
        self._only = engines.only

    def begin(self, scope: Scope) -> None:
        if len(self._quart.view_functions) != self._count:  # some servers send no lifespan, and views are added later
            self.check(scope, None)

    def check(self, scope: Scope, settings: Settings | None) -> None:
        names = check_views(self._quart.view_functions.values(), settings, _FRAMEWORKS)
        if self._only is not None and self._count < 0:
            warn_without_views(self._only.settings, self._line_for_views(), names=names)
        self._count = len(self._quart.view_functions)

    def _line_for_views(self) -> str | None:
        """What mounts the redirect views; `None` where they are mounted."""
        mounted = "base44.connect" in self._quart.view_functions
        return None if mounted else 'app.config["BASE44_URL_PREFIX"] = "/base44"'

    def put_headers(self, own: Response, refusal: Refusal) -> None:
        for name, value in kept_headers(refusal, own.headers.get("Vary")).items():
            (own.headers.add if name == "Set-Cookie" else own.headers.__setitem__)(name, value)

    async def send_own(self, own: Response, scope: Scope, send: Send) -> None:
        body = await own.get_data(as_text=False)
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in own.headers.items()]
        await send({"type": "http.response.start", "status": own.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def proxy_prefix(self) -> str:
        # Quart's own word for it, as Flask's: without any effect on requests.
        return str(cast("dict[str, Any]", self._quart.config)["APPLICATION_ROOT"]).rstrip("/")

    def view_path(self, scope: Scope, view: str, parameters: Mapping[str, str]) -> str | None:
        values: dict[str, Any] = {**parameters}
        if self._quart.url_map.host_matching and has_request_context():
            values["base44_host"] = request.host
        with suppress(BuildError, RuntimeError):  # no such view; outside of a request
            # The path alone: of an app that routes by subdomain the views are on each of them.
            return urlsplit(url_for(f"base44.{view}", **values)).path
        return None
