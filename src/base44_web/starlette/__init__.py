"""Starlette: `Base44Middleware` puts `request.base44` on every request and WebSocket.

```python
from base44_web.starlette import Base44Middleware, Request

app = Starlette(routes=[...], middleware=[Middleware(Base44Middleware)])

async def channels(request: Request) -> Response:
    connection = await request.base44.as_service_role.connectors.get_connection("slack")
```
"""

from __future__ import annotations

from .._core.installed import need

need("starlette")

from .guards import app_user_connected, app_user_required
from .middleware import Base44Middleware
from .request import Request, WebSocket, get_base44
from .views import connect_routes

__all__ = [
    "Base44Middleware",
    "Request",
    "WebSocket",
    "app_user_connected",
    "app_user_required",
    "connect_routes",
    "get_base44",
]
