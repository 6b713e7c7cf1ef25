"""Guards for Litestar's handlers, controllers, routers and apps: `guards=[app_user_required]`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeAlias, cast

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from .._asgi.guards import admission
from .._asgi.replies import Refused
from .._core.guards.startup import CONNECTORS, Needs, check_connectors
from .._core.names import AppUserConnector
from .._core.replies.reply import Reply
from ..errors import ConfigurationError
from .request import context_of

Guard: TypeAlias = Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Awaitable[None]]
OPEN = "base44_web_view"  # in the `opt` of our own views, which stay open in a guarded app: one signs in there

_USER = Needs()


async def app_user_required(connection: ASGIConnection[Any, Any, Any, Any], route_handler: BaseRouteHandler) -> None:
    """A guard: only a verified app user gets in. `guards=[app_user_required]`, without parentheses.

    Everybody else is answered here: with problem details, a browser with a page; a WebSocket is denied.
    """
    await _admit(connection, route_handler, _USER)


setattr(app_user_required, CONNECTORS, ())


def app_user_connected(*connectors: AppUserConnector, fresh: bool = False) -> Guard:
    """A guard: only app users who have connected all of `connectors` get in. `guards=[app_user_connected("calendar")]`.

    In the handler, `base44.connection(connector)` is at hand. As `app_user_required` otherwise.

    Args:
        connectors: names from `app_user_connectors`, or a `ConnectorID` each.
        fresh: whether the platform is to be asked for each request, whatever is remembered.

    Raises:
        TypeError: none, or something else than strings.
    """
    needs = Needs(check_connectors(connectors, "app_user_connected"), fresh)

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], route_handler: BaseRouteHandler) -> None:
        await _admit(connection, route_handler, needs)

    setattr(guard, CONNECTORS, needs.connectors)
    return guard


async def _admit(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler, needs: Needs) -> None:
    if OPEN in handler.opt:
        return
    scope: Any = connection.scope
    outcome = await admission(scope, context_of(scope), needs)
    if isinstance(outcome, Reply):
        raise Refused(outcome)


def guards_of(handler: BaseRouteHandler) -> Iterator[tuple[str, ...]]:
    """The connectors of each of our guards of a handler, and of what it is in.

    Raises:
        ConfigurationError: one is written without its parentheses.
    """
    for layer in cast(Any, handler).ownership_layers:
        for guard in layer.guards or ():
            if guard is app_user_connected:
                raise ConfigurationError(
                    f"The guard app_user_connected of {handler} is written without its parentheses: "
                    'guards=[app_user_connected("calendar")].'
                )
            connectors: tuple[str, ...] | None = getattr(guard, CONNECTORS, None)
            if connectors is not None:
                yield connectors
