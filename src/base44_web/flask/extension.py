"""`request.base44` for Flask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flask import Flask

from .._core.client._sync import Base44
from .._core.config import Settings
from .._core.engine.apps import Engines, SettingsResolver
from .._core.engine.context import Context
from .._core.engine.engine import Engine
from .._core.fields import framework_keys
from .._core.platform.io import IN_THREADS
from ..errors import ConfigurationError, MiddlewareMissingError
from .guards import check_guards
from .relay import ENGINE, find_engines
from .replies import answer_errors, tell_caches
from .request import incoming_of, strip_platform_headers
from .views import blueprint

if TYPE_CHECKING:
    from .._core.transport.httpx_clients import AsyncClient, SyncClient
    from .._core.transport.protocol import TransportFactory

_KEY = "base44_web"
_PREFIX = "BASE44_"


class Base44Extension:
    """The Flask extension, for one app or, through `init_app`, for any number.

    Settings come from `app.config["BASE44_<FIELD>"]`, then from the environment; a key of that form that is no setting
    is an error. The redirect views are at `BASE44_URL_PREFIX` (`"/base44"`; `None`: nowhere), as the blueprint
    `base44`. The app's `request_class` gets a `base44`; an app with a request class of its own sets it first.

    Args:
        app: the app; leave it out in an application factory, and call `init_app` there.
        settings: settings that win over the app's config. For several Base44 apps, a resolver in place of both.
        transport: how to send: a `TransportFactory`, or an `httpx2` or `httpx` client (yours to close).
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        settings: Settings | SettingsResolver | None = None,
        transport: TransportFactory | SyncClient | AsyncClient | None = None,
    ) -> None:
        self._settings = settings
        self._transport = transport
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Set up one app.

        Raises:
            ConfigurationError: a setting is missing or wrong, or the app has the extension already.
        """
        if _KEY in app.extensions:
            raise ConfigurationError("Base44Extension is set up for this app already.")
        config = _from_config(app.config)
        prefix = config.pop("url_prefix", "/base44")
        source = self._settings
        if not isinstance(source, SettingsResolver):
            source = Settings.load(source, config, _secret_key(app.config))
        app.extensions[_KEY] = engines = Engines(source, self._transport, wsgi=True)
        answer_errors(app)
        if engines.only is None or engines.only.reads_cookies:
            tell_caches(app)
        check_guards(app, engines.only.settings if engines.only else None)
        if engines.only is None or engines.only.signature_check is not None:
            find_engines(app, engines)
        if prefix is not None:
            app.register_blueprint(blueprint(prefix))

        class Base44Request(app.request_class):  # type: ignore[misc,name-defined]
            def __init__(self, environ: dict[str, Any], *args: Any, **options: Any) -> None:
                # Where requests are signed, only what came through the check of the signature counts.
                alone = engines.only is not None and engines.only.signature_check is None
                engine: Engine | None = engines.only if alone else environ.get(ENGINE)
                strips = engine is not None and engine.settings.platform_headers != "ignore"
                self._base44_engine = engine
                self._base44_incoming = strip_platform_headers(environ) if strips else None
                super().__init__(environ, *args, **options)

            @property
            def base44(self) -> Base44:
                client: Base44 | None = self.__dict__.get("_base44")
                if client is None:
                    if self._base44_engine is None:
                        raise MiddlewareMissingError(
                            "This request did not come through app.wsgi_app. Use app.test_client(), or a server."
                        )
                    incoming = self._base44_incoming or incoming_of(self.environ)
                    client = self._base44 = Base44._for(Context(self._base44_engine, incoming, awaiting=IN_THREADS))
                return client

        app.request_class = Base44Request


def _secret_key(config: Mapping[str, Any]) -> dict[str, Any]:
    """Flask's own secret keys, wrapped: they seal the session if nothing else is given for that."""
    if not config.get("SECRET_KEY"):
        return {}
    return {"secret": framework_keys(config["SECRET_KEY"], config.get("SECRET_KEY_FALLBACKS"))}


def _from_config(config: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(_PREFIX).lower(): value for name, value in config.items() if name.startswith(_PREFIX)}
