"""Django Ninja: the guards as `auth=`, sync and async.

```python
from base44_web.django.ninja import AppUserAuth

@api.get("/events", auth=AppUserAuth("calendar"))
def events(request): ...  # request.auth is the app user
```

Beside `base44_web.django` and its middleware, which it needs.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.http import HttpRequest

from .._core.installed import missing

try:
    from ninja.security.http import HttpAuthBase
except ModuleNotFoundError as error:
    raise missing(error, "base44_web.django.ninja", "ninja") from None

from .._core.engine.context import Context
from .._core.guards.admit import admit, at_once
from .._core.guards.startup import CONNECTORS, Needs, check_connectors
from .._core.names import AppUserConnector
from .._core.platform.io import BLOCKING, IO, run
from .._core.replies.openapi import BEARER_FORMAT, DESCRIPTION, RESPONSES
from .._core.values import AppUser
from ..errors import Base44Error, ConfigurationError
from .guards import _in_event_loop
from .replies import answered_with, refusal
from .request import context_of

__all__ = ["AppUserAuth", "guard_responses"]


class AppUserAuth(HttpAuthBase):
    """A guard, for `auth=` of an operation, a router or an API: only verified app users get in.

    `request.auth` is the app user. With connectors, only users who have connected all of them get in, and
    `request.base44.connection(connector)` is at hand. It answers for itself whom it does not let in: of several in a
    list it is the last, after those that Ninja is to ask before.

    Args:
        connectors: names from `APP_USER_CONNECTORS`, or a `ConnectorID` each.
        fresh: whether the platform is to be asked for each request, whatever is remembered.

    Raises:
        TypeError: a connector is no string.
    """

    openapi_scheme = "bearer"
    openapi_bearerFormat = BEARER_FORMAT  # noqa: N815 - what follows the underscore is OpenAPI's
    openapi_description = DESCRIPTION

    def __init__(self, *connectors: AppUserConnector, fresh: bool = False) -> None:
        super().__init__()
        self.is_async = True  # to Ninja: it may have to be awaited
        self._needs = Needs(check_connectors(connectors, "AppUserAuth") if connectors else (), fresh)
        setattr(self, CONNECTORS, self._needs.connectors)

    def __call__(self, request: HttpRequest) -> AppUser | Awaitable[AppUser]:
        """The app user; something to await in an async operation."""
        context = context_of(request)
        if _is_awaited(request):
            return self._awaited(context, request)
        try:
            return run(self._admit(BLOCKING, context))
        except (Base44Error, ConfigurationError) as error:
            raise answered_with(error, request, refusal(error, request))  # noqa: B904 - the error itself

    async def _awaited(self, context: Context, request: HttpRequest) -> AppUser:
        try:
            return await self._admit(context.awaiting, context)
        except (Base44Error, ConfigurationError) as error:
            # In a thread: a template of the project's may ask the database.
            raise answered_with(error, request, await sync_to_async(refusal)(error, request))  # noqa: B904

    async def _admit(self, io: IO, context: Context) -> AppUser:
        connectors, fresh = self._needs
        return at_once(context, connectors, fresh=fresh) or await admit(io, context, connectors, fresh=fresh)


def _is_awaited(request: HttpRequest) -> bool:
    """Whether an async operation asks. A loop alone does not say so: a sync one's thread can have somebody else's."""
    view: Any = None if request.resolver_match is None else request.resolver_match.func
    return _in_event_loop() and iscoroutinefunction(view)  # pyright: ignore[reportDeprecated]


guard_responses: Final = RESPONSES
"""What guards answer, for OpenAPI: `@api.get("/events", openapi_extra={"responses": guard_responses})`."""
