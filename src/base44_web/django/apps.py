"""The app's configuration and its system checks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.urls import get_resolver
from django.utils.module_loading import import_string

from .._core.config import Settings
from .._core.guards.startup import check_views
from .._core.incoming.cookies import reads_cookies
from ..errors import ConfigurationError
from .debug import Base44ReporterFilter
from .middleware import Base44Middleware, load_on_refusal, load_settings
from .replies import FRAMEWORKS, LINE, has_views


class Base44Config(AppConfig):
    """Installed as `"base44_web.django"`."""

    name = "base44_web.django"
    label = "base44_web"
    verbose_name = "Base44"

    def ready(self) -> None:
        register(check_settings)


def check_settings(app_configs: Sequence[AppConfig] | None, **options: Any) -> list[CheckMessage]:
    """E001: a setting is wrong, lacks a connector that a guard names, or a guard is left out. W001: the middleware is
    not installed. W002: error pages and mails would show the token's cookie, or the platform's headers. W003: the
    redirect views are not there.
    """
    found: list[CheckMessage] = []
    try:
        source = load_settings()
        load_on_refusal()
        settings = source if isinstance(source, Settings) else None
        if getattr(django_settings, "ROOT_URLCONF", None):  # workers and commands may have none
            names = check_views(_views(get_resolver().url_patterns), settings, FRAMEWORKS)
            if settings is not None and names and not has_views(settings):
                found.append(
                    Warning(
                        "A guard asks for a connection, and the redirect views are not there: who is not connected is "
                        "shown no way on.",
                        hint=f"{LINE}, or CONNECT_PATH in BASE44 for pages of your own.",
                        id="base44_web.W003",
                    )
                )
        reporter = import_string(django_settings.DEFAULT_EXCEPTION_REPORTER_FILTER)
        if not issubclass(reporter, Base44ReporterFilter) and (
            settings is None or reads_cookies(settings) or settings.platform_headers != "ignore"
        ):
            found.append(
                Warning(
                    "Django's error pages and mails would show the token's cookie, or the platform's headers.",
                    hint='DEFAULT_EXCEPTION_REPORTER_FILTER = "base44_web.django.debug.Base44ReporterFilter"',
                    id="base44_web.W002",
                )
            )
    except ConfigurationError as error:
        found.append(Error(error.message, hint="See the setting BASE44.", id="base44_web.E001"))
    if not any(_is_ours(import_string(path)) for path in django_settings.MIDDLEWARE):
        found.append(
            Warning(
                "request.base44 will not be there: the middleware is not installed.",
                hint='Add "base44_web.django.Base44Middleware" to MIDDLEWARE.',
                id="base44_web.W001",
            )
        )
    return found


def _views(patterns: Iterable[Any]) -> Iterator[Any]:
    for pattern in patterns:
        yield getattr(pattern, "callback", None)
        yield from _views(getattr(pattern, "url_patterns", ()))


def _is_ours(middleware: object) -> bool:
    return isinstance(middleware, type) and issubclass(middleware, Base44Middleware)
