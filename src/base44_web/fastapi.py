"""FastAPI: Starlette's middleware, and dependencies that show as a bearer scheme in OpenAPI.

```python
from base44_web.fastapi import Base44Client, Base44Middleware

app.add_middleware(Base44Middleware)

@app.get("/channels")
async def channels(base44: Base44Client): ...
```
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends
from fastapi.params import Depends as DependsParameter
from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection

from ._core.client._async import AsyncBase44
from ._core.client._sync import Base44
from ._core.guards.startup import CONNECTORS, check_connectors
from ._core.replies.reply import Reply
from ._core.values import AppUser, Connection
from .starlette import Base44Middleware, Request, WebSocket, connect_routes, get_base44
from .starlette.guards import admission
from .starlette.replies import Refused

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


class _Client(HTTPBearer):
    """A dependency that gives the client, and declares the bearer scheme. It reads no header: the middleware does."""

    def __init__(self) -> None:
        super().__init__(
            scheme_name="Base44AppUser", bearerFormat="JWT", description="The Base44 app user's JWT.", auto_error=False
        )

    async def __call__(self, request: HTTPConnection) -> AsyncBase44:  # type: ignore[override]
        return get_base44(request)


Base44Client = Annotated[AsyncBase44, Depends(_Client())]
"""The client for this request's app user, in `async def` endpoints and WebSockets."""


async def _blocking(base44: Base44Client) -> Base44:
    return base44.sync


SyncBase44Client = Annotated[Base44, Depends(_blocking)]
"""The blocking client for this request's app user, in plain `def` endpoints."""


@dataclass(frozen=True)
class _Guard:
    """The dependency itself: equal guards are one, for FastAPI's cache and for `dependency_overrides`."""

    connectors: tuple[str, ...] = ()

    async def __call__(self, base44: Base44Client, request: HTTPConnection) -> AppUser | Connection:
        outcome = await admission(request, self.connectors)
        if isinstance(outcome, Reply):
            raise Refused(outcome)
        return base44.connection(self.connectors[0]) if self.connectors else outcome


setattr(_Guard, CONNECTORS, property(attrgetter("connectors")))


class AppUserRequired(DependsParameter):
    """A guard: `user: Annotated[AppUser, AppUserRequired()]`. Only a verified app user gets in.

    For tests, override it: `app.dependency_overrides[AppUserRequired().dependency] = …`.
    """

    def __init__(self) -> None:
        super().__init__(_Guard())


class AppUserConnection(DependsParameter):
    """A guard: `connection: Annotated[Connection, AppUserConnection("calendar")]`.

    Only app users who have connected it get in. For tests, override it:
    `app.dependency_overrides[AppUserConnection("calendar").dependency] = …`.

    Args:
        connector: a name from `app_user_connectors`, or a `ConnectorID`.

    Raises:
        TypeError: it is no string, or empty.
    """

    def __init__(self, connector: str) -> None:
        super().__init__(_Guard(check_connectors((connector,), "AppUserConnection")))


def connect_router() -> APIRouter:
    """The redirect views: `app.include_router(connect_router(), prefix="/base44")`; see `connect_routes`.

    They are for browsers, and so not in OpenAPI.
    """
    router = APIRouter()
    router.routes.extend(connect_routes())
    return router


_PROBLEM: Final = {"application/problem+json": {"schema": {"type": "object"}}}
guard_responses: Final[dict[int | str, dict[str, Any]]] = {
    401: {"description": "Nobody is signed in, or the sign-in is no longer valid.", "content": _PROBLEM},
    403: {"description": "Not connected: `connect_url` says where to connect.", "content": _PROBLEM},
    503: {"description": "The platform cannot be asked at the moment.", "content": _PROBLEM},
}
"""What guards answer, for OpenAPI: `@app.get("/calendar", responses=guard_responses)`. A dependency cannot add it."""
