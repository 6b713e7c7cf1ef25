"""Guards for Quart's views."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from quart import current_app

from .._asgi.replies import refusal
from .._core.engine.context import Context
from .._core.guards.decorate import Args, Kwargs, guard_awaiting, guard_for, takes_a_view
from .._core.guards.startup import Needs, check_function, is_awaiting
from .._core.names import AppUserConnector
from ..errors import Base44Error, ConfigurationError
from .replies import answer
from .request import current_context, current_scope

V = TypeVar("V", bound=Callable[..., Any])


@takes_a_view
def app_user_required(view: V) -> V:
    """Guard a view: only a verified app user gets in. Everybody else is answered here, and the view not called.

    It goes below the route, of a request or a WebSocket:

    ```python
    @app.get("/me")
    @app_user_required
    async def me(): ...
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
    check_function(view)
    awaiting = view if is_awaiting(view) else _in_thread(view)
    return cast(V, guard_awaiting(_QUART, awaiting, needs))


def _in_thread(view: Callable[..., Any]) -> Callable[..., Any]:
    """A `def` view, which runs as Quart runs such views, and whose guard waits outside of its thread."""

    @functools.wraps(view)
    async def awaiting(*args: Any, **kwargs: Any) -> Any:
        return await current_app.ensure_async(view)(*args, **kwargs)

    return awaiting


class _Quart:
    """The request is the current one, wherever a guard is."""

    def finder(self, view: Any) -> Callable[[Args, Kwargs], None]:
        return lambda args, kwargs: None

    def early(self, view: Any, request: None) -> None:
        return None

    def private(self, answer: Any) -> Any:
        return answer  # as it leaves the middleware

    def context(self, request: None) -> Context:
        return current_context()

    async def refuse_awaiting(self, error: Base44Error | ConfigurationError, request: None) -> Any:
        return await answer(refusal(error, current_scope()))


_QUART = _Quart()
