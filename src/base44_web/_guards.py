"""What all guards share: what they were written with, checked at import, and told to start-up checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .settings import Settings

_CONNECTORS = "__base44_connectors__"
_BARE = "__base44_bare__"


def check_connectors(connectors: tuple[object, ...], guard: str) -> tuple[str, ...]:
    """The arguments of `app_user_connected`.

    Raises:
        TypeError: none, or something else than strings: `@app_user_connected` without its parentheses.
    """
    if not connectors or not all(isinstance(connector, str) and connector for connector in connectors):
        raise TypeError(f'{guard} takes the names of connectors: @{guard}("calendar")')
    return tuple(str(connector) if type(connector) is str else connector for connector in connectors)  # type: ignore[misc]


def mark(guarded: Any, view: Any, connectors: tuple[str, ...]) -> None:
    """Note on both what is guarded, so that start-up checks find connectors that are not configured, and bare views."""
    setattr(guarded, _CONNECTORS, connectors + getattr(view, _CONNECTORS, ()))
    if callable(view) and not isinstance(view, type):
        setattr(view, _BARE, view)


def connectors_of(view: Any) -> tuple[str, ...]:
    """The connectors that the guards of a view name."""
    found: tuple[str, ...] = getattr(view, _CONNECTORS, ())
    return found


def check_views(views: Iterable[Any], settings: Settings) -> None:
    """At start-up: every connector that a guard names is configured.

    Raises:
        ConfigurationError: one is not; a typo would otherwise keep everybody out.
    """
    for view in views:
        for connector in connectors_of(view):
            settings.guarded_id(connector)


def is_bare(view: Callable[..., Any] | None) -> bool:
    """Whether this very function was given to a guard: where it is routed, its guard is left out."""
    return view is not None and getattr(view, _BARE, None) is view
