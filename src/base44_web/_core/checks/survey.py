"""What an adapter finds out about its app, and what all checks without a network make of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, final

from ...errors import ConfigurationError
from ..config import Settings
from ..engine.engine import Engine
from ..guards.startup import NO_VIEWS, WrongGuard, without_views
from ..secret import Opaque, Secret
from .configured import check_settings, check_variables
from .finding import Finding
from .installed import check_versions


@final
@dataclass(frozen=True, slots=True, repr=False)
class Survey(Opaque):
    """An app, as far as the checks go.

    Attributes:
        settings: its settings; `None` where they are wrong, or each request brings its own.
        problem: why it would not start.
        place: where its settings are.
        framework_keys: the framework's own secret keys.
        add_middleware: how the middleware is added, where it is missing.
        add_views: the line that mounts the redirect views, where they are missing.
        guards_connectors: whether a guard names a connector, and so leads to the connect page.
        caches: middleware below ours that keeps answers.
        cors: middleware below ours that adds CORS headers.
        more: what only this framework can be told.
    """

    settings: Settings | None = None
    problem: str | None = None
    place: str = "the environment (BASE44_…), or in the app: give --app module:attribute"
    framework_keys: tuple[Secret, ...] = ()
    add_middleware: str | None = None
    add_views: str | None = None
    guards_connectors: bool = False
    caches: tuple[str, ...] = ()
    cors: tuple[str, ...] = ()
    more: tuple[Finding, ...] = ()


def survey_environment() -> Survey:
    """Without an app: the settings that the environment alone gives."""
    settings, problem = tried(Settings.load)
    return Survey(settings=settings, problem=problem)


def tried(load: Callable[[], Any]) -> tuple[Any, str | None]:
    """What a function returns; or, where it raises one, a `ConfigurationError`'s message."""
    try:
        return load(), None
    except ConfigurationError as error:
        return None, error.message


def look_at_guards(look: Callable[[], bool]) -> tuple[bool, tuple[Finding, ...]]:
    """Whether a guard names a connector, as `look` says; and what is wrong with one, with the line to change."""
    try:
        return look(), ()
    except WrongGuard as error:
        return False, (Finding("E001", error.message, error.fix),)
    except TypeError as error:  # one without its parentheses
        return False, (Finding("E001", str(error), WrongGuard("").fix),)


def check(survey: Survey) -> Iterator[Finding]:
    """All that can be said without asking anybody."""
    settings, problem = survey.settings, survey.problem
    if problem is not None:
        yield Finding("E001", problem, f"Look in {survey.place}.")
    elif settings is not None:
        _, missing = tried(lambda: Engine(settings).close())  # what the middleware makes as it starts
        if missing is not None:
            yield Finding("E001", missing, "Until then the server does not start.")
    yield from survey.more
    yield from _check_app(survey)
    if survey.settings is not None:
        yield from check_settings(survey.settings, survey.framework_keys)
    yield from check_variables()
    yield from check_versions()


def _check_app(survey: Survey) -> Iterator[Finding]:
    if survey.add_middleware is not None:
        yield Finding(
            "W001", "request.base44 will not be there: the middleware is not installed.", survey.add_middleware
        )
    add_views = without_views(survey.settings, survey.add_views, names=survey.guards_connectors)
    if add_views is not None:
        yield Finding("W006", NO_VIEWS, add_views)
    for name in survey.caches:
        yield Finding(
            "W007",
            f"{name} is below the Base44 middleware: it would keep one user's answer, and give it to others.",
            "Put the cache around (outside of) the Base44 middleware, whose Vary and Cache-Control it then sees.",
        )
    for name in survey.cors:
        yield Finding(
            "W008",
            f"{name} is below the Base44 middleware, whose refusals get no CORS headers: a browser hides them.",
            "Put the CORS middleware around (outside of) the Base44 middleware.",
        )
