"""The redirect views as Starlette's routes."""

from __future__ import annotations

from starlette.routing import Route

from .._asgi.views import ViewApp
from .._core.views.routes import VIEWS


def connect_routes() -> list[Route]:
    """The redirect views, to be mounted: `Mount("/base44", routes=connect_routes())`.

    `connect/{name}`, `status/{name}`, `disconnect/{name}`, `connect.js` and, with the token source `"session"`,
    `session` and `session/logout`. `{name}` is one of `app_user_connectors`.
    """
    return [
        Route(f"/{view.path}", ViewApp(view), methods=list(view.methods), name=f"base44-{view.name}") for view in VIEWS
    ]
