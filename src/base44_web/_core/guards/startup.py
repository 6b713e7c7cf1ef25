"""What all guards share: what they were written with, checked at import, and told to start-up checks."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterable
from typing import Any, cast

from ...errors import ConfigurationError
from ..config import Settings

CONNECTORS = "__base44_connectors__"
_BARE = "__base44_bare__"


def check_connectors(connectors: tuple[object, ...], guard: str) -> tuple[str, ...]:
    """The arguments of `app_user_connected`.

    Raises:
        TypeError: none, or something else than strings: `@app_user_connected` without its parentheses.
    """
    if not connectors or not all(isinstance(connector, str) and connector for connector in connectors):
        raise TypeError(f'{guard} takes the names of connectors: @{guard}("calendar")')
    return cast(tuple[str, ...], connectors)


def check_function(view: Any) -> None:
    """What all guards of functions refuse, at import.

    Raises:
        TypeError: no function, or a generator, whose body would run after the guard's answer was lost.
    """
    if not callable(view) or isinstance(view, type):
        raise TypeError("A guard goes on a view function, below its route; this is none.")
    if inspect.isgeneratorfunction(view) or inspect.isasyncgenfunction(view):
        raise TypeError(f"{view.__name__} is a generator: return a streaming response from a guarded view instead.")


def is_awaiting(view: Any) -> bool:
    """Whether calling `view` gives something to await."""
    return inspect.iscoroutinefunction(view) or inspect.iscoroutinefunction(getattr(view, "__call__", None))  # noqa: B004


def mark(guarded: Any, view: Any, connectors: tuple[str, ...]) -> None:
    """Note on both what is guarded, so that start-up checks find connectors that are not configured, and bare views."""
    setattr(guarded, CONNECTORS, connectors + getattr(view, CONNECTORS, ()))
    while view is not None and not isinstance(view, type):
        with contextlib.suppress(AttributeError):  # a bound method takes no attributes
            setattr(view, _BARE, view)
        view = getattr(view, "__wrapped__", None)


def connectors_of(view: Any) -> tuple[str, ...]:
    """The connectors that the guards of a view name."""
    found: tuple[str, ...] = getattr(view, CONNECTORS, ())
    return found


def check_views(views: Iterable[Any], settings: Settings | None) -> None:
    """At start-up: every connector that a guard names is configured, and no guard was put above its route.

    Without settings (each request brings its own) only the latter.

    Raises:
        ConfigurationError: a typo would keep everybody out; a guard above its route is left out.
    """
    for view in views:
        if _is_bare(view):
            raise ConfigurationError(
                f"The guard of {getattr(view, '__name__', view)!r} is above its route, and so left out: put the guard "
                "below the route."
            )
        if settings is not None:
            for connector in connectors_of(view):
                settings.guarded_id(connector)


def _is_bare(view: Any) -> bool:
    """Whether this very function was given to a guard: where it is routed, its guard is left out."""
    return view is not None and getattr(view, _BARE, None) is view
