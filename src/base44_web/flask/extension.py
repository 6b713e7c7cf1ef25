"""`request.base44` for Flask."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from flask import Flask

from .._core.app_config import config_fields, config_secret
from .._core.config import Settings
from .._core.engine.apps import Engines, SettingsResolver
from .._core.guards.startup import warn_without_views
from ..errors import Base44Error, ConfigurationError
from .checks import KEY, check_guards, commands, line_for_views
from .relay import find_engine
from .replies import answer_errors, as_a_view_does, early_response
from .request import ENGINE, give_requests_base44
from .views import blueprint

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

    from .._core.replies.refusal import Refusal
    from .._core.transport.httpx_clients import AsyncClient, SyncClient
    from .._core.transport.protocol import TransportFactory


class Base44Extension:
    """The Flask extension, for one app or, through `init_app`, for any number.

    Settings come from `app.config["BASE44_<FIELD>"]`, then from the environment; a key of that form that is no setting
    is an error. The redirect views are at `BASE44_URL_PREFIX` (`"/base44"`; `None`: nowhere), as the blueprint
    `base44`. The app's `request_class` gets a `base44`.

    Args:
        app: the app; leave it out in an application factory, and call `init_app` there.
        settings: settings that win over the app's config. For several Base44 apps, a resolver in place of both.
        transport: how to send: a `TransportFactory`, or an `httpx2` or `httpx` client (yours to close).
        on_refusal: a plain function that is given each `Refusal`, and gives what a view may return, or `None` for ours.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        settings: Settings | SettingsResolver | None = None,
        transport: TransportFactory | SyncClient | AsyncClient | None = None,
        on_refusal: Callable[[Refusal], ResponseReturnValue | None] | None = None,
    ) -> None:
        self._settings = settings
        self._on_refusal = None if on_refusal is None else as_a_view_does(on_refusal)
        self._transport = transport
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Set up one app.

        Raises:
            ConfigurationError: a setting is missing or wrong, or the app has the extension already.
        """
        if KEY in app.extensions:
            raise ConfigurationError("Base44Extension is set up for this app already.")
        prefix = cast("dict[str, Any]", app.config).get("BASE44_URL_PREFIX", "/base44")
        source = self._settings
        if not isinstance(source, SettingsResolver):
            fields = config_fields(cast("dict[str, Any]", app.config))  # no local holds the config itself
            source = Settings.load(source, fields, config_secret(cast("dict[str, Any]", app.config)))
        engines = Engines(source, self._transport, wsgi=True, on_refusal=self._on_refusal)
        engines.probe()
        app.extensions[KEY] = engines
        app.cli.add_command(commands())
        answer_errors(app)
        if prefix is not None:
            app.register_blueprint(blueprint(app, prefix))
        give_requests_base44(app, engines)
        _wrap(app, engines)


def _wrap(app: Flask, engines: Engines) -> None:
    """Wrap `wsgi_app`, which costs less than a `before_request` function, and sees a request before Flask does."""
    # No reference to the app but a weak one: Flask frees an app with its last reference.
    reference = weakref.ref(app)
    inner = app.__dict__.get("wsgi_app")
    examines, application_root = engines.examines, str(cast("dict[str, Any]", app.config)["APPLICATION_ROOT"])
    ready = False

    def wsgi_app(environ: Any, start_response: Any) -> Any:
        nonlocal ready
        if not ready:  # only now all routes are there, and whatever came after this extension
            _get_ready(reference(), engines)
            ready = True
        if examines:
            try:
                environ[ENGINE] = find_engine(environ, engines, application_root)
            except Base44Error as error:
                return early_response(error)(environ, start_response)
        return Flask.wsgi_app(reference(), environ, start_response) if inner is None else inner(environ, start_response)  # type: ignore[arg-type]

    app.wsgi_app = wsgi_app  # type: ignore[method-assign]


def _get_ready(app: Flask | None, engines: Engines) -> None:
    """Refuse to serve an app whose guards are wrong, and take in what others have set since."""
    if app is None:
        return
    settings = engines.only.settings if engines.only else None
    names = check_guards(app, settings)
    if settings is not None:
        warn_without_views(settings, line_for_views(app), names=names)
    give_requests_base44(app, engines)
