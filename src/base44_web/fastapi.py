"""FastAPI: Starlette's middleware, and dependencies that show as a bearer scheme in OpenAPI.

```python
from base44_web.fastapi import Base44Client, Base44Middleware

app.add_middleware(Base44Middleware)

@app.get("/channels")
async def channels(base44: Base44Client): ...
```
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection

from ._async.client import AsyncBase44
from ._sync.client import Base44
from .starlette import Base44Middleware, Request, WebSocket, get_base44

__all__ = ["Base44Client", "Base44Middleware", "Request", "SyncBase44Client", "WebSocket", "get_base44"]


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
