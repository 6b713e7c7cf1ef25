"""Django: an app with system checks, and a middleware, sync and async.

```python
INSTALLED_APPS += ["base44_web.django"]
MIDDLEWARE += ["base44_web.django.Base44Middleware"]
BASE44 = {"APP_ID": "…", "APP_USER_CONNECTORS": {"calendar": "69e6…"}}
```
"""

from __future__ import annotations

from .._core.installed import need

need("django")

from .guards import app_user_connected, app_user_required
from .middleware import Base44Middleware
from .request import HttpRequest, get_base44

__all__ = ["Base44Middleware", "HttpRequest", "app_user_connected", "app_user_required", "get_base44"]
