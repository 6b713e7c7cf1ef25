"""Quart: `Base44Extension` gives every request and WebSocket a `base44`.

```python
from base44_web.quart import Base44Extension, request

Base44Extension(app)        # config BASE44_APP_ID, BASE44_APP_USER_CONNECTORS, …

@app.get("/channels")
async def channels():
    connection = await request.base44.as_service_role.connectors.get_connection("slack")
```
"""

from __future__ import annotations

from .._core.installed import need

need("quart")

from .extension import Base44Extension
from .guards import app_user_connected, app_user_required
from .request import Request, Websocket, current_base44, get_base44, request, websocket

__all__ = [
    "Base44Extension",
    "Request",
    "Websocket",
    "app_user_connected",
    "app_user_required",
    "current_base44",
    "get_base44",
    "request",
    "websocket",
]
