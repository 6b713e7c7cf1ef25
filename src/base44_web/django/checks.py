"""Django's system checks, and what `base44-web doctor` learns of a project."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from django.apps import AppConfig
from django.conf import settings as django_settings
from django.core.checks import INFO, CheckMessage, Error, Info, Warning
from django.urls import get_resolver
from django.utils.module_loading import import_string

from .._core.checks.finding import Finding, Level
from .._core.checks.survey import Survey, check, look_at_guards, tried
from .._core.config import Settings
from .._core.guards.startup import Beside, check_views
from .._core.incoming.cookies import reads_cookies
from .debug import Base44ReporterFilter
from .middleware import Base44Middleware, framework_secret, load_on_refusal, load_settings
from .replies import FRAMEWORKS, line_for_views, views_within

_KINDS: Final[dict[Level, Callable[..., CheckMessage]]] = {"error": Error, "warning": Warning, "info": Info}


def check_settings(app_configs: Sequence[AppConfig] | None, **options: Any) -> list[CheckMessage]:
    """What `base44-web doctor` finds without a network, and is to be mended, as messages of Django's."""
    return [message for message in _messages() if message.level > INFO]


def check_deployment(app_configs: Sequence[AppConfig] | None, **options: Any) -> list[CheckMessage]:
    """What is only good to know: `manage.py check --deploy` tells it, and not each start of `runserver`."""
    return [message for message in _messages() if message.level == INFO]


def _messages() -> Iterator[CheckMessage]:
    for found in check(survey()):
        yield _KINDS[found.level](found.what, hint=found.fix, id=found.id)


def survey() -> Survey:
    """What there is to know of the project whose settings are loaded."""
    source, problem = tried(load_settings)
    if problem is None:
        _, problem = tried(load_on_refusal)
    settings = source if isinstance(source, Settings) else None
    routed = getattr(django_settings, "ROOT_URLCONF", None) is not None  # workers and commands may have none
    views = list(_views(get_resolver().url_patterns)) if routed else []
    names = False
    wrong: tuple[Finding, ...] = ()
    if problem is None:
        names, wrong = look_at_guards(lambda: check_views(views, settings, FRAMEWORKS))
    middleware = [import_string(path) for path in django_settings.MIDDLEWARE]
    ours = next((place for place, each in enumerate(middleware) if _is_ours(each)), None)
    return Survey(
        settings=settings,
        problem=problem,
        place="the setting BASE44",
        framework_keys=framework_secret().get("secret", ()),
        add_middleware='Add "base44_web.django.Base44Middleware" to MIDDLEWARE.' if ours is None else None,
        add_views=line_for_views(),
        guards_connectors=names,
        # Not caches: Django's own keep nothing of ours, wherever they are (see `request.py`).
        cors=tuple(_cors(middleware[ours + 1 :] if ours is not None else [])),
        more=wrong if problem is not None else (*wrong, *_check_reporter(settings)),
    )


def _check_reporter(settings: Settings | None) -> Iterator[Finding]:
    reporter = import_string(django_settings.DEFAULT_EXCEPTION_REPORTER_FILTER)
    if not issubclass(reporter, Base44ReporterFilter) and (
        settings is None or reads_cookies(settings) or settings.platform_headers != "ignore"
    ):
        yield Finding(
            "W002",
            "Django's error pages and mails would show the token's cookie, or the platform's headers.",
            'DEFAULT_EXCEPTION_REPORTER_FILTER = "base44_web.django.debug.Base44ReporterFilter"',
        )


def _cors(middleware: Iterable[Any]) -> Iterator[str]:
    for each in middleware:
        name: str = getattr(each, "__name__", "")
        if "cors" in name.lower():
            yield name


def _views(patterns: Iterable[Any]) -> Iterator[Any]:
    for pattern in patterns:
        view = getattr(pattern, "callback", None)
        yield from (Beside(view, each) for each in views_within(view))
        yield from _views(getattr(pattern, "url_patterns", ()))


def _is_ours(middleware: object) -> bool:
    return isinstance(middleware, type) and issubclass(middleware, Base44Middleware)
