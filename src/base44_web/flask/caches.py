"""Flask-Caching, which keeps what a view returned: of one user, to be given to others."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from types import FrameType, FunctionType
from typing import Any, Final

from .._core.guards.startup import CONNECTORS, WrongGuard
from ..errors import ConfigurationError


def package_of(view: Any) -> str:
    """The package whose function this is."""
    name: object = getattr(view, "__globals__", {}).get("__name__")
    return name.partition(".")[0] if isinstance(name, str) else ""


def check_caches(views: Iterable[Any]) -> None:
    """Refuse a view cache above a guard: what it keeps of one user it would give to others, and ask no guard.

    Raises:
        ConfigurationError: a view is cached by Flask-Caching, and guarded below that.
    """
    for view in views:
        if package_of(view) == "flask_caching" and hasattr(view, CONNECTORS):
            raise WrongGuard(
                f"The view {getattr(view, '__name__', view)!r} is guarded below its cache, which would give one user's "
                "page to others: put the cache below the guard, with a key for each user, or leave it out.",
                view,
            )


_OWN_KEYS: Final = ("make_cache_key", "key_prefix", "make_name", "unless")  # parameters that make it depend on who asks


def _has_own_keys(found: Mapping[str, Any], depth: int = 3) -> bool:
    """Whether a cached function was given a key of its own: only its closures know."""
    if any(callable(found.get(name)) and package_of(found[name]) != "flask_caching" for name in _OWN_KEYS):
        return True
    makes: Any = getattr(found.get("cached_fn"), "make_cache_key", found.get("_make_cache_key"))
    if depth == 0 or not isinstance(makes, FunctionType):
        return False
    cells = zip(makes.__code__.co_freevars, makes.__closure__ or (), strict=True)
    return _has_own_keys({name: cell.cell_contents for name, cell in cells}, depth - 1)


def refuse_in_cache() -> None:
    """Refuse to say who asks where Flask-Caching would keep what comes of it for everybody.

    Raises:
        ConfigurationError: the caller is a function that Flask-Caching caches under a key that is the same for all.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        keeps = frame.f_code.co_name == "decorated_function" and frame.f_globals.get("__name__") == "flask_caching"
        if keeps and not _has_own_keys(frame.f_locals):
            name = getattr(frame.f_locals.get("f"), "__name__", "A function")
            raise ConfigurationError(
                f"{name} asks request.base44, and is cached for everybody: one user's page would go to others. Give "
                "the cache a key for each user (make_cache_key), or leave it out."
            )
        frame = frame.f_back
