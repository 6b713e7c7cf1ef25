"""Guards for Flask's views."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar, cast

from flask import current_app
from flask import request as flask_request

from .._core.engine.context import Context
from .._core.guards.decorate import Args, Kwargs, guard_for, guard_function, takes_a_view
from .._core.guards.startup import Needs, WrongGuard, is_awaiting
from .._core.names import AppUserConnector
from ..errors import Base44Error, ConfigurationError
from .caches import package_of
from .replies import refusal
from .request import context_of_request

V = TypeVar("V", bound=Callable[..., Any])


@takes_a_view
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
    return _guard(view, Needs())


def app_user_connected(*connectors: AppUserConnector, fresh: bool = False) -> Callable[[V], V]:
    """Guard a view: only app users who have connected all of `connectors` get in.

    In the view, `request.base44.connection(connector)` is at hand. As `app_user_required` otherwise.

    Args:
        connectors: names from `BASE44_APP_USER_CONNECTORS`, or a `ConnectorID` each.
        fresh: whether the platform is to be asked for each request, whatever is remembered.
    """
    return guard_for(_guard, connectors, fresh=fresh)


def _guard(view: V, needs: Needs) -> V:
    if isinstance(view, type):
        raise TypeError(f"Guard the class {view.__name__} by its attribute: decorators = [app_user_required].")
    return guard_function(_FLASK, view, needs)


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

    def refuse(self, error: Base44Error | ConfigurationError, request: None) -> Any:
        return refusal(error)

    async def refuse_awaiting(self, error: Base44Error | ConfigurationError, request: None) -> Any:
        return refusal(error)


_FLASK = _Flask()


def _is_ours(decorator: Any) -> bool:
    return str(getattr(decorator, "__module__", "")).startswith("base44_web.")


def _answers_preflights(view: Any) -> bool:
    """Whether this is flask-cors' `cross_origin`, and it answers OPTIONS itself, so that the view does not run."""
    itself = "OPTIONS" in getattr(view, "required_methods", ()) and not getattr(view, "provide_automatic_options", True)
    config = cast("dict[str, Any]", current_app.config)
    return itself and package_of(view) == "flask_cors" and bool(config.get("CORS_AUTOMATIC_OPTIONS", True))


FRAMEWORKS: Final = ("flask", "flask_restful", "flask_restx")
"""Packages whose objects may have a view within."""


def check_methods(views: Iterable[Any]) -> None:
    """Refuse a guard that Flask-RESTful uses for GET alone: for HEAD it runs `get` without it.

    Raises:
        ConfigurationError: there is one.
    """
    for view in views:
        per_method = getattr(getattr(view, "view_class", None), "method_decorators", None)
        if isinstance(per_method, Mapping):
            decorators = cast("Mapping[str, Any]", per_method)
            guarded = [name for name in ("get", "head") if any(_is_ours(each) for each in decorators.get(name, ()))]
            if guarded == ["get"]:
                raise WrongGuard(
                    f"The guard of {view.view_class.__name__}.get does not hold for HEAD, which runs get, too: write "
                    'the same method_decorators for "head".',
                    view.view_class,
                )
