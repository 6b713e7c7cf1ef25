"""FastAPI: Starlette's middleware, and dependencies that show as a bearer scheme in OpenAPI.

```python
from base44_web.fastapi import Base44Client, Base44Middleware

app.add_middleware(Base44Middleware)

@app.get("/channels")
async def channels(base44: Base44Client): ...
```
"""

from __future__ import annotations

from ._core.installed import need

need("fastapi")

import logging
from functools import lru_cache
from typing import Annotated, Any, Final, NoReturn, cast

from fastapi import APIRouter, Depends, HTTPException
from fastapi.params import Depends as DependsParameter
from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection
from starlette.responses import Response

from ._asgi.guards import admission
from ._asgi.replies import Refused, mark_private
from ._core.client._async import AsyncBase44
from ._core.client._sync import Base44
from ._core.guards.startup import CONNECTORS, Needs, check_connectors
from ._core.names import AppUserConnector
from ._core.replies.openapi import BEARER_FORMAT, DESCRIPTION, RESPONSES, SCHEME_NAME
from ._core.replies.reply import Reply
from ._core.values import AppUser, Connection
from .starlette import Base44Middleware, Request, WebSocket, connect_routes, get_base44
from .starlette.request import context_of

logger = logging.getLogger("base44_web")

__all__ = [
    "AppUserConnection",
    "AppUserRequired",
    "Base44Client",
    "Base44Middleware",
    "Request",
    "SyncBase44Client",
    "WebSocket",
    "connect_router",
    "get_base44",
    "guard_responses",
]


_SCHEME = {"scheme_name": SCHEME_NAME, "bearerFormat": BEARER_FORMAT, "description": DESCRIPTION}


class _Client(HTTPBearer):
    """A dependency that gives the client, and declares the bearer scheme. It reads no header: the middleware does.

    Equal to `get_base44`, which is its key in `dependency_overrides`.
    """

    def __init__(self) -> None:
        super().__init__(**_SCHEME, auto_error=False)

    async def __call__(self, request: HTTPConnection, response: Response) -> AsyncBase44:  # type: ignore[override]
        mark_private(response.raw_headers)
        return get_base44(request)

    def __eq__(self, other: object) -> bool:
        return other is get_base44 or isinstance(other, _Client)

    def __hash__(self) -> int:
        return hash(get_base44)


Base44Client = Annotated[AsyncBase44, Depends(_Client())]
"""The client for this request's app user, in `async def` endpoints and WebSockets.

In tests: `app.dependency_overrides[get_base44] = lambda: …`.
"""


async def _blocking(base44: Base44Client) -> Base44:
    return base44.sync


SyncBase44Client = Annotated[Base44, Depends(_blocking)]
"""The blocking client for this request's app user, in plain `def` endpoints."""


class _Admission(HTTPBearer):
    """The guard as a dependency, which declares the bearer scheme, too."""

    def __init__(self, needs: Needs) -> None:
        super().__init__(**_SCHEME, auto_error=False)
        self.needs = needs
        setattr(self, CONNECTORS, needs.connectors)

    async def __call__(self, request: HTTPConnection, response: Response) -> AppUser | Connection:  # type: ignore[override]
        mark_private(response.raw_headers)
        context = context_of(request)
        outcome = await admission(request.scope, context, self.needs)
        if isinstance(outcome, Reply):
            raise Refused(outcome)
        connectors = self.needs.connectors
        if not connectors:
            return outcome
        connection = context.at_hand(context.engine.settings.connector_id(connectors[0]))
        assert connection is not None
        return connection


@lru_cache(maxsize=None, typed=True)  # a ConnectorID is equal to a str, and another guard
def _admission(*connectors: str, fresh: bool = False) -> _Admission:
    """Equal guards are one object: FastAPI's cache and `dependency_overrides` look for it, several times a request."""
    return _Admission(Needs(connectors, fresh))


class _CalledGuard(type):
    """Guards written without their parentheses stop the app as it is made: FastAPI would leave their routes open."""

    def _is_not_called(cls) -> TypeError:
        return TypeError(
            f"{cls.__name__} is written without its parentheses, and would guard nothing: write "
            f"{cls.__name__}({cls._example}), as in Annotated[…, {cls.__name__}({cls._example})]."
        )

    _example = ""

    @property
    def __signature__(cls) -> NoReturn:  # what Depends(AppUserRequired) asks for
        raise cls._is_not_called()

    @property
    def dependency(cls) -> NoReturn:  # what dependencies=[AppUserRequired] asks for
        raise cls._is_not_called()


class _GuardParameter(DependsParameter, metaclass=_CalledGuard):
    guards_app_users = True

    def __init__(self, dependency: _Admission) -> None:
        # A scope that is not said FastAPI works out for each request; it matters only to what yields.
        super().__init__(dependency, scope="request")

    async def __call__(self, request: HTTPConnection, response: Response) -> AppUser | Connection:
        """`Depends(AppUserRequired())`, as one is used to write it, is the same guard."""
        admission_of = cast(_Admission, self.dependency)
        return await admission_of(request, response)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> NoReturn:
        # `user: AppUserRequired()`: pydantic takes it for a type.
        raise TypeError(
            f"{cls.__name__} stands where a type belongs, and would guard nothing: write "
            f"Annotated[…, {cls.__name__}({cls._example})], with its parentheses."
        )

    def __deepcopy__(self, memo: object) -> NoReturn:
        # FastAPI copies a default that is a plain value: a guard in a list, as in `def view(dependencies=[…])`. The
        # start-up check finds it; where none ran, nobody gets in.
        logger.error(
            "%s stands in the default value of a parameter, where it guards nothing: it belongs in the route's "
            "dependencies=[…], or in Annotated[…].",
            type(self).__name__,
            extra={"base44_event": "guard_in_default_value"},
        )
        raise HTTPException(403)


class AppUserRequired(_GuardParameter):
    """A guard: `user: Annotated[AppUser, AppUserRequired()]`. Only a verified app user gets in.

    For tests, override it: `app.dependency_overrides[AppUserRequired().dependency] = …`.
    """

    def __init__(self) -> None:
        super().__init__(_admission())


class AppUserConnection(_GuardParameter):
    """A guard: `connection: Annotated[Connection, AppUserConnection("calendar")]`.

    Only app users who have connected it get in. For tests, override it:
    `app.dependency_overrides[AppUserConnection("calendar").dependency] = …`.

    Args:
        connector: a name from `app_user_connectors`, or a `ConnectorID`.
        fresh: whether the platform is to be asked for each request, whatever is remembered.

    Raises:
        TypeError: it is no string, or empty.
    """

    _example = '"calendar"'

    def __init__(self, connector: AppUserConnector, *, fresh: bool = False) -> None:
        super().__init__(_admission(*check_connectors((connector,), "AppUserConnection"), fresh=fresh))


def connect_router() -> APIRouter:
    """The redirect views: `app.include_router(connect_router(), prefix="/base44")`; see `connect_routes`.

    They are for browsers, and so not in OpenAPI.
    """
    router = APIRouter()
    router.routes.extend(connect_routes())
    return router


guard_responses: Final[dict[int | str, dict[str, Any]]] = RESPONSES
"""What guards answer, for OpenAPI: `@app.get("/calendar", responses=guard_responses)`. A dependency cannot add it."""
