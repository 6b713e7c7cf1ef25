"""Guards for Flask's views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask

from .._core.config import Settings
from .._core.engine.context import Context
from .._core.guards.decorate import Args, Kwargs, guard_for, guard_function
from .._core.guards.startup import check_views, is_awaiting
from ..errors import Base44Error
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

    def context(self, request: None) -> Context:
        return context_of_request()

    def refuse(self, error: Base44Error, request: None) -> Any:
        return refusal(error)

    async def refuse_awaiting(self, error: Base44Error, request: None) -> Any:
        return refusal(error)


_FLASK = _Flask()


def check_guards(app: Flask, settings: Settings | None) -> None:
    """Refuse to serve an app whose guards are wrong, at the first request: only then all routes are there.

    Wraps `wsgi_app`, which costs less than a `before_request` function.
    """
    inner = app.wsgi_app
    checked = False

    def wsgi_app(environ: Any, start_response: Any) -> Any:
        nonlocal checked
        if not checked:
            check_views(app.view_functions.values(), settings)
            checked = True
        return inner(environ, start_response)

    app.wsgi_app = wsgi_app  # type: ignore[method-assign]
