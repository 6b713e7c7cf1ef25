"""Litestar: `Base44Plugin` gives handlers a dependency `base44`, and every request and WebSocket the same as `.base44`.

```python
from base44_web.litestar import Base44Client, Base44Plugin, app_user_connected, connect_router

@get("/calendar", guards=[app_user_connected("calendar")])
async def calendar(base44: Base44Client) -> str:
    connection = base44.connection("calendar")

app = Litestar([calendar, connect_router("/base44")], plugins=[Base44Plugin()])
```
"""

from __future__ import annotations

from .._core.installed import need

need("litestar")

from .guards import app_user_connected, app_user_required
from .plugin import Base44Plugin
from .request import Base44Client, Request, WebSocket, get_base44
from .views import connect_router

__all__ = [
    "Base44Client",
    "Base44Plugin",
    "Request",
    "WebSocket",
    "app_user_connected",
    "app_user_required",
    "connect_router",
    "get_base44",
]
