"""Guards for Flask's views."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar, cast

from flask import current_app
from flask import request as flask_request

from .._core.engine.context import Context
from .._core.guards.decorate import Args, Kwargs, guard_for, guard_function
from .._core.guards.startup import CONNECTORS, is_awaiting
from ..errors import Base44Error, ConfigurationError
from .replies import refusal
from .request import context_of_request

V = TypeVar("V", bound=Callable[..., Any])


def app_user_required(view: V) -> V:
    """Guard a view: only a verified app user gets in. Everybody else is answered here, and the view not called.

    It goes below the route:

    ```python
    @app.get("/me")
    @app_user_required
    def me(): ...
    ```

    Raises:
        TypeError: at import, for anything but a function.
    """
    return _guard(view, ())


def app_user_connected(*connectors: str) -> Callable[[V], V]:
    """Guard a view: only app users who have connected all of `connectors` get in.

    In the view, `request.base44.connection(connector)` is at hand. As `app_user_required` otherwise.

    Args:
        connectors: names from `BASE44_APP_USER_CONNECTORS`, or a `ConnectorID` each.
    """
    return guard_for(_guard, connectors)


def _guard(view: V, connectors: tuple[str, ...]) -> V:
    if isinstance(view, type):
        raise TypeError(f"Guard the class {view.__name__} by its attribute: decorators = [app_user_required].")
    return guard_function(_FLASK, view, connectors)


class _Flask:
    """The request is the current one, wherever a guard is."""

    def finder(self, view: Any) -> Callable[[Args, Kwargs], None]:
        return lambda args, kwargs: None

    def is_awaiting(self, view: Any) -> bool:
        return is_awaiting(view)

    def must_await(self, view: Any, request: None) -> bool:
        return False

    def early(self, view: Any, request: None) -> Any | None:
        """A CORS preflight carries no credentials: it is answered, and the view does not run."""
        if flask_request.method != "OPTIONS" or "Access-Control-Request-Method" not in flask_request.headers:
            return None
        if _answers_preflights(view):
            return view(**(flask_request.view_args or {}))
        return current_app.make_default_options_response()

    def private(self, answer: Any) -> Any:
        return answer  # as the response is made: `tell_caches`

    def context(self, request: None) -> Context:
        return context_of_request()

    def refuse(self, error: Base44Error, request: None) -> Any:
        return refusal(error)

    async def refuse_awaiting(self, error: Base44Error, request: None) -> Any:
        return refusal(error)


_FLASK = _Flask()


def _package(view: Any) -> str:
    name: object = getattr(view, "__globals__", {}).get("__name__")
    return name.partition(".")[0] if isinstance(name, str) else ""


def _answers_preflights(view: Any) -> bool:
    """Whether this is flask-cors' `cross_origin`, and it answers OPTIONS itself, so that the view does not run."""
    itself = "OPTIONS" in getattr(view, "required_methods", ()) and not getattr(view, "provide_automatic_options", True)
    config = cast("dict[str, Any]", current_app.config)
    return itself and _package(view) == "flask_cors" and bool(config.get("CORS_AUTOMATIC_OPTIONS", True))


FRAMEWORKS: Final = ("flask", "flask_restful", "flask_restx")
"""Packages whose objects may have a view within."""


def check_caches(views: Iterable[Any]) -> None:
    """Refuse a view cache above a guard: what it keeps of one user it would give to others, and ask no guard.

    Raises:
        ConfigurationError: a view is cached by Flask-Caching, and guarded below that.
    """
    for view in views:
        if _package(view) == "flask_caching" and hasattr(view, CONNECTORS):
            raise ConfigurationError(
                f"The view {getattr(view, '__name__', view)!r} is guarded below its cache, which would give one user's "
                "page to others: put the cache below the guard, with a key for each user, or leave it out."
            )
